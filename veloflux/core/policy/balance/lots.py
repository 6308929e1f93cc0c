"""Two different backends by chance, each as likely as its weight makes it."""

from bisect import bisect
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck


class Lots(Generic[C]):
    """The candidates with weight; `sole` is the one that is left when there are no two."""

    __slots__ = ("_bounds", "_last", "_total", "candidates", "has_two", "sole")

    def __init__(self, candidates: Sequence[C]) -> None:
        self.candidates = [c for c in candidates if c.weight > 0]
        self._bounds = list(accumulate(c.weight for c in self.candidates))
        self._total = self._bounds[-1] if self.candidates else 0
        self._last = len(self.candidates) - 1
        self.has_two = self._last > 0
        self.sole = self.candidates[0] if self._last == 0 else None

    def without(self, excluded: Collection[object]) -> "Lots[C]":
        """The lots of those that are not `excluded`."""
        return Lots([c for c in self.candidates if c not in excluded])

    def two(self, luck: Luck) -> tuple[C, C]:
        """Draw one by weight, and another by weight among the others; needs `has_two`."""
        bounds, last = self._bounds, self._last
        first = bisect(bounds, luck() * self._total, 0, last)
        below = bounds[first - 1] if first else 0
        width = bounds[first] - below
        # The first one's stretch is taken out of the range, and stepped over.
        place = luck() * (self._total - width)
        second = bisect(bounds, place if place < below else place + width, 0, last)
        if second == first:  # a product rounded up to the end of the range
            second = first - 1
        return self.candidates[first], self.candidates[second]
