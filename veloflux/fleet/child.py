"""A worker process: obeys the supervisor, and otherwise leaves the traffic to the data plane.

It lives as long as its channel. When that closes, the supervisor is gone, and a worker without one
would hold the ports against the next daemon: it leaves at once.
"""

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from math import ceil
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import CooperativeTask, LoopingCall
from twisted.logger import Logger

from veloflux import logs
from veloflux.core.model.metrics import Tally
from veloflux.core.model.report import PoolReport, ProcessReport
from veloflux.core.model.traffic import Snapshot
from veloflux.fleet.cells import Cells
from veloflux.fleet.channel import BOARD_FD, CHANNEL_FD, LEDGER_FD, Channel, adopt
from veloflux.fleet.garbage import Garbage
from veloflux.fleet.messages import (
    DRAIN_DEADLINE_S,
    Applied,
    Ask,
    Commit,
    Counted,
    Door,
    Down,
    Drain,
    Drained,
    Eject,
    Ejected,
    Hello,
    Leaving,
    Level,
    Lines,
    Listen,
    Mark,
    Pools,
    Prepare,
    Prepared,
    Refused,
    Reopen,
    Routes,
    Same,
    Tickets,
    Told,
    Watch,
    read_down,
)
from veloflux.fleet.parcel import Unpacking
from veloflux.fleet.slices import in_slices
from veloflux.fleet.trim import Trimmer, malloc_trim

TALLY_S = 1.0
# Tallies between two regular ones, when one could not take all.
_MORE_TALLIES = 3
# Tallies at the very end, when all has to be told.
_LAST_TALLIES = 1000
# How often whoever watches the access log is told its lines.
LINES_S = 0.25
# How often a draining worker looks whether it may go.
LOOK_S = 0.05


class DataPlane(Protocol):
    """What a worker runs; `veloflux.edge.service.Service` is the one there is."""

    @property
    def connections(self) -> int:
        """Open connections from clients."""

    def listen(self, address: str, fd: int) -> None:
        """Own a listening descriptor, for the commit that needs it."""

    def meet(self, row: int, door: int) -> None:
        """Own the descriptor by which connections go to the worker with this row, or come here."""

    def prepare(self, snapshot: Snapshot) -> Iterator[None]:
        """Build what a snapshot needs, in steps; raises ValueError with the reason it cannot."""

    def commit(self, version: int, cells: Cells) -> None:
        """Serve by the prepared snapshot; `cells` are the backends' on the board."""

    def mark(self, pool: str, backend: str, healthy: bool) -> None:
        """Take or avoid a backend."""

    def eject(self, pool: str, backend: str, seconds: float) -> None:
        """Avoid a backend for so long."""

    def share_tickets(self, secret: bytes) -> None:
        """Resume sessions by keys that are made of this, and by no others."""

    on_ejected: Callable[[str, str, float, str], None]
    """Is told of a backend that our own traffic has found bad: pool, backend, seconds, reason."""

    def reopen(self) -> None:
        """Open log files anew."""

    def watch(self, lines: int) -> None:
        """Keep so many lines of the access log until they are taken; 0 to keep none."""

    def take_lines(self) -> tuple[list[str], int]:
        """The lines since the last call, and how many more there were."""

    def report(self) -> tuple[PoolReport, ...]:
        """How the pools are now."""

    def drain(self) -> None:
        """Accept nothing more and let connections end."""

    def cut(self) -> None:
        """End the connections that have not ended by themselves."""

    @property
    def is_behind(self) -> bool:
        """Whether there is more to tell than one tally takes."""

    def tally(self) -> Tally:
        """Count what happened since the last call."""

    def close(self) -> None:
        """Abort everything."""


