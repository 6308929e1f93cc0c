"""Tallies as workers send them."""

from bisect import bisect_left

from veloflux.core.model import metrics
from veloflux.core.model.metrics import LATENCY_BOUNDS, Distribution, Sample, Tally


def tally(
    route: str = "app",
    *,
    count: int = 1,
    status: int = 200,
    seconds: float = 0.01,
    connections: int = 0,
    backend: str | None = "10.0.0.1:80",
) -> Tally:
    """So many requests of one kind, and so many open connections."""
    code_class = f"{status // 100}xx" if status else "none"
    samples = [
        Sample(metrics.HTTP_REQUESTS.name, (route, code_class, "GET"), count),
        Sample(metrics.HTTP_RESPONSES.name, (str(status),), count),
        Sample(metrics.HTTP_BYTES.name, (route, "in"), 10 * count),
        Sample(metrics.HTTP_BYTES.name, (route, "out"), 100 * count),
        Sample(metrics.CONNECTIONS.name, ("downstream", "web"), float(connections)),
        Sample(metrics.CONNECTIONS.name, ("upstream", ""), 77.0),
    ]
    counts = {bisect_left(LATENCY_BOUNDS, seconds): count}
    times = [Distribution(metrics.HTTP_DURATION.name, (route,), counts, seconds * count)]
    if backend is not None:
        labels = ("web", backend)
        samples.append(Sample(metrics.UPSTREAM_REQUESTS.name, (*labels, code_class), count))
        times.append(Distribution(metrics.UPSTREAM_DURATION.name, labels, counts, seconds * count))
    return Tally(tuple(samples), tuple(times))
