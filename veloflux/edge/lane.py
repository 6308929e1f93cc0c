"""A route at run time: its compiled stages, its pools, and what was counted on it."""

import json
from collections import defaultdict

from veloflux.core.flow.exchange import KNOWN_METHODS
from veloflux.core.flow.stages import Stages
from veloflux.core.model.metrics import LATENCY_BUCKETS
from veloflux.core.model.traffic import Route
from veloflux.core.policy.split import Split
from veloflux.edge.histogram import Histogram
from veloflux.edge.pool import Pool


class Tally:
    """What is counted on one route; it outlives the snapshots that have the route.

    `answers` counts by method, then by the first digit of the status; `text` is the route's id for
    the log.
    """

    __slots__ = ("answers", "bytes_in", "bytes_out", "latency", "route", "text")

    def __init__(self, route: str) -> None:
        self.route = route
        self.text = json.dumps(route)
        self.answers: defaultdict[bytes, list[int]] = defaultdict(lambda: [0] * 6)
        self.bytes_in = 0
        self.bytes_out = 0
        self.latency = Histogram(LATENCY_BUCKETS)

    def count(self, method: bytes, status: int, seconds: float) -> None:
        if method not in KNOWN_METHODS:
            method = b"other"
        self.answers[method][status // 100] += 1
        self.latency.observe(seconds)


class Lane:
    """One route of the snapshot in force; requests under way keep the lane that took them."""

    __slots__ = ("pool", "pools", "stages", "tally")

    def __init__(self, route: Route, pools: dict[str, Pool], tally: Tally) -> None:
        self.stages = Stages(route)
        self.pools = Split([(pools[share.pool], share.weight) for share in route.pools])
        # The only one there is, for which no luck is needed.
        self.pool = pools[route.pools[0].pool] if len(route.pools) == 1 else None
        self.tally = tally
