"""Changes what all workers serve by, and knows how they are.

A snapshot reaches the workers in two steps. All prepare it; if one refuses or stays silent, nobody
commits and the old one stands. Then whoever asked for it may make it last, or refuse. Once that is
done it is decided: every worker commits, and one that starts later is given the decided snapshot.
So no two workers serve by different ones for longer than it takes to deliver a message, and nothing
is ever half-applied.

It can rest: the workers finish and leave, connections are refused, and the addresses are kept.
When it wakes, fresh workers serve by the snapshot in force; until then there is no other.

The module is long because all that workers are told, and tell, comes together here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from veloflux.core.model.address import Address
from veloflux.core.model.metrics import Tally
from veloflux.core.model.traffic import Snapshot
from veloflux.fleet.ballot import Ballot, Outcome
from veloflux.fleet.cells import Allotment, Cells
from veloflux.fleet.crew import Crew
from veloflux.fleet.inquiry import Answers, Inquiry
from veloflux.fleet.marks import Marks
from veloflux.fleet.messages import (
    Applied,
    Counted,
    Down,
    Eject,
    Ejected,
    Level,
    Lines,
    Mark,
    Prepared,
    Refused,
    Reopen,
    Told,
    Up,
    Watch,
)
from veloflux.fleet.parcel import Parcel, pack
from veloflux.fleet.process import Spawner
from veloflux.fleet.sockets import Sockets, shut
from veloflux.fleet.tickets import Rotation
from veloflux.fleet.worker import START_DEADLINE_S, State, Worker

# As long as a start may take, for whoever starts meanwhile has to answer too.
ANSWER_DEADLINE_S = START_DEADLINE_S


class RolloutError(Exception):
    """A snapshot could not be brought to the workers; the one before stays in force."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker as others see it; `started` is by the supervisor's clock."""

    index: int
    pid: int
    state: State
    version: int
    revision: int
    restarts: int
    connections: int
    started: float


