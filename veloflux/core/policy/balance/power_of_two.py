"""Which backend? The less loaded of two lucky ones.

Looking at two instead of one makes the longest queue exponentially shorter, and looking at more
brings little (M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE TPDS
12(10), 2001). Counts that are a little behind do little harm either, since not everybody goes to
the one that seems least loaded. Envoy's LEAST_REQUEST and nginx's `random two` do the same.
"""

from collections.abc import Collection, Sequence
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck
from veloflux.core.policy.balance.lots import Lots


class PowerOfTwo(Generic[C]):
    """Two distinct candidates drawn by weight, of which the lower `load / weight` is picked."""

    __slots__ = ("_lots", "_luck")

    def __init__(self, candidates: Sequence[C], luck: Luck) -> None:
        self._lots = Lots(candidates)
        self._luck = luck

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        lots = self._lots.without(excluded) if excluded else self._lots
        if not lots.has_two:
            return lots.sole
        one, other = lots.two(self._luck)
        return one if one.load * other.weight <= other.load * one.weight else other

    peek = pick  # it has no state but its luck

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        return [(c, c.load / c.weight) for c in self._lots.candidates]
