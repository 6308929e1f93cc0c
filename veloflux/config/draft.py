"""As much of a configuration as is right: the checks that look across it run on that.

A file with an error still has its other parts looked at, so that all errors are said at once. A
value that is wrong is left out of its section; a section that is then none, or one that is wrong in
what others refer to, is left out of the draft.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from veloflux.config.listeners import Listener
from veloflux.config.pools import Pool
from veloflux.config.routes import Route
from veloflux.config.schema import Admin, Configuration, Metrics
from veloflux.config.section import Section
from veloflux.config.wording import Loc

S = TypeVar("S", bound=Section)

# What the checks compare: without it, or with its default, a section would be misjudged.
_COMPARED = frozenset(
    (
        "address",
        "backends",
        "headers",
        "host",
        "id",
        "methods",
        "name",
        "path_prefix",
        "pool",
        "pools",
        "protocol",
        "redirect",
    )
)


@dataclass(frozen=True, slots=True)
class Draft:
    """Sections by their index in the file.

    `pool_names` has those of wrong pools as well; None when they cannot all be known. `is_whole`
    says that nothing had to be left out.
    """

    admin: Admin | None = None
    metrics: Metrics | None = None
    listeners: dict[int, Listener] = field(default_factory=dict)
    pools: dict[int, Pool] = field(default_factory=dict)
    routes: dict[int, Route] = field(default_factory=dict)
    pool_names: tuple[str, ...] | None = None
    is_whole: bool = False


def of(configuration: Configuration) -> Draft:
    """Return the whole of a configuration."""
    return Draft(
        admin=configuration.admin,
        metrics=configuration.metrics,
        listeners=dict(enumerate(configuration.listeners)),
        pools=dict(enumerate(configuration.pools)),
        routes=dict(enumerate(configuration.routes)),
        pool_names=tuple(pool.name for pool in configuration.pools),
        is_whole=True,
    )


def salvage(data: object, wrong: Iterable[Loc]) -> Draft:
    """Return what remains of the file's values when those at `wrong` are left out."""
    if not isinstance(data, dict):
        return Draft()
    by_section: dict[Loc, list[Loc]] = {}
    for loc in wrong:
        depth = 2 if loc[:1] in (("listeners",), ("pools",), ("routes",)) else 1
        by_section.setdefault(loc[:depth], []).append(loc[depth:])
    return Draft(
        admin=_section(Admin, data.get("admin", {}), by_section.get(("admin",), [])),
        metrics=_section(Metrics, data.get("metrics", {}), by_section.get(("metrics",), [])),
        listeners=_sections(Listener, "listeners", data, by_section),
        pools=_sections(Pool, "pools", data, by_section),
        routes=_sections(Route, "routes", data, by_section),
        pool_names=_pool_names(data.get("pools", []), by_section),
    )


def _pool_names(pools: object, wrong: dict[Loc, list[Loc]]) -> tuple[str, ...] | None:
    if ("pools",) in wrong:
        return None
    names = []
    for i, pool in enumerate(_list(pools)):
        if not isinstance(pool, dict) or ("name",) in wrong.get(("pools", i), []):
            return None
        names.append(str(pool.get("name")))
    return tuple(names)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _sections(
    kind: type[S], key: str, data: dict[str, object], wrong: dict[Loc, list[Loc]]
) -> dict[int, S]:
    found = {}
    for i, item in enumerate(_list(data.get(key))):
        section = _section(kind, item, wrong.get((key, i), []))
        if section is not None:
            found[i] = section
    return found


def _section(kind: type[S], value: object, wrong: list[Loc]) -> S | None:
    if any(not loc or _COMPARED.intersection(loc) for loc in wrong):
        return None
    value = copy.deepcopy(value) if wrong else value
    # From the back, so that the indexes of a list stay true.
    for loc in sorted(wrong, key=repr, reverse=True):
        _leave_out(value, loc)
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None


def _leave_out(value: object, loc: Loc) -> None:
    parent = value
    for part in loc[:-1]:
        if not isinstance(parent, (dict, list)):
            return
        try:
            parent = parent[part]  # type: ignore[index]  # lists get indexes, or IndexError
        except (KeyError, IndexError):
            return
    if isinstance(parent, dict):
        parent.pop(loc[-1], None)
    elif isinstance(parent, list) and isinstance(loc[-1], int):
        del parent[loc[-1] : loc[-1] + 1]
