"""A fleet and health checks that are as a test says."""

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from veloflux.control.services.audit import Entry
from veloflux.control.services.errors import UnavailableError
from veloflux.core.model.metrics import Tally
from veloflux.core.policy.health import State
from veloflux.fleet.bind import ListenError
from veloflux.fleet.inquiry import Answers
from veloflux.fleet.probes import Counts, Report
from veloflux.fleet.supervisor import RolloutError, WorkerStatus
from veloflux.fleet.worker import State as WorkerState


class FakeFleet:
    def __init__(self, *states: WorkerState) -> None:
        self.is_draining = False
        self.restarts = 3
        self.on_tally: list[Callable[[int, Tally], None]] = []
        self.on_worker_gone: list[Callable[[int], None]] = []
        self.on_lines: list[Callable[[int, tuple[str, ...], int], None]] = []
        self.lines_per_s = 0
        self.rested_s = 0.0
        self.why_not = ""
        self.answers: Answers = {}
        self.workers = [
            WorkerStatus(i, 1000 + i, state, 9, 7, 1, 5, 50.0) for i, state in enumerate(states)
        ]

    @property
    def is_ready(self) -> bool:
        serving = [worker.state is WorkerState.SERVING for worker in self.workers]
        return any(serving) and not self.is_draining

    def status(self) -> tuple[WorkerStatus, ...]:
        return tuple(self.workers)

    def ask(self) -> Deferred[Answers]:
        return succeed(self.answers)

    async def rest(self, deadline_s: float) -> None:
        if self.is_draining:
            raise RolloutError("the daemon is draining already")
        self.is_draining = True
        self.rested_s = deadline_s

    async def wake(self) -> None:
        if self.why_not:
            raise ListenError(self.why_not)
        self.is_draining = False

    def watch(self, lines_per_s: int) -> None:
        self.lines_per_s = lines_per_s

    ejected: frozenset[tuple[str, str]] = frozenset()

    def ejections(self) -> frozenset[tuple[str, str]]:
        return self.ejected


class FakeChecks:
    def __init__(self) -> None:
        self.counts = Counts()
        self.found: dict[tuple[str, str], State] = {}
        self.reported: dict[tuple[str, str], Report] = {}

    def reports(self) -> dict[tuple[str, str], Report]:
        return self.reported

    def states(self) -> dict[tuple[str, str], State]:
        return self.found


class FakeAudit:
    """Set `is_full`, and nothing is kept."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.is_full = False

    async def record(self, entry: Entry) -> None:
        if self.is_full:
            raise UnavailableError("The disk is full.")
        self.entries.append(entry)
