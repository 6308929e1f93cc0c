"""Why does this request go by that route, and not by another?

The search is the one that requests are routed by; it only goes on where that would stop, and tries
one candidate at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Generic, Literal, NamedTuple, TypeVar

from veloflux.core.policy.route import Candidate, Field, Table, first

T = TypeVar("T")

Reason = Literal["", "less_specific", "method", "header", "prefix", "host"]

# Of ten thousand routes nobody reads more.
AT_MOST = 50


class Verdict(NamedTuple, Generic[T]):
    """How one route stands to a request; `target` is what the table has for it.

    `why_not` is empty for the one that takes it, `less_specific` for one that would if that did
    not, `method` and `header` where host and path match, `prefix` where only the path does not, and
    `host` where only the host does not, whatever its methods and headers. `header` names the first
    that is not as it must be.
    """

    target: T
    why_not: Reason
    header: str = ""


class Explanation(NamedTuple, Generic[T]):
    """What takes the request, None for nothing; and how the routes near it stand, the most specific
    first. `is_whole` is False when there are more of them."""

    found: T | None
    verdicts: tuple[Verdict[T], ...]
    is_whole: bool


def explain(
    table: Table[T], host: bytes, path: bytes, method: bytes, field: Field, at_most: int = AT_MOST
) -> Explanation[T]:
    """Say what `table.find` answers to the same, and why; nothing changes by it."""
    looked = _Looked[T]()
    table.search(host, path, method, field, looked)
    found: Verdict[T] | None = None
    # By target: a route can have several candidates, of which one is enough.
    verdicts: dict[int, Verdict[T]] = {}
    for candidate in chain.from_iterable(looked.lists):
        if found is not None and candidate.target is found.target:
            continue
        verdict = _judge(candidate, method, field)
        if not verdict.why_not:
            if found is None:
                found = verdict
            else:
                verdict = verdict._replace(why_not="less_specific")
            verdicts[id(candidate.target)] = verdict
        else:
            verdicts.setdefault(id(candidate.target), verdict)
    for verdict in _near(table, path, looked):
        if len(verdicts) > at_most:
            break
        verdicts.setdefault(id(verdict.target), verdict)
    told = tuple(verdicts.values())
    kept = told[:at_most]
    if found is None:
        return Explanation(None, kept, len(told) <= at_most)
    if all(each is not found for each in kept):
        kept = (*kept, found)
    return Explanation(found.target, kept, len(told) <= at_most)


class _Looked(Generic[T]):
    """Goes along with a search and takes nothing, so that it goes on to the end."""

    def __init__(self) -> None:
        self.lists: list[Sequence[Candidate[T]]] = []

    def __call__(self, candidates: Sequence[Candidate[T]], method: bytes, field: Field) -> None:
        self.lists.append(candidates)

    def __contains__(self, candidates: Sequence[Candidate[T]]) -> bool:
        return any(candidates is each for each in self.lists)


def _judge(candidate: Candidate[T], method: bytes, field: Field) -> Verdict[T]:
    if first([candidate], method, field) is not None:
        return Verdict(candidate.target, "")
    if candidate.methods is not None and method not in candidate.methods:
        return Verdict(candidate.target, "method")
    name = next(name for name, value in candidate.headers if field(name) != value)
    return Verdict(candidate.target, "header", name.decode("latin-1"))


def _near(table: Table[T], path: bytes, looked: _Looked[T]) -> Iterator[Verdict[T]]:
    """The routes of which only the prefix does not match, then those of which only the host does
    not; the search looks at every host's root, so a host whose root it left out is another."""
    others = []
    for paths in table.hosts():
        if paths.root not in looked:
            others.append(paths)
            continue
        for candidates in paths.prefixes.values():
            if candidates not in looked:
                for candidate in candidates:
                    yield Verdict(candidate.target, "prefix")
    for paths in others:
        there = _Looked[T]()
        paths.find(path, b"", _no_field, there)
        for candidate in chain.from_iterable(there.lists):
            yield Verdict(candidate.target, "host")


def _no_field(name: bytes) -> None:
    return None
