"""Which backend does this key have, if it is not too busy? A ring, with bounded load.

Every backend has points on a ring, and a key belongs to the first point after it (D. Karger et
al., Consistent Hashing and Random Trees, STOC 1997). Nobody gets more than 1.25 times its share of
all that is in flight: who is full is passed over (V. Mirrokni, M. Thorup, M. Zadimoghaddam,
Consistent Hashing with Bounded Loads, SODA 2018; HAProxy's hash-balance-factor in lb_chash.c). So a
key that everybody asks for spreads over as many backends as it needs.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck
from veloflux.core.policy.balance.digest import digest, words
from veloflux.core.policy.balance.weighted_random import WeightedRandom

# 1.25 as a fraction, for integers.
_BOUND = (5, 4)
# Points of one who has all the weight of an octave, and the octave of light weights.
_POINTS = 512
_OCTAVE = 8
# The low bits of a point are its backend's place in `_owners`.
_OWNER_BITS = 16
_OWNER = (1 << _OWNER_BITS) - 1
_RING_BITS = 32
_RING = 1 << _RING_BITS
# Points that each backend has in one segment, about: it is looked for in vain in smaller ones.
_SEGMENT_POINTS = 4
# Backends whose points are remembered, 2 KiB each.
_REMEMBERED = 4096

_load = attrgetter("load")


class ConsistentHash(Generic[C]):
    """The owner of a key, or the next on the ring when that is excluded or full.

    Without a key, any by weight. What a point is depends on its backend's name alone, so that one
    who leaves takes only its own keys along, and weights decide how many points there are: a
    heavier one has more of the same. Up to a weight of 8 that is 64 points for each unit; above,
    the power of two that all weights fit in is worth 512. (So when those leave who needed that
    power, there are twice as many points of everybody, and other keys move, too.)

    Everybody's points are remembered, and the ring is put in order piece by piece, where a key
    falls: a backend that fails among a hundred must hold up nobody.
    """

    __slots__ = ("_anybody", "_owners", "_points", "_segments", "_shift", "_weight")

    def __init__(self, candidates: Sequence[C], luck: Luck) -> None:
        # By name, so that the order in the configuration says nothing about who has a key.
        self._owners = sorted((c for c in candidates if c.weight > 0), key=attrgetter("name"))
        self._weight = sum(c.weight for c in self._owners)
        self._anybody = WeightedRandom(candidates, luck)
        counts = _counts([c.weight for c in self._owners])
        self._points = [
            _points(owner.name, count) for owner, count in zip(self._owners, counts, strict=True)
        ]
        each = sum(counts) // (_SEGMENT_POINTS * len(counts)) if counts else 0
        bits = max(each.bit_length() - 1, 0)
        self._shift = _RING_BITS - bits
        # None for one that no key has fallen into yet.
        self._segments: list[list[int] | None] = [None] * (1 << bits)

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        if not key:
            return self._anybody.pick(excluded)
        if excluded:
            return self._next(key, excluded)
        start = digest(key) >> 32
        place = start >> self._shift
        segment = self._segments[place] or self._segment(place)
        at = bisect_left(segment, start << _OWNER_BITS)
        if at == len(segment):
            # The next point is in another segment, unless there is nobody.
            return self._next(key, ())
        owner = self._owners[segment[at] & _OWNER]
        # Who has nothing to do is not full, whatever the others have.
        if owner.load and _is_full(owner, sum(map(_load, self._owners)), self._weight):
            return self._next(key, ())
        return owner

    peek = pick  # it has no state but its luck

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        """How far away each is on a ring of length 1; who is full is a round behind."""
        if not key:
            return []
        start = digest(key) >> 32
        total = sum(map(_load, self._owners))
        return [
            (owner, (point - start) % _RING / _RING + _is_full(owner, total, self._weight))
            for point, owner in self._around(start)
        ]

    def _next(self, key: bytes, excluded: Collection[object]) -> C | None:
        """The first, going round from the key, that is neither excluded nor full."""
        able = self._owners
        if excluded:
            able = [owner for owner in able if owner not in excluded]
        total = sum(map(_load, able))
        weight = sum(owner.weight for owner in able)
        for _, owner in self._around(digest(key) >> 32):
            if owner not in excluded and not _is_full(owner, total, weight):
                return owner
        return None

    def _around(self, start: int) -> Iterator[tuple[int, C]]:
        """Each backend once, with its first point at or after `start`."""
        owners = self._owners
        seen: set[int] = set()
        for point in self._round(start):
            place = point & _OWNER
            if place not in seen:
                seen.add(place)
                yield point >> _OWNER_BITS, owners[place]
                if len(seen) == len(owners):
                    return

    def _round(self, start: int) -> Iterator[int]:
        """Every point once, from the first at or after `start`."""
        first = start >> self._shift
        segment = self._segment(first)
        at = bisect_left(segment, start << _OWNER_BITS)
        yield from segment[at:]
        for place in chain(range(first + 1, len(self._segments)), range(first)):
            yield from self._segment(place)
        yield from segment[:at]

    def _segment(self, place: int) -> list[int]:
        """The points of one piece of the ring in order, with their owners."""
        found = self._segments[place]
        if found is None:
            low, high = place << self._shift, place + 1 << self._shift
            found = []
            for owner, own in enumerate(self._points):
                first = bisect_left(own, low)
                last = bisect_left(own, high, first)
                found += [point << _OWNER_BITS | owner for point in own[first:last]]
            found.sort()
            self._segments[place] = found
        return found


def rehearse(weights: Mapping[str, int]) -> Iterator[None]:
    """Compute the points of backends with these weights, in small steps, so that who makes a picker
    of them finds them remembered."""
    able = {name: weight for name, weight in weights.items() if weight > 0}
    for name, count in zip(able, _counts(list(able.values())), strict=True):
        _points(name, count)
        yield


def _counts(weights: Sequence[int]) -> list[int]:
    """How many points each has, by its weight among these."""
    octave = max(1 << max(max(weights, default=0) - 1, 0).bit_length(), _OCTAVE)
    return [max(1, _POINTS * weight // octave) for weight in weights]


@lru_cache(_REMEMBERED)
def _points(name: str, count: int) -> "array[int]":
    """A backend's points on the ring, in order."""
    return array("I", sorted(words(name.encode(), count)))


def _is_full(owner: C, total: int, weight: int) -> bool:
    """Whether one request more, beside `total` of all, would be over its bound.

    Not all can be: their bounds sum up to more than there is.
    """
    times, per = _BOUND
    return owner.load * per * weight >= times * (total + 1) * owner.weight
