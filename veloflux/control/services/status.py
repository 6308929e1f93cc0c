"""How the daemon is: its workers, the configuration in force, its pools and their backends.

Healthy means that every worker serves and every pool has a backend to send to; unhealthy that no
worker serves, or no pool has one; degraded is what is between.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from veloflux import __version__
from veloflux.core.model.traffic import Backend, Pool, Snapshot
from veloflux.core.policy.health import State
from veloflux.fleet.probes import Counts, Report
from veloflux.fleet.supervisor import WorkerStatus
from veloflux.fleet.worker import State as WorkerState

Condition = Literal["healthy", "degraded", "unhealthy"]
BackendState = Literal["healthy", "unhealthy", "unknown", "ejected", "draining", "disabled"]


class Fleet(Protocol):
    """The worker processes."""

    @property
    def is_draining(self) -> bool: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def restarts(self) -> int: ...
    def status(self) -> Sequence[WorkerStatus]: ...
    def ejections(self) -> Collection[tuple[str, str]]: ...


class Checks(Protocol):
    """The active health checks."""

    @property
    def counts(self) -> Counts: ...
    def states(self) -> Mapping[tuple[str, str], State]: ...
    def reports(self) -> Mapping[tuple[str, str], Report]: ...


@dataclass(frozen=True, slots=True)
class InForce:
    """The configuration in force, and how many workers it asks for; `at` is Unix time."""

    snapshot: Snapshot
    workers: int
    digest: str
    at: float


@dataclass(frozen=True, slots=True)
class Health:
    """The condition in one word, and the active checks made since the start."""

    status: Condition
    timestamp: datetime
    version: str
    total_checks: int
    successful_checks: int
    failed_checks: int
    uptime_percentage: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole in a few numbers; `uptime` is text like `12.5s`."""

    status: Condition
    version: str
    uptime: str
    config_revision: int
    pools: int
    backends: int
    healthy_backends: int
    routes: int
    draining: bool


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """One worker; `config_revision` is what it serves by."""

    index: int
    pid: int
    state: str
    config_revision: int
    restarts: int
    connections: int
    uptime: str


@dataclass(frozen=True, slots=True)
class Details(Summary):
    """The summary, and every worker."""

    node_id: str
    is_leader: bool
    workers: tuple[WorkerSummary, ...]


_NOTHING = InForce(Snapshot(0, (), (), ()), 0, "", 0.0)


class Status:
    """Knows what is in force, and says how it goes.

    `clock` gives monotonic seconds, the same that workers' starts are measured by; `now` Unix time.
    """

    def __init__(
        self,
        fleet: Fleet,
        checks: Checks,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.fleet = fleet
        self.in_force = _NOTHING
        self.is_last_reload_good = False
        self.node_id = ""
        self.checks = checks
        self._clock = clock
        self._now = now
        self._started = clock()

    def applied(self, snapshot: Snapshot, workers: int, digest: str) -> None:
        """Note that all workers serve by this; `digest` tells one content from another."""
        self.in_force = InForce(snapshot, workers, digest, self._now())
        self.is_last_reload_good = True

    def refused(self) -> None:
        """Note that a configuration could not be applied, and the one before stands."""
        self.is_last_reload_good = False

    @property
    def serving(self) -> int:
        """How many workers serve."""
        return sum(worker.state is WorkerState.SERVING for worker in self.fleet.status())

    def backends(self) -> list[tuple[str, str, BackendState]]:
        """Every backend's pool, address and state."""
        states = self.states()
        return [
            (pool.name, str(backend.address), _state(states, pool, backend))
            for pool in self.in_force.snapshot.pools
            for backend in pool.backends
        ]

    def condition(self) -> Condition:
        """The whole in one word."""
        states = self.states()
        pools = [_has_usable(states, pool) for pool in self.in_force.snapshot.pools]
        serving = self.serving
        if not serving or (pools and not any(pools)):
            return "unhealthy"
        if serving < self.in_force.workers or not all(pools):
            return "degraded"
        return "healthy"

    def health(self) -> Health:
        counts = self.checks.counts
        share = counts.successful / counts.total if counts.total else 1.0
        return Health(
            status=self.condition(),
            timestamp=datetime.fromtimestamp(self._now(), UTC),
            version=__version__,
            total_checks=counts.total,
            successful_checks=counts.successful,
            failed_checks=counts.failed,
            uptime_percentage=round(100.0 * share, 3),
        )

    def summary(self) -> Summary:
        states = [state for *_, state in self.backends()]
        return Summary(
            status=self.condition(),
            version=__version__,
            uptime=self.uptime,
            config_revision=self.in_force.snapshot.revision,
            pools=len(self.in_force.snapshot.pools),
            backends=len(states),
            # One that nobody checks counts as healthy, as it does for traffic.
            healthy_backends=states.count("healthy") + states.count("unknown"),
            routes=len(self.in_force.snapshot.routes),
            draining=self.fleet.is_draining,
        )

    def details(self) -> Details:
        summary = self.summary()
        shared = {name: getattr(summary, name) for name in Summary.__dataclass_fields__}
        workers = tuple(map(self._worker, self.fleet.status()))
        # There is no other node.
        return Details(**shared, node_id=self.node_id, is_leader=True, workers=workers)

    @property
    def uptime(self) -> str:
        """Since the start, as text like `12.5s`."""
        return self._since(self._started)

    def empty_pools(self) -> list[str]:
        """The pools that nothing can be sent to."""
        states = self.states()
        pools = self.in_force.snapshot.pools
        return [pool.name for pool in pools if not _has_usable(states, pool)]

    def states(self) -> Mapping[tuple[str, str], BackendState]:
        """What checks and traffic have found; the checks come first where both have."""
        found: dict[tuple[str, str], BackendState] = dict(self.checks.states())
        for each in self.fleet.ejections():
            if found.get(each) != "unhealthy":
                found[each] = "ejected"
        return found

    def _worker(self, worker: WorkerStatus) -> WorkerSummary:
        return WorkerSummary(
            index=worker.index,
            pid=worker.pid,
            state=worker.state.value,
            config_revision=worker.revision,
            restarts=worker.restarts,
            connections=worker.connections,
            uptime=self._since(worker.started),
        )

    def _since(self, moment: float) -> str:
        return f"{max(0.0, self._clock() - moment):.1f}s"


def _state(
    states: Mapping[tuple[str, str], BackendState], pool: Pool, backend: Backend
) -> BackendState:
    if not backend.enabled:
        return "disabled"
    if not backend.weight:
        return "draining"
    return states.get((pool.name, str(backend.address)), "unknown")


def _has_usable(states: Mapping[tuple[str, str], BackendState], pool: Pool) -> bool:
    # Ejection never takes the last.
    return any(
        _state(states, pool, backend) in ("healthy", "unknown", "ejected")
        for backend in pool.backends
    )
