"""A snapshot as it travels to workers: frames that are made once for all of them, in a thread.

Routes travel in pieces, for reading ten thousand at once would hold up the traffic. A worker that
serves by the snapshot before is told which of its routes stay where, and gets the others alone: one
route that changes among ten thousand is a few hundred bytes instead of three megabytes.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from veloflux.core.model.traffic import Route, Snapshot
from veloflux.fleet.messages import Prepare, Routes, Same, encode

# Some sixty KB: what one read of the channel brings.
_ROUTES_AT_ONCE = 250

Frames = tuple[bytes, ...]


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
    last = encode(Prepare(replace(snapshot, routes=())))
    whole = (*map(encode, _pieces(snapshot.routes)), last)
    if before is None:
        return Parcel(snapshot, whole, 0, whole)
    change = (*map(encode, _changes(snapshot.routes, before.routes)), last)
    return Parcel(snapshot, whole, before.version, change)


def _pieces(routes: tuple[Route, ...]) -> Iterator[Routes]:
    for first in range(0, len(routes), _ROUTES_AT_ONCE):
        yield Routes(routes[first : first + _ROUTES_AT_ONCE])


def _changes(routes: tuple[Route, ...], before: tuple[Route, ...]) -> Iterator[Routes | Same]:
    """Runs of those that stay together, and what is between them."""
    places = {route.id: place for place, route in enumerate(before)}

    def shift(numbered: tuple[int, Route]) -> int | None:
        number, route = numbered
        place = places.get(route.id)
        return place - number if place is not None and before[place] == route else None

    for by, run in groupby(enumerate(routes), shift):
        numbers, found = zip(*run, strict=True)
        if by is None:
            yield from _pieces(found)
        else:
            yield Same(numbers[0] + by, len(found))


class Unpacking:
    """The routes of the next snapshot as they come to a worker, beside those it serves by."""

    def __init__(self) -> None:
        self._in_force: tuple[Route, ...] = ()
        self._taken: tuple[Route, ...] = ()
        self._coming: list[Route] = []

    def add(self, routes: tuple[Route, ...]) -> None:
        """These are next."""
        self._coming += routes

    def keep(self, first: int, count: int) -> None:
        """So many of those in force are next, from the first on."""
        self._coming += self._in_force[first : first + count]

    def take(self) -> tuple[Route, ...]:
        """All have come."""
        self._taken, self._coming = tuple(self._coming), []
        return self._taken

    def commit(self) -> None:
        """What was taken last is in force from now on."""
        self._in_force = self._taken