class Supervisor:
    """All workers of this daemon.

    `on_tally`, `on_lines` and `on_worker_gone` are told what a worker counted, lines of its access
    log with how many more there were, and that it is gone, by process id: one that leaves and its
    successor have the same number.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        spawner: Spawner,
        sockets: Sockets,
        in_thread: Callable[[Callable[[], Parcel]], Awaitable[Parcel]],
    ) -> None:
        self.on_tally: list[Callable[[int, Tally], None]] = []
        self.on_lines: list[Callable[[int, tuple[str, ...], int], None]] = []
        self.on_worker_gone: list[Callable[[int], None]] = []
        # What every snapshot's workers are to sign with.
        self.secret = b""
        self._clock = clock
        self._sockets = sockets
        self._crew = Crew(clock, spawner, sockets, self._brief, self._heard, self._gone)
        self._inquiry = Inquiry(clock, lambda: self._crew.everybody)
        self._lines_per_s = 0
        self._tickets = Rotation(clock, self._tell)
        self._in_thread = in_thread
        # What is in force, as workers to come will get it.
        self._parcel: Parcel | None = None
        self._marks = Marks()
        self._ejections: dict[tuple[str, str], float] = {}
        self._allotment = Allotment()
        self._cells: Cells = {}
        self._ballots: dict[type[Up], tuple[int, Ballot[Worker]]] = {}
        self._is_rolling_out = False

    @property
    def version(self) -> int:
        """The version in force; 0 before the first."""
        return self._snapshot.version if self._snapshot is not None else 0

    @property
    def _snapshot(self) -> Snapshot | None:
        return self._parcel.snapshot if self._parcel is not None else None

    @property
    def is_draining(self) -> bool:
        """Whether the daemon takes no traffic: it rests, or is on its way out."""
        return self._crew.is_resting or self._crew.is_draining

    @property
    def is_ready(self) -> bool:
        """Whether at least one worker serves and none of them is asked to leave."""
        states = [worker.state for worker in self._crew.members]
        return State.SERVING in states and not self.is_draining

    @property
    def restarts(self) -> int:
        """How many workers have been replaced after they died."""
        return self._crew.deaths

    @property
    def addresses(self) -> dict[str, Address]:
        """Where each listener in force really is, by its address as configured."""
        listeners = self._snapshot.listeners if self._snapshot is not None else ()
        return {
            str(listener.address): self._sockets.actual(listener.address)
            for listener in listeners
            if listener.address in self._sockets
        }

    def status(self) -> tuple[WorkerStatus, ...]:
        """Describe every worker, those that drain included."""
        restarts = self._crew.restarts
        return tuple(
            WorkerStatus(
                worker.index,
                worker.pid,
                worker.state,
                worker.version,
                worker.revision,
                restarts.get(worker.index, 0),
                worker.connections,
                worker.started,
            )
            for worker in self._crew.everybody
        )

    async def apply(
        self,
        snapshot: Snapshot,
        workers: int,
        decide: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Bring a snapshot to so many workers; returns when all that live have applied it.

        `decide` is awaited when all have prepared it, and before any of them commits. One snapshot
        at a time: the caller waits before the next. Raises ListenError, RolloutError or what
        `decide` raises, and then nothing changed.
        """
        assert not self._is_rolling_out, "one snapshot at a time"
        self._check_awake()
        snapshot = replace(snapshot, workers=workers, secret=self.secret)
        addresses = [listener.address for listener in snapshot.listeners]
        self._is_rolling_out = True
        self._tickets.start()
        try:
            before = self._snapshot
            parcel = await self._in_thread(lambda: pack(snapshot, before))
            self._check_awake()
            self._sockets.bind(addresses, workers)
            prepared = await self._prepare(parcel, workers)
            opened = self._sockets.listen()
            try:
                if decide is not None:
                    await decide()
            except Exception:
                for sock in opened:
                    shut(sock)
                raise
            await self._commit(parcel, workers, prepared)
        finally:
            self._is_rolling_out = False
            self._close_unused()

    def mark(self, pool: str, backend: str, healthy: bool) -> None:
        """Tell every worker, and those to come, what active checks found."""
        mark = Mark(pool, backend, healthy)
        self._marks.add(mark)
        self._tell(mark)

    def ejections(self) -> frozenset[tuple[str, str]]:
        """The pools and addresses of the backends that are ejected now."""
        now = self._clock.seconds()
        self._ejections = {each: until for each, until in self._ejections.items() if until > now}
        return frozenset(self._ejections)

    def ask(self) -> Deferred[Answers]:
        """Fires with what the workers say of themselves; within two seconds."""
        return self._inquiry.ask()

    def watch(self, lines_per_s: int) -> None:
        """Have every worker send so many lines of its access log to `on_lines`; none with 0."""
        self._lines_per_s = lines_per_s
        self._tell(Watch(lines_per_s))

    def reopen(self) -> None:
        """Make every worker open its log files anew."""
        self._tell(Reopen())

    def set_level(self, name: str) -> None:
        """Make every worker log from this level up."""
        self._tell(Level(name))

    def rest(self, deadline_s: float) -> None:
        """Accept nothing more and let the workers finish until then, for a later `wake`.

        Not during a rollout. Raises RolloutError, or ListenError when an address could not be had
        back, and then nothing changed.
        """
        assert not self._is_rolling_out, "a snapshot is under way"
        if self.is_draining:
            raise RolloutError("the daemon is draining already")
        if self._snapshot is None:
            raise RolloutError("the daemon is still starting")
        self._sockets.hold()
        self._crew.rest(deadline_s)

    async def wake(self) -> None:
        """Serve again where and as before; returns when the workers do.

        Raises RolloutError or ListenError, and then it rests on.
        """
        snapshot = self._snapshot
        if not self._crew.is_resting or snapshot is None:
            raise RolloutError("the daemon does not rest")
        if self._crew.is_draining:
            raise RolloutError("the daemon is on its way out")
        self._sockets.bind([listener.address for listener in snapshot.listeners], len(self._crew))
        self._sockets.listen()
        self._crew.wake()
        await self._open(Applied, snapshot.version, self._crew.members).closed

    def drain(self, deadline_s: float) -> Deferred[None]:
        """Accept nothing more and let the workers finish; fires when all are gone.

        Whoever is left a moment after the deadline is killed.
        """
        gone = self._crew.drain(deadline_s)
        self._tickets.stop()
        if not self._is_rolling_out:
            self._close_unused()
        return gone

    def kill(self) -> None:
        """End every worker without notice."""
        self._crew.kill()

    def _check_awake(self) -> None:
        if self.is_draining:
            raise RolloutError(
                "the daemon is draining; cancel the drain before you change its configuration"
            )

    async def _prepare(self, parcel: Parcel, workers: int) -> list[Worker]:
        if self._snapshot is None:
            self._crew.resize(workers)
        voters = [worker for worker in self._crew.members if worker.index < workers]
        if self._snapshot is None and not voters:
            raise RolloutError("no worker could be started")
        ballot = self._open(Prepared, parcel.snapshot.version, voters)
        for worker in voters:
            worker.prepare(parcel)
        outcome = await ballot.closed
        problem = "the daemon is draining" if self.is_draining else _problem(outcome)
        if problem:
            raise RolloutError(problem)
        return outcome.agreed

    async def _commit(self, parcel: Parcel, workers: int, prepared: list[Worker]) -> None:
        """Decide for the snapshot: from here on there is no way back."""
        snapshot = parcel.snapshot
        self._parcel = parcel
        if self.is_draining:
            return  # nobody will serve by it before the next start
        self._marks.keep(snapshot)
        self._cells = self._allotment.assign(snapshot.pools)
        voters = [worker for worker in self._crew.members if worker.index < workers]
        ballot = self._open(Applied, snapshot.version, voters)
        for worker in voters:
            if worker not in prepared:
                worker.prepare(parcel)  # it started meanwhile
            self._commit_to(worker, snapshot)
        self._sockets.narrow(workers)
        self._crew.resize(workers)
        self._crew.hurry()
        for worker in (await ballot.closed).silent:
            self._log.error(
                "worker {worker.index} (pid {worker.pid}) did not apply configuration {version} "
                "within {deadline:.0f} s",
                worker=worker,
                version=snapshot.version,
                deadline=ANSWER_DEADLINE_S,
            )
            worker.kill()

    def _open(self, answer: type[Up], version: int, voters: list[Worker]) -> Ballot[Worker]:
        ballot = Ballot(self._clock, voters, ANSWER_DEADLINE_S)
        self._ballots[answer] = version, ballot
        return ballot

    def _ballot(self, answer: type[Up], version: int) -> Ballot[Worker] | None:
        asked, ballot = self._ballots.get(answer, (0, None))
        return ballot if asked == version else None

    def _brief(self, worker: Worker) -> None:
        """Tell a new worker what the others know."""
        worker.send(self._tickets.present)
        if self._lines_per_s:
            worker.send(Watch(self._lines_per_s))
        if self._parcel is not None:
            worker.prepare(self._parcel)
            self._commit_to(worker, self._parcel.snapshot)

    def _commit_to(self, worker: Worker, snapshot: Snapshot) -> None:
        worker.commit(snapshot, self._cells)
        for mark in self._marks:
            worker.send(mark)

    def _tell(self, message: Down) -> None:
        for worker in self._crew.everybody:
            worker.send(message)

    def _heard(self, worker: Worker, message: Up) -> None:
        match message:
            case Prepared(version=version):
                if ballot := self._ballot(Prepared, version):
                    ballot.agree(worker)
            case Refused(version=version, why=why):
                self._refused(worker, version, why)
            case Applied(version=version):
                worker.applied(version)
                if ballot := self._ballot(Applied, version):
                    ballot.agree(worker)
            case Counted(tally=tally, connections=connections):
                worker.connections = connections
                for tell in self.on_tally:
                    tell(worker.pid, tally)
            case Told():
                self._inquiry.told(worker, message)
            case Lines(lines=lines, dropped=dropped):
                for hear in self.on_lines:
                    hear(worker.pid, lines, dropped)
            case Ejected():
                self._ejected(worker, message)

    def _ejected(self, worker: Worker, found: Ejected) -> None:
        """What one worker's traffic has found holds for all."""
        self._log.warn(
            "backend {found.backend} of pool {found.pool} is ejected for {found.seconds:.0f} s: "
            "{found.reason}",
            found=found,
        )
        until = self._clock.seconds() + found.seconds
        self._ejections[found.pool, found.backend] = until
        for other in self._crew.everybody:
            if other is not worker:
                other.send(Eject(found.pool, found.backend, found.seconds))

    def _refused(self, worker: Worker, version: int, why: str) -> None:
        if ballot := self._ballot(Prepared, version):
            ballot.refuse(worker, why)
        if version == self.version:
            # The others serve by it and this one never will.
            self._log.error(
                "worker {worker.index} refused what is in force: {why}", worker=worker, why=why
            )
            worker.kill()

    def _gone(self, worker: Worker, why: str) -> None:
        for _, ballot in list(self._ballots.values()):
            ballot.die(worker, why)
        self._inquiry.gone(worker)
        for tell in self.on_worker_gone:
            tell(worker.pid)

    def _close_unused(self) -> None:
        """Close the sockets that nothing in force asks for.

        Not during a rollout: a descriptor must stay open until it has travelled, and the answers
        prove that it has. A daemon that drains keeps none, so that new connections are refused
        instead of left waiting; the workers still have theirs, and take what is queued.
        """
        if self.is_draining or self._snapshot is None:
            self._sockets.close()
        else:
            wanted = [listener.address for listener in self._snapshot.listeners]
            self._sockets.retain(wanted, len(self._crew))


def _problem(outcome: Outcome[Worker]) -> str:
    """Say why nobody may commit; empty when all may."""
    if outcome.refused:
        worker, why = next(iter(outcome.refused.items()))
        return f"worker {worker.index} refused it: {why}"
    if outcome.silent:
        numbers = ", ".join(str(worker.index) for worker in outcome.silent)
        return f"no answer from worker {numbers} within {ANSWER_DEADLINE_S:.0f} s"
    if outcome.died and not outcome.agreed:
        # One that dies is replaced; when none survives, the snapshot may be what kills them.
        worker, why = next(iter(outcome.died.items()))
        return f"every worker died while preparing it (worker {worker.index}: {why})"
    return ""
