"""Which backend does this client have? Weighted rendezvous hashing.

Each backend draws a number for each key, and the best has it (D. Thaler, C. V. Ravishankar, Using
Name-Based Mappings to Increase Hit Rates, IEEE/ACM ToN 6(1), 1998). A number that is exponentially
distributed with the weight as its rate makes the shares those of the weights (the logarithmic
method of C. Schindelhauer, G. Schomaker, Weighted Distributed Hash Tables, SPAA 2005). Who leaves
takes only its own keys along, and who comes takes from all in proportion: nobody else's number
changes.
"""

from collections.abc import Collection, Sequence
from math import inf, log
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck
from veloflux.core.policy.balance.digest import digest
from veloflux.core.policy.balance.weighted_random import WeightedRandom

# Answers that are kept, and how long a key of them may be, in bytes: clients come again at once.
_KEPT = 4096
_KEPT_KEY = 64


class IpHash(Generic[C]):
    """The backend of a key, the next best when that is excluded; without a key, any by weight."""

    __slots__ = ("_anybody", "_candidates", "_kept")

    def __init__(self, candidates: Sequence[C], luck: Luck) -> None:
        self._candidates = [
            (c, digest(c.name.encode()), 1.0 / c.weight) for c in candidates if c.weight > 0
        ]
        self._anybody = WeightedRandom(candidates, luck)
        self._kept: dict[bytes, C | None] = {}

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        if not key:
            return self._anybody.pick(excluded)
        if excluded:
            return self._best(key, excluded)
        if key in self._kept:
            return self._kept[key]
        best = self._best(key, ())
        if len(key) <= _KEPT_KEY:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = best
        return best

    peek = pick  # it has no state but its luck, and answers that are always the same

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        if not key:
            return []
        number = digest(key)
        return [(c, _drawn(number ^ seed) * share) for c, seed, share in self._candidates]

    def _best(self, key: bytes, excluded: Collection[object]) -> C | None:
        number = digest(key)
        best: C | None = None
        least = inf
        for candidate, seed, share in self._candidates:
            score = _drawn(number ^ seed) * share
            if score < least and candidate not in excluded:
                best, least = candidate, score
        return best


def _drawn(number: int) -> float:
    """An exponentially distributed number, with the rate 1, made of 64 bits.

    They are mixed by SplitMix64's finalizer (G. Steele, D. Lea, C. Flood, Fast Splittable
    Pseudorandom Number Generators, OOPSLA 2014).
    """
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    number = (number ^ number >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    number ^= number >> 31
    return -log(((number >> 11) + 0.5) * 2.0**-53)
