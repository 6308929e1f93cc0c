"""Backends as they are: what the configuration says of each, and what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from veloflux.config.written import Document
from veloflux.control.metrics import Metrics
from veloflux.control.services.analytics.bucket import Bucket, Cell
from veloflux.control.services.configuration.edits import backend_id, items
from veloflux.control.services.status import Status
from veloflux.core.model import metrics as families
from veloflux.core.model.report import BackendReport, PoolReport
from veloflux.core.model.traffic import Backend
from veloflux.fleet.inquiry import Answers

Circuit = Literal["closed", "half_open", "open"]
_WORST: tuple[Circuit, ...] = ("open", "half_open", "closed")
# What the region of a backend is kept as.
REGION = "region"


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend. `connections` are open, and `inflight` requests or relayed connections under way,
    of all workers; `requests` and `failure_count` since the start (failures are 5xx and no answer).

    `latency_ms` is the mean until the head of an answer, of the last minute; `response_time_ms` how
    long its last health check took. `uptime` is for how long its checks have found it healthy.
    What was never measured is null.
    """

    id: str
    address: str
    pool: str
    weight: int
    region: str | None
    labels: dict[str, str]
    enabled: bool
    draining: bool
    backup: bool
    max_connections: int
    status: Literal["healthy", "unhealthy", "unknown"]
    healthy: bool
    ejected: bool
    connections: int
    inflight: int
    requests: int
    failure_count: int
    circuit_state: Circuit
    latency_ms: float | None
    response_time_ms: float | None
    last_check: datetime | None
    uptime: str | None


class Backends:
    """All that is known of them at one moment: `document` is in force, `minute` the last one's
    traffic, `now` Unix time."""

    def __init__(
        self,
        document: Document,
        status: Status,
        metrics: Metrics,
        answers: Answers,
        minute: Bucket,
        now: float,
    ) -> None:
        self._document = document
        self._snapshot = status.in_force.snapshot
        self._states = status.checks.states()
        self._ejected = frozenset(status.fleet.ejections())
        self._reports = status.checks.reports()
        self._metrics = metrics
        self._minute = minute
        self._now = now
        self._told: dict[tuple[str, str], list[BackendReport]] = {}
        self._circuits: dict[str, set[str]] = {}
        for answer in answers.values():
            for pool in answer.pools:
                self._take(pool)

    def rows(self, pool: str | None = None) -> list[BackendRow]:
        """Return all, or a pool's."""
        return list(self._rows(pool))

    def row(self, i: int, k: int) -> BackendRow:
        """Return one by its place in the document."""
        pool = self._snapshot.pools[i]
        backend = pool.backends[k]
        written = items(items(self._document, "pools")[i], "backends")[k].get("address")
        counted = self._counted(pool.name, str(backend.address))
        return self._row(backend_id(pool.name, written), pool.name, backend, *counted)

    def _rows(self, wanted: str | None) -> Iterator[BackendRow]:
        for i, pool in enumerate(self._snapshot.pools):
            if wanted in (None, pool.name):
                yield from (self.row(i, k) for k in range(len(pool.backends)))

    def _take(self, report: PoolReport) -> None:
        self._circuits.setdefault(report.name, set()).add(report.circuit)
        for backend in report.backends:
            self._told.setdefault((report.name, backend.address), []).append(backend)

    def _counted(self, pool: str, address: str) -> tuple[int, int]:
        counts = self._metrics.sums(families.UPSTREAM_REQUESTS)
        by_class = {name: _number(counts.get((pool, address, name), 0.0)) for name in _CLASSES}
        return sum(by_class.values()), by_class["none"] + by_class["5xx"]

    def _row(
        self, name: str, pool: str, backend: Backend, requests: int, failures: int
    ) -> BackendRow:
        address = str(backend.address)
        key = (pool, address)
        state = self._states.get(key, "unknown")
        is_ejected = key in self._ejected
        told = self._told.get(key, [])
        report = self._reports.get(key)
        ended = None if report is None else report.ended_ago_s
        return BackendRow(
            id=name,
            address=address,
            pool=pool,
            weight=backend.weight,
            region=backend.labels.get(REGION),
            labels=dict(backend.labels),
            enabled=backend.enabled,
            draining=backend.enabled and not backend.weight,
            backup=backend.backup,
            max_connections=backend.max_connections,
            status="unhealthy" if is_ejected else state,
            healthy=state != "unhealthy" and not is_ejected,
            ejected=is_ejected,
            connections=sum(each.connections for each in told),
            inflight=sum(each.inflight for each in told),
            requests=requests,
            failure_count=failures,
            circuit_state=self._circuit(pool),
            latency_ms=_mean_ms(self._minute.groups["backend"].get(f"{pool}/{address}")),
            response_time_ms=None if report is None else _ms(report.took_s),
            last_check=None if ended is None else datetime.fromtimestamp(self._now - ended, UTC),
            uptime=None if report is None or state != "healthy" else f"{report.since_s:.1f}s",
        )

    def _circuit(self, pool: str) -> Circuit:
        """The worst that a worker tells; closed where there is no circuit breaker."""
        found = self._circuits.get(pool, set())
        return next((each for each in _WORST if each in found), "closed")


def written(body: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a backend as the document has it, of the fields that the API has: `region` is a label
    there, and who is `draining` has weight 0."""
    found = {key: value for key, value in body.items() if key not in (REGION, "draining")}
    labels = found.get("labels", (before or {}).get("labels", {}))
    # What is no mapping is refused with the rest of the configuration.
    if REGION in body and isinstance(labels, Mapping):
        labels = dict(labels)
        if body[REGION] is None:
            labels.pop(REGION, None)
        else:
            labels[REGION] = body[REGION]
        found["labels"] = labels
    return found


_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


def _number(value: object) -> int:
    assert isinstance(value, float | int)
    return int(value)


def _mean_ms(cell: Cell | None) -> float | None:
    answered = 0 if cell is None else sum(cell.latency.values())
    return None if cell is None or not answered else _ms(cell.seconds / answered)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
