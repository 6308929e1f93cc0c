"""How often did it happen lately? Counts over the last seconds, in eleven numbers.

The span is cut in ten parts and the oldest of eleven is dropped when a new one begins, as in
Finagle's `WindowedAdder` and the counters of Hystrix. Nothing is done per event but an addition.
"""

from math import floor

_PARTS = 10


class Window:
    """Events within the last `span_s` seconds; the times it is told never go back."""

    __slots__ = ("_counts", "_ends", "_place", "_slot", "_step")

    def __init__(self, span_s: float) -> None:
        self._step = span_s / _PARTS
        self._counts = [0] * (_PARTS + 1)
        self._slot = 0
        self._place = 0
        self._ends = float("-inf")

    def add(self, now: float, times: int = 1) -> None:
        """It happened at `now`, so many times."""
        if now >= self._ends:
            self._turn(now)
        self._counts[self._place] += times

    def at_most(self, now: float) -> int:
        """So many within the span, and perhaps some a tenth of a span older."""
        if now >= self._ends:
            self._turn(now)
        return sum(self._counts)

    def at_least(self, now: float) -> int:
        """So many within the span, and perhaps some more in its oldest tenth."""
        if now >= self._ends:
            self._turn(now)
        return sum(self._counts) - self._counts[(self._slot + 1) % (_PARTS + 1)]

    def clear(self) -> None:
        """Nothing ever happened."""
        self._counts = [0] * (_PARTS + 1)

    def _turn(self, now: float) -> None:
        slot = floor(now / self._step)
        for passed in range(max(self._slot + 1, slot - _PARTS), slot + 1):
            self._counts[passed % (_PARTS + 1)] = 0
        self._slot = slot
        self._place = slot % (_PARTS + 1)
        self._ends = (slot + 1) * self._step
