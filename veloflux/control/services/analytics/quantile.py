"""Which latency do so many of the requests stay below? An estimate from a histogram.

As Prometheus' `histogram_quantile`: the rank is `q` times the count, and requests are taken to be
spread evenly over the bucket that has it. So the answer is never outside that bucket, whose bounds
are a quarter apart; of the last bucket, which has no end, it is the beginning.
"""

from collections.abc import Mapping

from veloflux.core.model.metrics import LATENCY_BOUNDS


def quantile(latency: Mapping[int, int], q: float) -> float:
    """Seconds below which the share `q` of the requests is, 0 of none.

    `latency` has the requests of each bucket of LATENCY_BOUNDS by its place.
    """
    rank = q * sum(latency.values())
    below = 0
    for place in sorted(latency):
        count = latency[place]
        if count and below + count >= rank:
            low, high = edges(place)
            return low + (high - low) * max(rank - below, 0.0) / count
        below += count
    return 0.0


def edges(place: int) -> tuple[float, float]:
    """Where a bucket begins and ends; the last has its beginning as its end."""
    low = LATENCY_BOUNDS[place - 1] if place else 0.0
    return low, LATENCY_BOUNDS[place] if place < len(LATENCY_BOUNDS) else low
