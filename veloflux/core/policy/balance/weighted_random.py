"""Which backend, by chance? In proportion to the weights, remembering nothing."""

from collections.abc import Collection, Sequence
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck
from veloflux.core.policy.split import Split


class WeightedRandom(Generic[C]):
    """Any candidate, with the probability its weight gives it."""

    __slots__ = ("_candidates", "_luck", "_split")

    def __init__(self, candidates: Sequence[C], luck: Luck) -> None:
        self._candidates = tuple(candidates)
        self._luck = luck
        self._split = Split((c, c.weight) for c in candidates)

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        if excluded:
            left = Split((c, c.weight) for c in self._candidates if c not in excluded)
            return left.pick(self._luck())
        return self._split.pick(self._luck())

    peek = pick  # it has no state but its luck

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        return []
