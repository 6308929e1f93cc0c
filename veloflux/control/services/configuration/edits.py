"""Edits of a document: pools, backends and routes, added, changed and deleted one at a time.

Nothing is changed in place: an edit shares with the document before all that it does not touch.
What is written is validated with the whole, by whoever makes a revision of it.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from veloflux.config.written import Document
from veloflux.control.services.errors import ConflictError, Fault, InvalidError, NotFoundError
from veloflux.core.model.address import Address

Part = Mapping[str, Any]

_URL_SAFE = re.compile(r"[A-Za-z0-9._~-]+")


class Edited(NamedTuple):
    """A new document, and the JSON Pointer of what was edited; empty for what is gone."""

    document: Document
    place: str = ""


Edit = Callable[[Document], Edited]
"""Raises Refusal."""


def items(document: Document, key: str) -> list[Any]:
    """Return the document's pools, or routes."""
    found = document.get(key, [])
    return found if isinstance(found, list) else []


# What things are called


def backend_id(pool: str, address: object) -> str:
    """Return a backend's id: the same wherever and whenever it is asked for."""
    whole = f"{pool}\0{canonical(address)}".encode()
    return f"b-{blake2b(whole, digest_size=8).hexdigest()}"


def canonical(address: object) -> str:
    """Return the one spelling of an address; what is none stays as it is."""
    try:
        return str(Address.parse(str(address)))
    except ValueError:
        return str(address)


def title(route: Part) -> str:
    """Return a route's id as it is in logs."""
    given = route.get("id")
    return str(given or f"{route.get('host', '*')}{route.get('path_prefix', '/')}")


def route_id(name: str) -> str:
    """Return the API's id of the route with that title: itself where a path can have it."""
    if _URL_SAFE.fullmatch(name) and name not in (".", ".."):
        return name
    return f"r-{blake2b(name.encode(), digest_size=8).hexdigest()}"


# Pools


def find_pool(document: Document, name: str) -> tuple[int, Part]:
    """Return a pool and its place; raises NotFoundError."""
    for i, pool in enumerate(items(document, "pools")):
        if pool.get("name") == name:
            return i, pool
    raise NotFoundError(f"There is no pool {name}.")


def add_pool(pool: Part) -> Edit:
    """Add a pool; ConflictError when there is one of its name."""

    def edit(document: Document) -> Edited:
        pools = items(document, "pools")
        if any(each.get("name") == pool.get("name") for each in pools):
            raise ConflictError(f"There is a pool {pool.get('name')} already.")
        return _replaced(document, "pools", [*pools, pool], len(pools))

    return edit


def update_pool(name: str, changes: Part) -> Edit:
    """Change what `changes` says of a pool; its name stays."""

    def edit(document: Document) -> Edited:
        i, pool = find_pool(document, name)
        _keep(changes, "name", name)
        return _put(document, "pools", i, {**pool, **changes})

    return edit


def delete_pool(name: str, *, is_forced: bool = False) -> Edit:
    """Delete a pool; ConflictError when something leads to it, unless it is forced: then routes
    that lead there go too, and shares and mirrors of others."""

    def edit(document: Document) -> Edited:
        i, _ = find_pool(document, name)
        routes = items(document, "routes")
        users = [route for route in routes if name in _pools_of(route)]
        if users and not is_forced:
            named = ", ".join(title(route) for route in users[:5])
            more = f" and {len(users) - 5} more" if len(users) > 5 else ""
            raise ConflictError(
                f"Routes lead to pool {name}: {named}{more}. Change them first, or add "
                "?force=true to delete them too."
            )
        for listener in items(document, "listeners"):
            rules = listener.get("sni") or []
            if name in (listener.get("pool"), *(rule.get("pool") for rule in rules)):
                raise ConflictError(
                    f"Listener {listener.get('name') or listener.get('address')} leads to pool "
                    f"{name}; change it first."
                )
        pools = items(document, "pools")
        left = {**document, "pools": [*pools[:i], *pools[i + 1 :]]}
        if users:
            kept = (_without(route, name) for route in routes)
            left["routes"] = [route for route in kept if route is not None]
        return Edited(left)

    return edit


def _pools_of(route: Part) -> set[object]:
    found = {route.get("pool"), _mirror_of(route)}
    return found | {share.get("pool") for share in route.get("pools") or []}


def _mirror_of(route: Part) -> object:
    mirror = route.get("mirror")
    return mirror.get("pool") if isinstance(mirror, Mapping) else None


def _without(route: Part, name: str) -> Part | None:
    """What is left of a route when a pool is gone; None for nothing."""
    if route.get("pool") == name:
        return None
    if _mirror_of(route) == name:
        route = {key: value for key, value in route.items() if key != "mirror"}
    shares = route.get("pools")
    if shares:
        left = [share for share in shares if share.get("pool") != name]
        if not left:
            return None
        if len(left) < len(shares):
            route = {**route, "pools": left}
    return route


# Backends


def find_backend(document: Document, wanted: str) -> tuple[int, int]:
    """Return the places of a backend's pool and of itself there, by its id; NotFoundError."""
    for i, pool in enumerate(items(document, "pools")):
        for k, backend in enumerate(items(pool, "backends")):
            if backend_id(str(pool.get("name")), backend.get("address")) == wanted:
                return i, k
    raise NotFoundError("There is no such backend.")


