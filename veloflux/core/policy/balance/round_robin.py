"""Which backend, in turn? Smooth weighted round robin.

The method is that of nginx ("Upstream: smooth weighted round-robin balancing", 52327e0627f4, in
ngx_http_upstream_round_robin.c): at each step everybody gains its weight, the richest is picked and
pays the sum of all weights. It spreads the picks of a heavy backend over the cycle instead of
sending it a burst. The players here are the distinct weights, each gaining for all its backends
together, and backends of one weight take turns. A step thus costs the number of distinct weights,
which is one or a few, not that of backends.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, cycle, islice
from math import gcd
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck

# Picks of a cycle that are remembered, 8 bytes each. A longer cycle is computed step by step for
# ever: just as exact, at the price of a step per pick.
CYCLE_LIMIT = 16_384
# Steps taken before the first pick, so that workers do not all begin alike.
_HEAD_START = 256
# Turns of a cycle in which short ones are repeated.
_WRITTEN_OUT = 64
# Turns passed to find one that is not excluded, before any other will do.
_PATIENCE = 64


class RoundRobin(Generic[C]):
    """Every backend in turn, weights ignored."""

    __slots__ = ("_ahead", "_candidates", "_later", "_turns")

    def __init__(self, candidates: Sequence[C], luck: Luck) -> None:
        self._candidates = [c for c in candidates if c.weight > 0]
        self._later = schedule([(c, self._share(c)) for c in self._candidates], luck)
        # Turns that were looked at and not taken; they come before the later ones.
        self._ahead: Iterator[C] = iter(())
        self._turns = self._later

    @staticmethod
    def _share(candidate: C) -> int:
        return 1

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        if excluded:
            return self._pick_other(excluded, [])
        return next(self._turns, None)

    def peek(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        passed: list[C] = []
        picked = self._pick_other(excluded, passed)
        self._ahead = iter([*passed, *self._ahead])
        self._turns = chain(self._ahead, self._later)
        return picked

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        return []

    def _pick_other(self, excluded: Collection[object], passed: list[C]) -> C | None:
        """Take turns up to one that is not excluded, noting in `passed` all that were taken."""
        left = [c for c in self._candidates if c not in excluded]
        if not left:
            return None
        for turn in islice(self._turns, _PATIENCE):
            passed.append(turn)
            if turn not in excluded:
                return turn
        return left[0]


class WeightedRoundRobin(RoundRobin[C]):
    """Every backend in turn, as often in a cycle as its weight says."""

    __slots__ = ()

    @staticmethod
    def _share(candidate: C) -> int:
        return candidate.weight


def schedule(shares: Sequence[tuple[C, int]], luck: Luck) -> Iterator[C]:
    """Turns without end, from a lucky place in the cycle; none when there are no shares.

    In any run of as many turns as the weights (divided by what they have in common) sum up to,
    each candidate comes exactly as often as its weight.
    """
    if not shares:
        return
    common = gcd(*(weight for _, weight in shares))
    length = sum(weight for _, weight in shares) // common
    steps = _steps([(candidate, weight // common) for candidate, weight in shares], luck)
    for _ in range(int(luck() * min(length, _HEAD_START))):
        next(steps)
    if length > CYCLE_LIMIT:
        yield from steps
    turns = []
    for turn in islice(steps, length):
        turns.append(turn)
        yield turn
    # Beginning a cycle anew costs as much as a turn: a short one is written out some times.
    yield from cycle(turns * (_WRITTEN_OUT // length or 1))


def _steps(shares: Sequence[tuple[C, int]], luck: Luck) -> Iterator[C]:
    by_weight: dict[int, list[C]] = {}
    for candidate, weight in shares:
        by_weight.setdefault(weight, []).append(candidate)
    gains = [weight * len(group) for weight, group in by_weight.items()]
    groups = [_from(group, luck) for group in by_weight.values()]
    total = sum(gains)
    riches = [0] * len(gains)
    players = range(len(gains))
    while True:
        for player in players:
            riches[player] += gains[player]
        richest = max(players, key=riches.__getitem__)
        riches[richest] -= total
        yield next(groups[richest])


def _from(group: list[C], luck: Luck) -> Iterator[C]:
    start = int(luck() * len(group))
    return cycle(group[start:] + group[:start])
