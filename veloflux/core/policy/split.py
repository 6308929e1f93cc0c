"""Which of a route's pools takes this request? (A canary is the pool with the small weight.)"""

from bisect import bisect
from collections.abc import Iterable
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")


class Split(Generic[T]):
    """Things with integer weights; each is picked in proportion to its own, 0 never."""

    __slots__ = ("_bounds", "_choices", "_last", "_sole", "_total")

    def __init__(self, shares: Iterable[tuple[T, int]]) -> None:
        weighted = [(choice, weight) for choice, weight in shares if weight > 0]
        self._choices = [choice for choice, _ in weighted]
        self._bounds = list(accumulate(weight for _, weight in weighted))
        self._total = self._bounds[-1] if weighted else 0
        self._last = len(weighted) - 1
        self._sole = self._choices[0] if len(weighted) == 1 else None

    @property
    def needs_luck(self) -> bool:
        """Whether there is more than one to pick."""
        return self._last > 0

    def pick(self, luck: float) -> T | None:
        """The choice that `luck`, at least 0 and below 1, falls on; None when none has weight."""
        if self._last < 1:
            return self._sole
        # The last is left out of the search: a product rounded up to the total has an owner too.
        return self._choices[bisect(self._bounds, luck * self._total, 0, self._last)]