def add_backend(pool: str | None, backend: Part, health_check: Part | None = None) -> Edit:
    """Add a backend to a pool, which may be left out where there is one alone.

    A check is the whole pool's; ConflictError when it has another, and for an address it has.
    """

    def edit(document: Document) -> Edited:
        i, found = _only_or(document, pool)
        backends = items(found, "backends")
        wanted = canonical(backend.get("address"))
        if any(canonical(each.get("address")) == wanted for each in backends):
            raise ConflictError(f"Pool {found.get('name')} has a backend {wanted} already.")
        more: dict[str, Any] = {}
        if health_check is not None:
            if found.get("health_check") not in (None, health_check):
                raise ConflictError(
                    f"Pool {found.get('name')} has another health_check, which holds for all its "
                    "backends; change the pool's, or leave it out here."
                )
            more["health_check"] = health_check
        edited = _put(document, "pools", i, {**found, **more, "backends": [*backends, backend]})
        return Edited(edited.document, f"{edited.place}/backends/{len(backends)}")

    return edit


def _only_or(document: Document, name: str | None) -> tuple[int, Part]:
    if name is not None:
        return find_pool(document, name)
    pools = items(document, "pools")
    if len(pools) != 1:
        missing = Fault("/pool", "missing", f"is needed, for there are {len(pools)} pools")
        raise InvalidError("Say which pool.", [missing])
    return 0, pools[0]


def update_backend(wanted: str, changes: Part) -> Edit:
    """Change what `changes` says of a backend; its address stays, for that is what it is."""

    def edit(document: Document) -> Edited:
        i, k = find_backend(document, wanted)
        pool = items(document, "pools")[i]
        backend = pool["backends"][k]
        if "address" in changes:
            _keep(
                {"address": canonical(changes["address"])}, "address", canonical(backend["address"])
            )
        backends = [*pool["backends"]]
        backends[k] = {**backend, **changes, "address": backend["address"]}
        edited = _put(document, "pools", i, {**pool, "backends": backends})
        return Edited(edited.document, f"{edited.place}/backends/{k}")

    return edit


def delete_backend(wanted: str) -> Edit:
    """Delete a backend."""

    def edit(document: Document) -> Edited:
        i, k = find_backend(document, wanted)
        pool = items(document, "pools")[i]
        backends = [*pool["backends"][:k], *pool["backends"][k + 1 :]]
        return Edited(_put(document, "pools", i, {**pool, "backends": backends}).document)

    return edit


# Routes


def find_route(document: Document, wanted: str) -> tuple[int, Part]:
    """Return a route and its place, by its id; raises NotFoundError."""
    for i, route in enumerate(items(document, "routes")):
        if route_id(title(route)) == wanted:
            return i, route
    raise NotFoundError(f"There is no route {wanted}.")


def add_route(route: Part) -> Edit:
    """Add a route; ConflictError when there is one for the same requests, or with its id."""

    def edit(document: Document) -> Edited:
        routes = items(document, "routes")
        _check_alone(routes, route, None)
        return _replaced(document, "routes", [*routes, route], len(routes))

    return edit


def update_route(wanted: str, changes: Part) -> Edit:
    """Change what `changes` says of a route; its id stays, and so its name in logs."""

    def edit(document: Document) -> Edited:
        i, route = find_route(document, wanted)
        if "id" in changes:
            _keep(changes, "id", title(route))
        new = {**route, **changes}
        # To say one of these is to take the others back.
        targets = [key for key in ("pool", "pools", "redirect") if changes.get(key) is not None]
        if targets:
            others = {"pool", "pools", "redirect"} - changes.keys()
            new = {key: value for key, value in new.items() if key not in others}
        if title(new) != title(route):
            new["id"] = title(route)
        _check_alone(items(document, "routes"), new, i)
        return _put(document, "routes", i, new)

    return edit


def delete_route(wanted: str) -> Edit:
    """Delete a route."""

    def edit(document: Document) -> Edited:
        i, _ = find_route(document, wanted)
        routes = items(document, "routes")
        return Edited({**document, "routes": [*routes[:i], *routes[i + 1 :]]})

    return edit


def _check_alone(routes: list[Any], new: Part, place: int | None) -> None:
    name, wanted = title(new), _conditions(new)
    for k, route in enumerate(routes):
        if k == place:
            continue
        if _conditions(route) == wanted:
            raise ConflictError(
                f"Route {title(route)} has the same host, prefix, methods and headers."
            )
        if title(route) == name:
            raise ConflictError(f"There is a route {name} already; give this one an id.")


def _conditions(route: Part) -> tuple[object, ...]:
    headers = route.get("headers")
    methods = route.get("methods")
    return (
        str(route.get("host", "*")).lower().rstrip("."),
        str(route.get("path_prefix", "/")).rstrip("/"),
        frozenset(map(str, methods)) if isinstance(methods, list) else frozenset(),
        frozenset((name.lower(), str(value)) for name, value in headers.items())
        if isinstance(headers, Mapping)
        else frozenset(),
    )


# Several


def several(edits: list[Edit]) -> Edit:
    """All of them, one after the other."""

    def edit(document: Document) -> Edited:
        for each in edits:
            document = each(document).document
        return Edited(document)

    return edit


def _keep(changes: Part, key: str, value: object) -> None:
    if changes.get(key, value) != value:
        wrong = Fault(f"/{key}", "value", f"stays {value}; delete it and add another instead")
        raise InvalidError(f"The {key} cannot be changed.", [wrong])


def _put(document: Document, key: str, place: int, item: Part) -> Edited:
    new = [*items(document, key)]
    new[place] = item
    return _replaced(document, key, new, place)


def _replaced(document: Document, key: str, new: list[Any], place: int) -> Edited:
    return Edited({**document, key: new}, f"/{key}/{place}")
