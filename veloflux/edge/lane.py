"""A route at run time: its compiled stages, its pools, and what was counted on it."""

import json
from bisect import bisect_left

from veloflux.core.flow.exchange import KNOWN_METHODS
from veloflux.core.flow.stages import Stages
from veloflux.core.model import metrics
from veloflux.core.model.metrics import LATENCY_BOUNDS, Distribution, Sample, sparse
from veloflux.core.model.traffic import Route
from veloflux.core.policy.split import Split
from veloflux.edge.compression import Compressing
from veloflux.edge.mirror import Mirrored, Mirroring
from veloflux.edge.pool import NO_POOL, Pool
from veloflux.edge.tally import CODE_CLASSES, Counted

# Where each method's counts are in a row; those of any other method come first.
_METHODS = (b"other", *sorted(KNOWN_METHODS))
_PLACES = {method: place * len(CODE_CLASSES) for place, method in enumerate(_METHODS)}
_LABELS = [(code, method.decode("ascii")) for method in _METHODS for code in CODE_CLASSES]
_ROW = len(_LABELS)
_COUNTS = _ROW + len(LATENCY_BOUNDS) + 1


class Tally:
    """What is counted on one route; it outlives the snapshots that have the route.

    `counts` are answers by method, then by the first digit of the status, and after those the
    answers by bucket of their `seconds`: of ten thousand routes' counts few are in the processor's
    cache, so they must not be in many places. `allowed` and `limited` is what the route's limit let
    through and did not; `text` is the route's id for the log; `mirrored` is there once the route
    had a mirror. `is_new` says that something was counted since it was last taken: among ten
    thousand routes few have anything to tell each second.
    """

    __slots__ = (
        "allowed",
        "bytes_in",
        "bytes_out",
        "counts",
        "is_new",
        "limited",
        "mirrored",
        "route",
        "seconds",
        "text",
    )

    def __init__(self, route: str) -> None:
        self.route = route
        self.text = json.dumps(route)
        self.is_new = False
        self.counts = [0] * _COUNTS
        self.seconds = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.allowed = 0
        self.limited = 0
        self.mirrored: Mirrored | None = None

    def count(self, method: bytes, status: int, seconds: float) -> None:
        counts = self.counts
        counts[_PLACES.get(method, 0) + status // 100] += 1
        counts[_ROW + bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self.seconds += seconds

    def take(self) -> Counted:
        """What was counted since the last time."""
        counts, self.counts = self.counts, [0] * _COUNTS
        seconds, self.seconds = self.seconds, 0.0
        buckets = sparse(counts[_ROW:])
        for place in filter(counts.__getitem__, range(_ROW)):
            labels = (self.route, *_LABELS[place])
            yield Sample(metrics.HTTP_REQUESTS.name, labels, counts[place])
        if self.bytes_in:
            yield Sample(metrics.HTTP_BYTES.name, (self.route, "in"), self.bytes_in)
        if self.bytes_out:
            yield Sample(metrics.HTTP_BYTES.name, (self.route, "out"), self.bytes_out)
        if buckets:
            yield Distribution(metrics.HTTP_DURATION.name, (self.route,), buckets, seconds)
        if self.mirrored is not None:
            yield from self.mirrored.take(self.route)
        if self.allowed:
            yield Sample(metrics.RATELIMIT_DECISIONS.name, (self.route, "allowed"), self.allowed)
        if self.limited:
            yield Sample(metrics.RATELIMIT_DECISIONS.name, (self.route, "limited"), self.limited)
        self.bytes_in = self.bytes_out = self.allowed = self.limited = 0
        self.is_new = False


class Lane:
    """One route of the snapshot in force; requests under way keep the lane that took them."""

    __slots__ = ("_pools", "_split", "compressing", "mirroring", "pool", "stages", "tally")

    def __init__(self, route: Route, pools: dict[str, Pool], tally: Tally) -> None:
        self.stages = Stages(route)
        self.compressing = None if route.compression is None else Compressing(route.compression)
        self.mirroring: Mirroring | None = None
        if route.mirror is not None:
            tally.mirrored = tally.mirrored or Mirrored()
            self.mirroring = Mirroring(route.mirror, pools[route.mirror.pool], tally.mirrored)
        shares = [(pools[share.pool], share.weight) for share in route.pools]
        weighted = [pool for pool, weight in shares if weight]
        # The only one there is, for which no luck is needed.
        self.pool = None if len(weighted) > 1 else (weighted or [NO_POOL])[0]
        self._split = Split(shares) if self.pool is None else None
        self._pools = tuple(pool for pool, _ in shares)
        if self.mirroring is not None:
            self._pools += (self.mirroring.pool,)
        self.tally = tally

    def pick(self, luck: float) -> Pool:
        """One of several pools, by weight."""
        assert self._split is not None
        pool = self._split.pick(luck)
        assert pool is not None
        return pool

    def serves(self, route: Route, pools: dict[str, Pool]) -> bool:
        """Whether this lane is what `route` needs, its pools being the same objects."""
        mine = self.stages.route
        # Mostly it is the very same, and the comparison of all fields takes its time.
        return (mine is route or mine == route) and all(
            pools.get(pool.name) is pool for pool in self._pools
        )
