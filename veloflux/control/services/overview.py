"""Figures for who wants to see at a glance how it goes: everything measured, nothing made up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from veloflux.control.services.analytics.analytics import Analytics
from veloflux.control.services.analytics.bucket import Bucket, Cell
from veloflux.control.services.analytics.quantile import edges
from veloflux.control.services.analytics.query import Point, measures, point
from veloflux.control.services.host import Cpu, Disk, Host, Memory, Network
from veloflux.control.services.moments import moment
from veloflux.control.services.status import BackendState, Status

MINUTE_S = 60
# Seconds of a step of the last minutes.
STEP_S = 5
_UNUSABLE: tuple[BackendState, ...] = ("unhealthy", "ejected")


@dataclass(frozen=True, slots=True)
class Requests:
    """`total` since the daemon's start; the rest of the last minute. Times are milliseconds, the
    error rate 0 to 1."""

    total: int
    rate_per_minute: float
    error_rate: float
    avg_response_time: float
    p50_response_time: float
    p95_response_time: float
    p99_response_time: float
    active_connections: int


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """A pool's backends, and its requests of the last minute."""

    name: str
    total: int
    healthy: int
    unhealthy: int
    requests_per_minute: float
    error_rate: float
    p95_response_time: float


@dataclass(frozen=True, slots=True)
class Backends:
    """`unhealthy` by checks or by traffic; what is neither is not checked, draining or disabled."""

    total: int
    healthy: int
    unhealthy: int
    pools: tuple[PoolFigures, ...]


@dataclass(frozen=True, slots=True)
class StatusCode:
    """Answers with one status since the daemon's start; 0 is for no answer."""

    code: int
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Security:
    """What was turned away since the daemon's start."""

    protocol_errors: int
    connections_rejected: int
    rate_limited: int
    rate_allowed: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything in one; the figures of the machine are null until they are measured, in the first
    seconds."""

    timestamp: datetime
    uptime: str
    cpu: Cpu | None
    memory: Memory | None
    disk: Disk | None
    network: Network | None
    requests: Requests
    requests_total: int
    active_connections: int
    avg_response_time: float
    error_rate: float
    backends: Backends
    http_status_codes: tuple[StatusCode, ...]
    security: Security


@dataclass(frozen=True, slots=True)
class Realtime:
    """The last minute; each `…_trend` is the change from the minute before in per cent, null where
    that had nothing to compare with."""

    timestamp: datetime
    requests_per_minute: float
    total_requests: int
    errors: int
    error_rate: float
    avg_response_time: float
    active_connections: int
    requests_per_minute_trend: float | None
    error_rate_trend: float | None
    avg_response_time_trend: float | None
    active_connections_trend: float | None


@dataclass(frozen=True, slots=True)
class ResponseTime:
    """Milliseconds in one step."""

    timestamp: datetime
    avg: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class RequestCount:
    """Requests in one step."""

    timestamp: datetime
    requests: int
    errors: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rates in one step."""

    timestamp: datetime
    requests_per_second: float
    bytes_in_per_second: float
    bytes_out_per_second: float


@dataclass(frozen=True, slots=True)
class Range:
    """Requests that took from `from_ms` to `to_ms`, null for no end."""

    from_ms: float
    to_ms: float | None
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Performance:
    """The last quarter of an hour in steps of five seconds; `series` has all of what the others
    show in part."""

    step: str
    response_times: tuple[ResponseTime, ...]
    requests_timeline: tuple[RequestCount, ...]
    latency_distribution: tuple[Range, ...]
    throughput: tuple[Throughput, ...]
    series: tuple[Point, ...]


def overview(status: Status, analytics: Analytics, host: Host, now: float) -> Overview:
    """How it goes; `now` is Unix time."""
    series = analytics.series
    last = analytics.last(MINUTE_S)
    found = measures(last.total)
    whole = series.since_start()
    total = whole.total.requests
    requests = Requests(
        total=total,
        rate_per_minute=_per_minute(last, found.requests),
        error_rate=found.error_rate,
        avg_response_time=found.avg_response_time,
        p50_response_time=found.p50_response_time,
        p95_response_time=found.p95_response_time,
        p99_response_time=found.p99_response_time,
        active_connections=series.connections,
    )
    machine = host.latest
    return Overview(
        timestamp=moment(now),
        uptime=status.uptime,
        cpu=machine.cpu if machine else None,
        memory=machine.memory if machine else None,
        disk=machine.disk if machine else None,
        network=machine.network if machine else None,
        requests=requests,
        requests_total=total,
        active_connections=series.connections,
        avg_response_time=found.avg_response_time,
        error_rate=found.error_rate,
        backends=_backends(status, last),
        http_status_codes=_codes(whole),
        security=Security(
            protocol_errors=series.security["protocol_errors"],
            connections_rejected=series.security["connections_rejected"],
            rate_limited=series.security["rate_limited"],
            rate_allowed=series.security["rate_allowed"],
        ),
    )


