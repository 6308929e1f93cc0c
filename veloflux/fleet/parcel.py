"""A snapshot as it travels to workers: frames that are made once for all of them, in a thread.

Pools and routes travel in pieces, for reading ten thousand at once would hold up the traffic. A
worker that serves by the snapshot before is told which of its own stay where, and gets the others
alone: one route that changes among ten thousand is a few hundred bytes instead of three megabytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, NamedTuple

from veloflux.core.model.traffic import Snapshot
from veloflux.fleet.messages import Down, Pools, Prepare, Routes, Same, encode

Frames = tuple[bytes, ...]


class _Kind(NamedTuple):
    """What a snapshot may have thousands of: its field, the message that has some, how many, which
    one read of the channel brings, and by what they are known."""

    what: Literal["pools", "routes"]
    message: Callable[[Any], Down]
    at_once: int
    key: Callable[[Any], str]


_KINDS = (
    _Kind("pools", Pools, 100, lambda pool: pool.name),
    _Kind("routes", Routes, 250, lambda route: route.id),
)


class Parcel(NamedTuple):
    """A snapshot, and the frames by which a worker gets it: `whole`, or the `change` for one that
    serves by the version `since`."""

    snapshot: Snapshot
    whole: Frames
    since: int
    change: Frames

    def frames(self, version: int) -> Frames:
        """For a worker that serves by this version; 0 for none."""
        return self.change if version and version == self.since else self.whole


def pack(snapshot: Snapshot, before: Snapshot | None) -> Parcel:
    """Make a snapshot's parcel; `before` is what is in force. Takes long for many routes."""
    last = encode(Prepare(replace(snapshot, pools=(), routes=())))
    whole = change = (*map(encode, _parts(snapshot)), last)
    if before is not None:
        change = (*map(encode, _changes(snapshot, before)), last)
    return Parcel(snapshot, whole, 0 if before is None else before.version, change)


def _parts(snapshot: Snapshot) -> Iterator[Down]:
    for kind in _KINDS:
        yield from _pieces(kind, getattr(snapshot, kind.what))


def _pieces(kind: _Kind, found: Sequence[object]) -> Iterator[Down]:
    for first in range(0, len(found), kind.at_once):
        yield kind.message(tuple(found[first : first + kind.at_once]))


def _changes(snapshot: Snapshot, before: Snapshot) -> Iterator[Down]:
    """Runs of those that stay together, and what is between them."""
    for kind in _KINDS:
        old: Sequence[object] = getattr(before, kind.what)
        new: Sequence[object] = getattr(snapshot, kind.what)
        for shift, run in groupby(enumerate(new), _shift(old, kind.key)):
            numbers, found = zip(*run, strict=True)
            if shift is None:
                yield from _pieces(kind, found)
            else:
                yield Same(kind.what, numbers[0] + shift, len(found))


def _shift(
    old: Sequence[object], key: Callable[[object], str]
) -> Callable[[tuple[int, object]], int | None]:
    """By how many places something with its number was further back before; None for what was not
    there, or was not the same."""
    places = {key(each): place for place, each in enumerate(old)}

    def shift(numbered: tuple[int, object]) -> int | None:
        number, each = numbered
        place = places.get(key(each))
        return place - number if place is not None and old[place] == each else None

    return shift


class Unpacking:
    """The parts of the next snapshot as they come to a worker, beside that by which it serves."""

    def __init__(self) -> None:
        self._in_force: Snapshot | None = None
        self._taken: Snapshot | None = None
        self._clear()

    def add(self, part: Pools | Routes | Same) -> None:
        """This is next."""
        match part:
            case Pools(pools=pools):
                self._coming["pools"] += pools
            case Routes(routes=routes):
                self._coming["routes"] += routes
            case Same(what=what, first=first, count=count):
                self._coming[what] += getattr(self._in_force, what)[first : first + count]

    def take(self, snapshot: Snapshot) -> Snapshot:
        """All has come; the rest is here. What is the same as in force is the same object."""
        parts = {what: tuple(found) for what, found in self._coming.items()}
        self._taken = replace(snapshot, **parts)  # type: ignore[arg-type]  # each to its own field
        self._clear()
        return self._taken

    def commit(self) -> None:
        """What was taken last is in force from now on."""
        self._in_force = self._taken

    def _clear(self) -> None:
        self._coming: dict[str, list[object]] = {kind.what: [] for kind in _KINDS}
