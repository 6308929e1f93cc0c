"""Which backend does this key have, if it is not too busy? A ring, with bounded load.

Every backend has points on a ring, and a key belongs to the first point after it (D. Karger et
al., Consistent Hashing and Random Trees, STOC 1997). Nobody gets more than 1.25 times its share of
all that is in flight: who is full is passed over (V. Mirrokni, M. Thorup, M. Zadimoghaddam,
Consistent Hashing with Bounded Loads, SODA 2018; HAProxy's hash-balance-factor in lb_chash.c). So a
key that everybody asks for spreads over as many backends as it needs.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
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
_RING = 1 << 32

_load = attrgetter("load")


class ConsistentHash(Generic[C]):
    """The owner of a key, or the next on the ring when that is excluded or full.

    Without a key, any by weight. What a point is depends on its backend's name alone, so that one
    who leaves takes only its own keys along, and weights decide how many points there are: a
    heavier one has more of the same. Up to a weight of 8 that is 64 points for each unit; above,
    the power of two that all weights fit in is worth 512. (So when those leave who needed that
    power, there are twice as many points of everybody, and other keys move, too.)
    """

    __slots__ = ("_anybody", "_owners", "_ring", "_weight")

    def __init__(self, candidates: Sequence[C], luck: Luck) -> None:
        # By name, so that the order in the configuration says nothing about who has a key.
        self._owners = sorted((c for c in candidates if c.weight > 0), key=attrgetter("name"))
        self._weight = sum(c.weight for c in self._owners)
        self._anybody = WeightedRandom(candidates, luck)
        heaviest = max((c.weight for c in self._owners), default=0)
        octave = max(1 << max(heaviest - 1, 0).bit_length(), _OCTAVE)
        self._ring: list[int] = []
        for place, owner in enumerate(self._owners):
            count = max(1, _POINTS * owner.weight // octave)
            found = words(owner.name.encode(), count)
            self._ring += [word << _OWNER_BITS | place for word in found]
        self._ring.sort()

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        if not key:
            return self._anybody.pick(excluded)
        if excluded:
            return self._next(key, excluded)
        ring = self._ring
        if not ring:
            return None
        at = bisect_left(ring, digest(key) >> 32 << _OWNER_BITS)
        owner = self._owners[ring[at if at < len(ring) else 0] & _OWNER]
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
        ring, owners = self._ring, self._owners
        first = bisect_left(ring, start << _OWNER_BITS)
        seen: set[int] = set()
        for at in chain(range(first, len(ring)), range(first)):
            place = ring[at] & _OWNER
            if place not in seen:
                seen.add(place)
                yield ring[at] >> _OWNER_BITS, owners[place]
                if len(seen) == len(owners):
                    return


def _is_full(owner: C, total: int, weight: int) -> bool:
    """Whether one request more, beside `total` of all, would be over its bound.

    Not all can be: their bounds sum up to more than there is.
    """
    times, per = _BOUND
    return owner.load * per * weight >= times * (total + 1) * owner.weight
