"""Routes: where they go, and whether each can ever match."""

from collections.abc import Iterator

from veloflux.config.checks.shaping import shaping
from veloflux.config.draft import Draft
from veloflux.config.problem import Finding
from veloflux.config.routes import Route
from veloflux.config.wording import Loc, quote, suggest

# Of many routes for one host and prefix, each is compared with so many before it.
_COMPARED = 100


def routing(draft: Draft) -> Iterator[Finding]:
    """Check that routes are told apart, lead somewhere and can be reached."""
    pools = None if draft.pool_names is None else frozenset(draft.pool_names)
    ids: dict[str, int] = {}
    for i, route in draft.routes.items():
        loc: Loc = ("routes", i)
        other = ids.setdefault(route.title, i)
        if other != i and not _is_same(route, draft.routes[other]):
            yield Finding(
                (*loc, "id"),
                f"{quote(route.title)} is also the id of routes[{other}]; give this one its own",
                "conflict",
            )
        yield from _target(pools, route, loc)
        yield from shaping(route, pools, loc)
    yield from _shadows(draft)
    yield from _cookies(draft)
    if (
        draft.is_whole
        and not draft.routes
        and any(lis.protocol == "http" for lis in draft.listeners.values())
    ):
        yield Finding(("routes",), "there is none: every request is answered 404", "advice")


def _target(pools: frozenset[str] | None, route: Route, loc: Loc) -> Iterator[Finding]:
    given = [key for key in ("pool", "pools", "redirect") if getattr(route, key) is not None]
    if not given:
        yield Finding(loc, "goes nowhere; give it one of pool, pools and redirect", "conflict")
    for key in given[1:]:
        yield Finding(
            (*loc, key), f"{given[0]} says already what happens; take one out", "conflict"
        )
    names: list[tuple[Loc, str]] = []
    if route.pool is not None:
        names.append(((*loc, "pool"), route.pool))
    names += [((*loc, "pools", k, "pool"), x.pool) for k, x in enumerate(route.pools or ())]
    for at, name in names:
        if pools is not None and name not in pools:
            yield Finding(
                at,
                f"no pool is called {quote(name)}; {suggest(name, sorted(pools))}",
                "conflict",
            )
    yield from _shares(route, loc)


def _shares(route: Route, loc: Loc) -> Iterator[Finding]:
    seen: set[str] = set()
    for k, share in enumerate(route.pools or ()):
        if share.pool in seen:
            yield Finding(
                (*loc, "pools", k, "pool"),
                f"{quote(share.pool)} is there twice; write it once, with one weight",
                "conflict",
            )
        seen.add(share.pool)
    if route.pools and not any(share.weight for share in route.pools):
        yield Finding((*loc, "pools"), "all have weight 0: every request is refused", "advice")


def _place(route: Route) -> tuple[str, str]:
    # A prefix ends at a segment, so a last slash makes no difference.
    return route.host, route.path_prefix.rstrip("/")


def _conditions(route: Route) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    headers = ((name.lower(), value) for name, value in route.headers.items())
    return frozenset(route.methods), frozenset(headers)


def _is_same(one: Route, other: Route) -> bool:
    return _place(one) == _place(other) and _conditions(one) == _conditions(other)


def _covers(earlier: Route, later: Route) -> bool:
    """Whether the earlier of two for one host and prefix takes all that the later would."""
    (methods, headers), (narrower, more) = _conditions(earlier), _conditions(later)
    return headers <= more and (not methods or (bool(narrower) and narrower <= methods))


def _shadows(draft: Draft) -> Iterator[Finding]:
    first: dict[object, int] = {}
    before: dict[object, list[int]] = {}
    for i, route in draft.routes.items():
        place = _place(route)
        same = first.setdefault((place, _conditions(route)), i)
        earlier = before.setdefault(place, [])
        if same != i:
            yield Finding(
                ("routes", i),
                f"routes[{same}] has the same host, prefix, methods and headers; take one out",
                "conflict",
            )
            continue
        for k in earlier:
            if _covers(draft.routes[k], route):
                yield Finding(
                    ("routes", i),
                    f"is never reached: routes[{k}] takes its requests; put this one first",
                    "advice",
                )
                break
        if len(earlier) < _COMPARED:
            earlier.append(i)


def _cookies(draft: Draft) -> Iterator[Finding]:
    """A browser keeps one cookie of a name for a host: of two pools that set it, each takes the
    clients of the other for new ones."""
    cookies = {
        pool.name: pool.sticky_sessions.cookie
        for pool in draft.pools.values()
        if pool.sticky_sessions is not None
    }
    first: dict[tuple[str, str], str] = {}
    told: set[str] = set()
    for i, route in draft.routes.items() if len(cookies) > 1 else ():
        for name in (route.pool, *(share.pool for share in route.pools or ())):
            if name is None or name not in cookies or name in told:
                continue
            other = first.setdefault((route.host, cookies[name]), name)
            if other != name:
                told.add(name)
                yield Finding(
                    ("routes", i),
                    f"pools {quote(other)} and {quote(name)} of this host set the same cookie, "
                    f"{quote(cookies[name])}, so clients of both stick to neither; give one "
                    "another name by sticky_sessions.cookie",
                    "advice",
                )
