"""Which backend will answer first? Of two lucky ones, that with less latency times work.

The method is that of Finagle (PeakEwma.scala in com.twitter.finagle.loadbalancer) and Linkerd: what
a request will cost is the peak-sensitive average latency times the requests that would then be in
flight.
"""

from collections.abc import Collection, Sequence
from math import inf
from operator import itemgetter
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck
from veloflux.core.policy.balance.lots import Lots

# So many are all looked at: of three of which two are in trouble, two lucky ones may be just those.
_FEW = 3

_cost = itemgetter(1)


class PeakEwmaOfTwo(Generic[C]):
    """The lower `latency * (load + 1) / weight` of two distinct candidates drawn by weight, or of
    all when they are few.

    One of which no latency is known yet is taken to be like those it stands against, so that its
    load decides: it gets its share from the start, and what it is like is known with its first
    answer.
    """

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
        drawn: Sequence[C] = lots.candidates
        if len(drawn) > _FEW:
            drawn = lots.two(self._luck)
        else:
            start = int(self._luck() * len(drawn))  # equals have the same chance
            drawn = (*drawn[start:], *drawn[:start])
        best: C | None = None
        least = inf
        for candidate in drawn:
            latency = candidate.latency
            if not latency.is_known:
                return min(_costs(drawn, now), key=_cost)[0]
            cost = latency.value(now) * (candidate.load + 1) / candidate.weight
            if best is None or cost < least:
                best, least = candidate, cost
        return best

    peek = pick  # it has no state but its luck

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        """The costs, in seconds for a weight of 1."""
        return _costs(self._lots.candidates, now)


def _costs(candidates: Sequence[C], now: float) -> list[tuple[C, float]]:
    known = [c.latency.value(now) for c in candidates if c.latency.is_known]
    typical = sum(known) / len(known) if known else 1.0
    return [
        (c, (c.latency.value(now) if c.latency.is_known else typical) * (c.load + 1) / c.weight)
        for c in candidates
    ]
