"""Which backend will answer first? Of two lucky ones, that with less latency times work.

The method is that of Finagle and Linkerd (W. Morgan, Beyond Round Robin: Load Balancing for
Latency, 2016): what a request will cost is the peak-sensitive average latency times the requests
that would then be in flight.
"""

from collections.abc import Collection, Sequence
from typing import Generic

from veloflux.core.policy.balance.candidate import C, Luck
from veloflux.core.policy.balance.lots import Lots


class PeakEwmaOfTwo(Generic[C]):
    """The lower `latency * (load + 1) / weight` of two distinct candidates drawn by weight.

    One of which no latency is known yet is taken to be like the one it stands against, so that its
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
        one, other = lots.two(self._luck)
        cost = (one.load + 1) * other.weight
        other_cost = (other.load + 1) * one.weight
        if one.latency.is_known and other.latency.is_known:
            return (
                one
                if cost * one.latency.value(now) <= other_cost * other.latency.value(now)
                else other
            )
        return one if cost <= other_cost else other

    peek = pick  # it has no state but its luck

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        """The costs in seconds; who is unknown stands for the mean of the others."""
        candidates = self._lots.candidates
        known = [c.latency.value(now) for c in candidates if c.latency.is_known]
        typical = sum(known) / len(known) if known else 1.0
        return [
            (c, (c.latency.value(now) if c.latency.is_known else typical) * (c.load + 1) / c.weight)
            for c in candidates
        ]