class Child:
    """Carries out what comes down the channel, and reports up; `stop` ends the process's loop."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, plane: DataPlane, stop: Callable[[], None]) -> None:
        self.channel: Channel[Down] = Channel(read_down, self._obey, self._orphaned)
        self.exit_code = 0
        self._clock = clock
        self._plane = plane
        plane.on_ejected = lambda *found: self.channel.send(Ejected(*found))
        self._stop = stop
        self._report = LoopingCall(self._count_now)
        self._report.clock = clock
        self._watch = LoopingCall(self._look)
        self._watch.clock = clock
        self._lines = LoopingCall(self._tell_lines)
        self._lines.clock = clock
        self._version = 0
        self._deadline = 0.0
        self._late = 0
        self._trimmer = Trimmer(malloc_trim())
        self._unpacking = Unpacking()
        self._ready = -1
        self._building: Iterator[None] | None = None
        self._task: CooperativeTask[Iterator[None]] | None = None
        self._cooperator = in_slices(clock)
        self._garbage = Garbage()
        self._is_over = False

    def start(self) -> None:
        """Say hello, and report from now on."""
        self.channel.send(Hello(os.getpid()))
        self._report.start(TALLY_S, now=False)

    def leave(self) -> None:
        """Drain because somebody outside said so, with a successor."""
        if not self._watch.running and not self._is_over:
            self.channel.send(Leaving())
            self._drain(DRAIN_DEADLINE_S)

    def _obey(self, message: Down, descriptor: int | None) -> None:
        match message:
            case Listen(address=address):
                assert descriptor is not None
                self._plane.listen(address, descriptor)
            case Door(row=row):
                assert descriptor is not None
                self._plane.meet(row, descriptor)
            case Routes() | Pools() | Same():
                self._garbage.rest()
                self._unpacking.add(message)
            case Prepare(snapshot=snapshot):
                self._prepare(self._unpacking.take(snapshot))
            case Commit(version=version, cells=cells):
                self._commit(version, cells)
            case Mark(pool=pool, backend=backend, healthy=healthy):
                self._plane.mark(pool, backend, healthy)
            case Eject(pool=pool, backend=backend, seconds=seconds):
                self._plane.eject(pool, backend, seconds)
            case Ask(number=number):
                self.channel.send(Told(number, self._describe(), self._pools()))
            case Watch(lines_per_s=lines_per_s):
                self._follow(lines_per_s)
            case Tickets(secret=secret):
                self._plane.share_tickets(secret)
            case Reopen():
                self._plane.reopen()
            case Level(name=name):
                logs.set_level(name)
            case Drain(deadline_s=deadline_s):
                self._drain(deadline_s)

    def _prepare(self, snapshot: Snapshot) -> None:
        """Have it built step by step, between the events of the traffic."""
        self._stop_building()
        self._building = self._build(snapshot)
        self._task = self._cooperator.cooperate(self._building)

    def _build(self, snapshot: Snapshot) -> Iterator[None]:
        version = snapshot.version
        try:
            yield from self._plane.prepare(snapshot)
        except ValueError as error:
            self.channel.send(Refused(version, str(error)))
        except Exception as error:
            # A fault of ours must refuse one configuration, not end a worker that serves.
            self._log.failure("preparing configuration {version} failed", version=version)
            self.channel.send(Refused(version, f"internal error: {error!r}"))
        else:
            self._ready = version
            self.channel.send(Prepared(version))
        finally:
            self._garbage.set_aside()
        self._building = None

    def _stop_building(self) -> None:
        if self._building is not None and self._task is not None:
            self._task.stop()
            self._building = None

    def _commit(self, version: int, cells: Cells) -> None:
        building = self._building
        self._stop_building()
        if building is not None:
            # A successor is told at once what is in force: it has no traffic to build beside.
            deque(building, maxlen=0)
        if self._ready != version:
            return  # it was refused, as the supervisor has heard
        self._plane.commit(version, cells)
        self._unpacking.commit()
        self._version = version
        self.channel.send(Applied(version))

    def _count_now(self) -> None:
        """Tell once what was counted, and the rest of very much soon, not at once."""
        self._count()
        if self._plane.is_behind:
            for part in range(1, _MORE_TALLIES + 1):
                self._clock.callLater(part * TALLY_S / (_MORE_TALLIES + 1), self._count_more)

    def _count_more(self) -> None:
        if self._plane.is_behind and not self._is_over:
            self._count()

    def _count(self) -> None:
        try:
            tally = self._plane.tally()
        except Exception:
            # A fault in counting must end neither the counting nor the traffic.
            self._log.failure("the tally failed")
            tally = Tally()
        # Always a word: who is silent is taken for one that hangs.
        connections = self._plane.connections
        self.channel.send(Counted(tally, connections))
        self._trimmer.look(connections)

    def _follow(self, lines_per_s: int) -> None:
        """Tell lines of the access log from now on, or no more."""
        if self._is_over:
            return
        self._plane.watch(ceil(lines_per_s * LINES_S))
        if lines_per_s and not self._lines.running:
            self._lines.start(LINES_S, now=False)
        elif not lines_per_s and self._lines.running:
            self._lines.stop()

    def _tell_lines(self) -> None:
        lines, dropped = self._plane.take_lines()
        if lines or dropped:
            self.channel.send(Lines(tuple(lines), dropped))

    def _pools(self) -> tuple[PoolReport, ...]:
        try:
            return self._plane.report()
        except Exception:
            # A fault in telling must not end a worker that serves.
            self._log.failure("the report failed")
            return ()

    def _describe(self) -> ProcessReport:
        found = gc.get_stats()
        return ProcessReport(
            version=self._version,
            connections=self._plane.connections,
            threads=threading.active_count(),
            collections=tuple(each["collections"] for each in found),
            collected=tuple(each["collected"] for each in found),
            uncollectable=tuple(each["uncollectable"] for each in found),
            reactor=type(self._clock).__name__,
        )

    def _drain(self, deadline_s: float) -> None:
        if self._is_over:
            return
        deadline = self._clock.seconds() + deadline_s
        if self._watch.running:
            self._deadline = min(self._deadline, deadline)
            return
        self._deadline = deadline
        self._plane.drain()
        self._watch.start(LOOK_S)

    def _look(self) -> None:
        left = self._plane.connections
        if left and self._clock.seconds() < self._deadline:
            return
        if left and not self._late:
            # These are counted and logged like any other when they end, in the loop's next turns.
            self._late = left
            self._plane.cut()
            return
        for _ in range(_LAST_TALLIES):
            self._count()
            if not self._plane.is_behind:
                break
        self._tell_lines()
        self.channel.send(Drained(self._late))
        self._plane.close()
        # The other end's view of us is complete once this is closed, and then we are told.
        self._watch.stop()
        self._report.stop()
        if self._lines.running:
            self._lines.stop()
        self._is_over = True
        if self.channel.transport is not None:
            self.channel.transport.loseConnection()

    def _orphaned(self) -> None:
        if not self._is_over:
            self._log.warn("the channel to the supervisor is lost, so this worker leaves")
            self.exit_code = 1
            self._plane.close()
        for loop in (self._report, self._watch, self._lines):
            if loop.running:
                loop.stop()
        self._stop()


def main() -> None:
    """Run as worker number `argv[1]`, which logs from the level `argv[2]` up and has row `argv[3]`
    of the board."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        # A terminal's Ctrl-C goes to the whole group: the supervisor decides what it means.
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    logs.start(sys.argv[2])

    # Only now: importing the data plane's parts may pick a reactor, and this installs ours.
    from veloflux.edge.reactor import install

    reactor = install()
    from veloflux.edge import ledger
    from veloflux.edge.board import Board
    from veloflux.edge.service import Service, unix_time
    from veloflux.edge.terms import forgive_names

    forgive_names()
    board = Board(BOARD_FD, int(sys.argv[3]))
    os.close(BOARD_FD)
    debts = ledger.attach(LEDGER_FD)
    os.close(LEDGER_FD)
    service = Service(reactor, int(sys.argv[1]), unix_time, board, debts)
    child = Child(reactor, service, reactor.stop)
    adopt(reactor, CHANNEL_FD, child.channel)
    os.close(CHANNEL_FD)
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(child.leave))
    child.start()
    # Few objects of the hot path are cyclic, so collect less often than by default.
    gc.set_threshold(20_000, 20, 50)
    reactor.run(installSignalHandlers=False)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    sys.exit(child.exit_code)


if __name__ == "__main__":
    main()
