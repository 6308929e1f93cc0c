"""Documents for others to read: values that may be secrets are hidden, and come back unharmed.

Header fields that routes set, add or ask for may carry credentials. Who reads a document gets a
mask in their place; a document that comes back with a mask means the value that was there.
"""

import re
from collections.abc import Mapping
from typing import Any

from veloflux.config.written import Document
from veloflux.control.services.configuration.edits import items, title
from veloflux.control.services.errors import Fault, InvalidError

MASK = "********"

_SECRET = re.compile(
    r"authorization|cookie|token|secret|passw|credential|api-?key|signature", re.IGNORECASE
)
# Where a route has header fields with values.
_FIELDS = (
    ("headers",),
    ("request_headers", "set"),
    ("request_headers", "add"),
    ("response_headers", "set"),
    ("response_headers", "add"),
)


def masked(document: Document) -> dict[str, Any]:
    """Return what others may read of a document."""
    found = dict(document)
    if "routes" in found:
        found["routes"] = [masked_route(route) for route in items(document, "routes")]
    return found


def masked_route(route: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what others may read of a route: itself where there is nothing to hide."""
    for path in _FIELDS:
        values = _at(route, path)
        hidden = {
            name: MASK if _SECRET.search(name) and "${" not in str(value) else value
            for name, value in values.items()
        }
        if hidden != values:
            route = _with(route, path, hidden)
    return route


def unmasked(before: Document, document: Document) -> Document:
    """Put the values that were there back in the place of masks; raises InvalidError for one where
    there was none."""
    routes = items(document, "routes")
    known = {id(route) for route in items(before, "routes")}
    touched = [i for i, route in enumerate(routes) if id(route) not in known and _has_mask(route)]
    if not touched:
        return document
    old = {title(route): route for route in items(before, "routes")}
    new = [*routes]
    faults: list[Fault] = []
    for i in touched:
        for path in _FIELDS:
            values, had = _at(routes[i], path), _at(old.get(title(routes[i]), {}), path)
            for name in (name for name, value in values.items() if value == MASK):
                if name in had:
                    new[i] = _with(new[i], path, {**_at(new[i], path), name: had[name]})
                else:
                    place = "/".join((*path, name.replace("~", "~0").replace("/", "~1")))
                    faults.append(
                        Fault(f"/routes/{i}/{place}", "value", "is a mask; write the value")
                    )
    if faults:
        raise InvalidError("There is no value that this mask could stand for.", faults)
    return {**document, "routes": new}


def _has_mask(route: object) -> bool:
    return isinstance(route, Mapping) and any(
        value == MASK for path in _FIELDS for value in _at(route, path).values()
    )


def _at(value: Any, path: tuple[str, ...]) -> Mapping[str, Any]:
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _with(part: Mapping[str, Any], path: tuple[str, ...], value: object) -> Mapping[str, Any]:
    if not path:
        return value  # type: ignore[return-value]  # it is what stands at the end of the path
    return {**part, path[0]: _with(part.get(path[0], {}), path[1:], value)}
