"""What a worker counted, in the form that travels: increases since the last call, gauges as now."""

from collections.abc import Iterable, Iterator

from veloflux.core.model import metrics
from veloflux.core.model.metrics import Distribution, Family, Sample, Tally
from veloflux.edge import lane
from veloflux.edge.histogram import Histogram
from veloflux.edge.listener import Listener
from veloflux.edge.pool import Pool

_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


class Increases:
    """Turns counts that only grow into their increases."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, tuple[str, ...]], float] = {}

    def since(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Those that grew since they were last seen here."""
        for sample in samples:
            key = (sample.family, sample.labels)
            before = self._before.get(key, 0)
            if sample.value > before:
                self._before[key] = sample.value
                yield Sample(sample.family, sample.labels, sample.value - before)


def counters(
    tallies: Iterable[lane.Tally],
    pools: Iterable[Pool],
    listeners: Iterable[Listener],
    log_dropped: int,
) -> Iterator[Sample]:
    """All counters, as totals of this worker's life."""
    for tally in tallies:
        for method, answers in tally.answers.items():
            for code_class, count in zip(_CLASSES, answers, strict=True):
                labels = (tally.route, code_class, method.decode("ascii"))
                yield _sample(metrics.HTTP_REQUESTS, labels, count)
        yield _sample(metrics.HTTP_BYTES, (tally.route, "in"), tally.bytes_in)
        yield _sample(metrics.HTTP_BYTES, (tally.route, "out"), tally.bytes_out)
    for pool in pools:
        for reason, count in pool.retries.items():
            yield _sample(metrics.UPSTREAM_RETRIES, (pool.name, reason), count)
        for backend in pool.backends.values():
            for code_class, count in zip(_CLASSES, backend.answers, strict=True):
                labels = (pool.name, backend.name, code_class)
                yield _sample(metrics.UPSTREAM_REQUESTS, labels, count)
    for listener in listeners:
        name = listener.name
        yield _sample(metrics.CONNECTIONS_ACCEPTED, (name,), listener.accepted)
        for reason, count in listener.rejected.items():
            yield _sample(metrics.CONNECTIONS_REJECTED, (name, reason), count)
        for (protocol, kind), count in listener.errors.items():
            yield _sample(metrics.PROTOCOL_ERRORS, (name, protocol, kind), count)
        yield _sample(metrics.TCP_BYTES, (name, "in"), listener.bytes_in)
        yield _sample(metrics.TCP_BYTES, (name, "out"), listener.bytes_out)
    yield _sample(metrics.ACCESS_LOG_DROPPED, (), log_dropped)


def gauges(pools: Iterable[Pool], listeners: Iterable[Listener]) -> Iterator[Sample]:
    """What is so just now."""
    upstream = 0
    for pool in pools:
        for backend in pool.backends.values():
            upstream += backend.connections
            yield _sample(metrics.UPSTREAM_INFLIGHT, (pool.name, backend.name), backend.inflight)
    yield _sample(metrics.CONNECTIONS, ("upstream", ""), upstream)
    for listener in listeners:
        yield _sample(metrics.CONNECTIONS, ("downstream", listener.name), len(listener.connections))


def distributions(
    tallies: Iterable[lane.Tally], pools: Iterable[Pool], lag: Histogram
) -> Iterator[Distribution]:
    """What was observed since the last call; empty ones are left out."""
    for tally in tallies:
        yield from _taken(metrics.HTTP_DURATION, (tally.route,), tally.latency)
    for pool in pools:
        for backend in pool.backends.values():
            yield from _taken(metrics.UPSTREAM_DURATION, (pool.name, backend.name), backend.latency)
    yield from _taken(metrics.REACTOR_LAG, (), lag)


def whole(samples: Iterable[Sample], taken: Iterable[Distribution]) -> Tally:
    return Tally(tuple(samples), tuple(taken))


def _sample(family: Family, labels: tuple[str, ...], value: float) -> Sample:
    return Sample(family.name, labels, value)


def _taken(family: Family, labels: tuple[str, ...], histogram: Histogram) -> Iterator[Distribution]:
    if any(histogram.counts):
        counts, total = histogram.take()
        yield Distribution(family.name, labels, counts, total)
