"""The supervisor's view of one worker process: where it is in its life, and what it has been given.

A worker starts, serves, drains and is gone; it may skip a state and never goes back to one.
"""

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from veloflux.core.model.traffic import Snapshot
from veloflux.fleet.cells import Cells
from veloflux.fleet.messages import Commit, Down, Drain, Listen, Up
from veloflux.fleet.parcel import Parcel
from veloflux.fleet.process import Process, Spawner
from veloflux.fleet.sockets import Sockets

# A worker that has not applied its first snapshot by then hangs; imports on a starved processor
# take many seconds.
START_DEADLINE_S = 60.0


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    GONE = "gone"


_NEXT = {
    State.STARTING: {State.SERVING, State.DRAINING, State.GONE},
    State.SERVING: {State.DRAINING, State.GONE},
    State.DRAINING: {State.GONE},
    State.GONE: set(),
}


class Worker:
    """One process, from its start until it is gone; its successor is another object."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, index: int, sockets: Sockets) -> None:
        self.index = index
        self.pid = 0
        self.state = State.STARTING
        self.version = 0
        self.revision = 0
        self.connections = 0
        # How often it was looked at since its last word: see `Watchdog`.
        self.silent_looks = 0
        self.started = clock.seconds()
        self._clock = clock
        self._sockets = sockets
        self._given: dict[str, object] = {}
        self._committed: Snapshot | None = None
        self._cells: Cells = {}
        self._process: Process | None = None
        self._too_late = clock.callLater(START_DEADLINE_S, self._give_up)

    def start(
        self,
        spawner: Spawner,
        on_message: Callable[["Worker", Up], None],
        on_gone: Callable[["Worker", str], None],
    ) -> None:
        """Start the process; raises OSError when the system cannot, and then the worker is gone."""

        def gone(why: str) -> None:
            self._become(State.GONE)
            on_gone(self, why)

        try:
            self._process = spawner.spawn(
                self.index, lambda message: on_message(self, message), gone
            )
        except OSError:
            self._become(State.GONE)
            raise
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it serves or is about to: one that drains no longer counts."""
        return self.state in (State.STARTING, State.SERVING)

    def prepare(self, parcel: Parcel) -> None:
        """Hand over a snapshot to prepare, and first the sockets it does not have yet."""
        if self._process is None or self.state is State.GONE:
            return
        for listener in parcel.snapshot.listeners:
            sock = self._sockets.of(listener.address, self.index)
            name = str(listener.address)
            if self._given.get(name) is not sock:
                self._given[name] = sock
                self.send(Listen(name), sock.fileno())
        for frame in parcel.frames(self.version):
            self._process.send_frame(frame)

    def commit(self, snapshot: Snapshot, cells: Cells) -> None:
        """Make it serve by a snapshot it has; it lets go of the sockets of removed listeners."""
        wanted = {str(listener.address) for listener in snapshot.listeners}
        self._given = {name: sock for name, sock in self._given.items() if name in wanted}
        self._committed = snapshot
        changed = {pool: each for pool, each in cells.items() if self._cells.get(pool) != each}
        self._cells = cells
        self.send(Commit(snapshot.version, changed))

    def applied(self, version: int) -> None:
        """Note that it serves by this version."""
        self.version = version
        if self._committed is not None and self._committed.version == version:
            self.revision = self._committed.revision
        if self.state is State.STARTING:
            self._become(State.SERVING)

    def send(self, message: Down, descriptor: int | None = None) -> None:
        """Send a message, unless there is nobody to read it."""
        if self._process is not None and self.state is not State.GONE:
            self._process.send(message, descriptor)

    def drain(self, deadline_s: float) -> None:
        """Make it finish; one that has not served yet has nothing to finish, and one that finishes
        already gets no more time than this."""
        if self.state is State.STARTING:
            self.kill()
            return
        if self.state is State.SERVING:
            self._become(State.DRAINING)
        self.send(Drain(deadline_s))

    def leave(self) -> None:
        """Note that it drains of its own accord."""
        if self.is_alive:
            self._become(State.DRAINING)

    def abort(self) -> None:
        """End it with its stack in the log."""
        if self._process is not None and self.state is not State.GONE:
            self._process.abort()

    def kill(self) -> None:
        """End it without notice."""
        if self._process is not None and self.state is not State.GONE:
            self._process.kill()

    def _become(self, state: State) -> None:
        assert state in _NEXT[self.state], (self.state, state)
        self.state = state
        if self._too_late.active():
            self._too_late.cancel()

    def _give_up(self) -> None:
        self._log.error(
            "worker {index} (pid {pid}) did not start within {deadline:.0f} s",
            index=self.index,
            pid=self.pid,
            deadline=START_DEADLINE_S,
        )
        self.kill()
