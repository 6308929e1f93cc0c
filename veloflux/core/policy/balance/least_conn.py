"""Which backend has the least to do? The fewest requests in flight for its weight."""

from collections.abc import Collection, Sequence
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck


class LeastConn(Generic[C]):
    """The lowest `load / weight`; of equals the next after the last one picked.

    Without the turns among equals, an idle pool would send everything to its first backend.
    """

    __slots__ = ("_candidates", "_last")

    def __init__(self, candidates: Sequence[C], luck: Luck) -> None:
        able = [c for c in candidates if c.weight > 0]
        self._candidates = tuple((index, c, c.weight) for index, c in enumerate(able))
        self._last = int(luck() * len(able))

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        last = self._last
        best: C | None = None
        best_index = -1
        least = 0.0
        for index, candidate, weight in self._candidates:
            if excluded and candidate in excluded:
                continue
            load = candidate.load / weight
            if best is None or load < least or (load == least and best_index <= last < index):
                best, best_index, least = candidate, index, load
                if not load and index > last:
                    break  # idle and next in turn: nobody can come before it
        if best is not None:
            self._last = best_index
        return best

    def peek(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        last = self._last
        picked = self.pick(excluded)
        self._last = last
        return picked

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        return [(candidate, candidate.load / weight) for _, candidate, weight in self._candidates]
