"""What the schema knows and this version cannot do: the one place that says so.

Such a key is validated like any other and then refused by name, unless it says what is the case
anyway: a limit that nobody keeps is worse than none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from veloflux.config.pools import ALGORITHMS, ALIASES
from veloflux.config.problem import Finding
from veloflux.config.scalars import retype
from veloflux.config.wording import Loc, quote

AVAILABLE_ALGORITHMS = ALGORITHMS[:8]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A key, which values of it are harmless, and what to write instead.

    In `path`, `*` stands for each item of a list. `is_partial`: some of what it can say is there.
    """

    path: tuple[str, ...]
    is_harmless: Callable[[object], bool]
    instead: str
    is_partial: bool = False


def _row(path: str, instead: str, *harmless: object, is_partial: bool = False) -> Unavailable:
    def is_harmless(value: object) -> bool:
        return any(value == other and type(value) is type(other) for other in harmless)

    return Unavailable(tuple(path.split(".")), is_harmless, instead, is_partial)


def _is_here(algorithm: object) -> bool:
    """Whether it can be used, or is no algorithm at all."""
    name = ALIASES.get(algorithm, algorithm) if isinstance(algorithm, str) else algorithm
    return name in AVAILABLE_ALGORITHMS or name not in ALGORITHMS


_OUT = "leave it out"
_ALGORITHMS = f"write one of {', '.join(AVAILABLE_ALGORITHMS)}"

UNAVAILABLE: tuple[Unavailable, ...] = (
    Unavailable(("pools", "*", "algorithm"), _is_here, _ALGORITHMS, is_partial=True),
)


def unavailable(data: object) -> Iterator[Finding]:
    """Say which keys ask for what this version cannot do; `data` is the file as plain values."""
    for row in UNAVAILABLE:
        for loc, written in _at(data, row.path, ()):
            value = retype(written)
            if row.is_harmless(value):
                continue
            what = str(loc[-1])
            if row.is_partial:
                what = f"{what}: {quote(value)}"
            yield Finding(
                loc, f"{what} is not available in this version; {row.instead}", "unavailable"
            )


def _at(data: object, path: tuple[str, ...], loc: Loc) -> Iterator[tuple[Loc, object]]:
    if not path:
        yield loc, data
    elif path[0] == "*":
        if isinstance(data, list):
            for i, item in enumerate(data):
                yield from _at(item, path[1:], (*loc, i))
    elif isinstance(data, dict) and path[0] in data:
        yield from _at(data[path[0]], path[1:], (*loc, path[0]))