def realtime(analytics: Analytics, now: float) -> Realtime:
    """The last minute beside the one before; `now` is Unix time."""
    series = analytics.series
    whole = series.since_start().total
    last, both = analytics.last(MINUTE_S), analytics.last(2 * MINUTE_S)
    before = _difference(both, last)
    found, then = measures(last.total), measures(before.total)
    rate, rate_then = _per_minute(last, found.requests), _per_minute(before, then.requests)
    has_both = bool(found.requests and then.requests)
    return Realtime(
        timestamp=moment(now),
        requests_per_minute=rate,
        total_requests=whole.requests,
        errors=whole.errors,
        error_rate=found.error_rate,
        avg_response_time=found.avg_response_time,
        active_connections=series.connections,
        requests_per_minute_trend=_trend(rate, rate_then),
        error_rate_trend=_trend(found.error_rate, then.error_rate) if has_both else None,
        avg_response_time_trend=_trend(found.avg_response_time, then.avg_response_time)
        if has_both
        else None,
        active_connections_trend=_trend(_open(last), _open(before)),
    )


def performance(seconds: Sequence[Bucket]) -> Performance:
    """What the last seconds were like; it takes some milliseconds."""
    steps: dict[int, Bucket] = {}
    whole = Cell()
    for second in seconds:
        at = second.at // STEP_S * STEP_S
        step = steps.setdefault(at, Bucket(at))
        step.length_s += second.length_s
        step.open_s += second.open_s
        step.peak = max(step.peak, second.peak)
        step.total.add(second.total)
        whole.add(second.total)
    points = tuple(point(steps[at]) for at in sorted(steps))
    return Performance(
        step=f"{STEP_S}s",
        response_times=tuple(
            ResponseTime(each.timestamp, each.avg, each.p50, each.p95, each.p99) for each in points
        ),
        requests_timeline=tuple(
            RequestCount(each.timestamp, each.requests, each.errors) for each in points
        ),
        latency_distribution=_distribution(whole),
        throughput=tuple(
            Throughput(
                each.timestamp,
                each.requests_per_second,
                round(each.bytes_in / each.measured_s, 1) if each.measured_s else 0.0,
                round(each.bytes_out / each.measured_s, 1) if each.measured_s else 0.0,
            )
            for each in points
        ),
        series=points,
    )


def _backends(status: Status, last: Bucket) -> Backends:
    backends = status.backends()
    states: dict[str, list[BackendState]] = {
        pool.name: [] for pool in status.in_force.snapshot.pools
    }
    for pool, _, state in backends:
        states[pool].append(state)
    cells = last.groups["pool"]
    pools = []
    for name, found in states.items():
        cell = cells.get(name, Cell())
        measured = measures(cell)
        pools.append(
            PoolFigures(
                name=name,
                total=len(found),
                healthy=found.count("healthy"),
                unhealthy=sum(found.count(state) for state in _UNUSABLE),
                requests_per_minute=_per_minute(last, measured.requests),
                error_rate=measured.error_rate,
                p95_response_time=measured.p95_response_time,
            )
        )
    return Backends(
        total=len(backends),
        healthy=sum(each.healthy for each in pools),
        unhealthy=sum(each.unhealthy for each in pools),
        pools=tuple(pools),
    )


def _codes(whole: Bucket) -> tuple[StatusCode, ...]:
    counts = {int(name): cell.requests for name, cell in whole.groups["status"].items()}
    total = sum(counts.values())
    return tuple(
        StatusCode(code, counts[code], round(counts[code] / total, 6)) for code in sorted(counts)
    )


def _distribution(cell: Cell) -> tuple[Range, ...]:
    total = sum(cell.latency.values())
    found = []
    for place in sorted(cell.latency):
        low, high = edges(place)
        count = cell.latency[place]
        end = round(high * 1e3, 3) if high > low else None
        found.append(Range(round(low * 1e3, 3), end, count, round(count / total, 6)))
    return tuple(found)


def _difference(both: Bucket, last: Bucket) -> Bucket:
    """What was before `last`; only sums."""
    found = Bucket(both.at, both.length_s - last.length_s)
    found.open_s = both.open_s - last.open_s
    total = found.total
    total.answers = [a - b for a, b in zip(both.total.answers, last.total.answers, strict=True)]
    total.seconds = both.total.seconds - last.total.seconds
    total.latency = {
        place: count - last.total.latency.get(place, 0)
        for place, count in both.total.latency.items()
    }
    return found


def _per_minute(bucket: Bucket, count: int) -> float:
    return round(count * MINUTE_S / bucket.length_s, 2) if bucket.length_s else 0.0


def _open(bucket: Bucket) -> float:
    return bucket.open_s / bucket.length_s if bucket.length_s else 0.0


def _trend(now: float, then: float) -> float | None:
    return round(100.0 * (now - then) / then, 2) if then > 0 else None
