"""Counting durations on the hot path: one bisection, one addition."""

from bisect import bisect_left


class Histogram:
    """Counts per bucket (the last is +Inf) and their sum, in seconds."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    def take(self) -> tuple[tuple[int, ...], float]:
        """What was observed since the last call."""
        taken = tuple(self.counts), self.sum
        self.counts = [0] * len(self.counts)
        self.sum = 0.0
        return taken
