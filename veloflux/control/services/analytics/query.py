"""What buckets of time say about a period: totals, a time series, and who had how much of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from veloflux.control.services.analytics.bucket import KINDS, Bucket, Cell, Kind
from veloflux.control.services.analytics.quantile import quantile
from veloflux.control.services.moments import moment

Period = Literal["1h", "24h", "7d", "30d"]
# Seconds of each period, and of a step of its time series.
PERIODS: dict[Period, tuple[int, int]] = {
    "1h": (3600, 60),
    "24h": (24 * 3600, 300),
    "7d": (7 * 24 * 3600, 3600),
    "30d": (30 * 24 * 3600, 6 * 3600),
}
# Names in a list of the busiest, and groups that have time series of their own.
TOP = 10
MAX_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of some requests; times are milliseconds, sizes bytes, rates 0 to 1.

    `errors` are answers of 5xx and requests without an answer, `client_errors` those of 4xx.
    """

    requests: int
    errors: int
    error_rate: float
    client_errors: int
    bytes_in: int
    bytes_out: int
    avg_response_time: float
    p50_response_time: float
    p95_response_time: float
    p99_response_time: float


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a time series that begins at `timestamp`; rates are per second of it that was
    measured, which is `measured_s` seconds."""

    timestamp: datetime
    measured_s: float
    requests: int
    requests_per_second: float
    errors: int
    error_rate: float
    bytes_in: int
    bytes_out: int
    avg: float
    p50: float
    p95: float
    p99: float
    active_connections: float
    peak_connections: int


@dataclass(frozen=True, slots=True)
class Group(Measures):
    """One name's part; `series` has its requests in each step."""

    name: str
    share: float
    series: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A name among the busiest, or among those that fail most."""

    name: str
    requests: int
    errors: int


@dataclass(frozen=True, slots=True)
class Top:
    """The busiest of each kind, and the routes and backends with the most errors."""

    routes: tuple[Ranked, ...]
    pools: tuple[Ranked, ...]
    backends: tuple[Ranked, ...]
    statuses: tuple[Ranked, ...]
    failing_routes: tuple[Ranked, ...]
    failing_backends: tuple[Ranked, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A period, from `since` to `until`; `measured_s` is how long of it the daemon has run."""

    period: Period
    group_by: Kind
    since: datetime
    until: datetime
    step: str
    measured_s: float
    totals: Measures
    series: tuple[Point, ...]
    groups: tuple[Group, ...]
    top: Top


def beginning(period: Period, now: float) -> int:
    """When the first step of a period begins that ends now."""
    length, step = PERIODS[period]
    return int(now) // step * step + step - length


def report(buckets: Iterable[Bucket], period: Period, group_by: Kind, now: float) -> Report:
    """Add up the buckets of a period; those outside it are left out."""
    length, step = PERIODS[period]
    since = beginning(period, now)
    steps = [Bucket(since + place * step) for place in range(length // step)]
    whole = Bucket(since)
    rows: dict[str, list[int]] = {}
    for bucket in buckets:
        place = (bucket.at - since) // step
        if not 0 <= place < len(steps):
            continue
        whole.add(bucket)
        named = steps[place]
        named.length_s += bucket.length_s
        named.open_s += bucket.open_s
        named.peak = max(named.peak, bucket.peak)
        named.total.add(bucket.total)
        for name, cell in bucket.groups.get(group_by, {}).items():
            rows.setdefault(name, [0] * len(steps))[place] += cell.requests
    return Report(
        period=period,
        group_by=group_by,
        since=moment(since),
        until=moment(now),
        step=f"{step}s",
        measured_s=round(whole.length_s, 1),
        totals=measures(whole.total),
        series=tuple(map(point, steps)),
        groups=_groups(whole, group_by, rows),
        top=_top(whole),
    )


def point(bucket: Bucket) -> Point:
    """A bucket as a step of a time series."""
    found = measures(bucket.total)
    length = bucket.length_s
    return Point(
        timestamp=moment(bucket.at),
        measured_s=round(length, 1),
        requests=found.requests,
        requests_per_second=round(found.requests / length, 3) if length else 0.0,
        errors=found.errors,
        error_rate=found.error_rate,
        bytes_in=found.bytes_in,
        bytes_out=found.bytes_out,
        avg=found.avg_response_time,
        p50=found.p50_response_time,
        p95=found.p95_response_time,
        p99=found.p99_response_time,
        active_connections=round(bucket.open_s / length, 2) if length else 0.0,
        peak_connections=bucket.peak,
    )


def measures(cell: Cell) -> Measures:
    """A cell's counts in words."""
    requests, errors = cell.requests, cell.errors
    timed = sum(cell.latency.values())
    p50, p95, p99 = (_ms(quantile(cell.latency, q)) for q in (0.5, 0.95, 0.99))
    return Measures(
        requests=requests,
        errors=errors,
        error_rate=round(errors / requests, 6) if requests else 0.0,
        client_errors=cell.answers[4],
        bytes_in=cell.bytes_in,
        bytes_out=cell.bytes_out,
        avg_response_time=_ms(cell.seconds / timed if timed else 0.0),
        p50_response_time=p50,
        p95_response_time=p95,
        p99_response_time=p99,
    )


def _groups(whole: Bucket, kind: Kind, rows: dict[str, list[int]]) -> tuple[Group, ...]:
    cells = whole.groups[kind]
    everything = sum(cell.requests for cell in cells.values())
    ranked = sorted(cells, key=lambda name: -cells[name].requests)[:MAX_GROUPS]
    return tuple(
        Group(
            **_fields(measures(cells[name])),
            name=name,
            share=round(cells[name].requests / everything, 6) if everything else 0.0,
            series=tuple(rows.get(name, ())),
        )
        for name in ranked
    )


def _top(whole: Bucket) -> Top:
    busiest = [_ranked(whole.groups[kind], by="requests") for kind in KINDS]
    failing = [_ranked(whole.groups[kind], by="errors") for kind in ("route", "backend")]
    routes, pools, backends, statuses = busiest
    return Top(routes, pools, backends, statuses, *failing)


def _ranked(cells: dict[str, Cell], by: Literal["requests", "errors"]) -> tuple[Ranked, ...]:
    ranked = [Ranked(name, cell.requests, cell.errors) for name, cell in cells.items()]
    ranked = [each for each in ranked if getattr(each, by)]
    return tuple(sorted(ranked, key=lambda each: (-getattr(each, by), each.name))[:TOP])


def _fields(found: Measures) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Measures.__dataclass_fields__}


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
