"""Starts worker processes, and ties each to its channel and to the daemon's log.

A worker inherits five descriptors beside its channel: nothing to read, standard output for the
access log, a pipe as standard error, whose lines go where the daemon's own log goes, the board on
which workers see each other's counts, and the ledger of what clients owe their rate limits. Without
the pipe the lines would be lost once twistd has closed its terminal.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from veloflux.edge import ledger
from veloflux.edge.board import Rows
from veloflux.fleet.channel import BOARD_FD, CHANNEL_FD, LEDGER_FD, Channel, adopt
from veloflux.fleet.doors import Doors
from veloflux.fleet.messages import Down, Up, read_up
from veloflux.logs import Relay

# A worker whose channel is closed leaves by itself; this is for one that hangs.
FAREWELL_S = 2.0
_COMMAND = (sys.executable, "-m", "veloflux.fleet.child")
# What a worker may know of our environment: the rest may hold secrets it has no use for.
_PASSED = (
    *("PATH", "HOME", "TZ", "TMPDIR", "LANG", "LC_", "LD_", "MALLOC_", "SSL_", "PYTHON", "COV"),
    "VELOFLUX_PURE",
)


class Process(Protocol):
    """A running worker, as the supervisor needs it."""

    pid: int

    def send(self, message: Down, descriptor: int | None = None) -> None:
        """Send a message; see `Channel.send`."""

    def send_frame(self, frame: bytes) -> None:
        """Send a message that is encoded already."""

    def abort(self) -> None:
        """End it with its stack on its standard error."""

    def kill(self) -> None:
        """End it without notice."""


class Spawner(Protocol):
    """Something that starts workers."""

    def spawn(
        self, worker: int, on_message: Callable[[Up], None], on_exit: Callable[[str], None]
    ) -> Process:
        """Start worker number so; `on_exit` is told once, with the reason; may raise OSError."""


class Processes:
    """Starts real processes; `reactor` provides processes, sockets and time."""

    def __init__(self, reactor: Any, level: Callable[[], str]) -> None:
        self._reactor = reactor
        self._level = level
        # Lives as long as the process.
        self._rows: Rows | None = None
        self._ledger = -1
        self._doors = Doors()

    def spawn(
        self, worker: int, on_message: Callable[[Up], None], on_exit: Callable[[str], None]
    ) -> Process:
        """Start a worker; raises OSError when there is no descriptor, memory or process left."""
        rows = self._rows = self._rows or Rows.create()
        if self._ledger < 0:
            self._ledger = ledger.create()
        row = rows.take()
        try:
            return self._start(worker, row, rows, on_message, on_exit)
        except OSError:
            rows.free(row)
            self._doors.left(row)
            raise

    def _start(
        self,
        worker: int,
        row: int,
        rows: Rows,
        on_message: Callable[[Up], None],
        on_exit: Callable[[str], None],
    ) -> "_Child":
        def gone(why: str) -> None:
            rows.free(row)
            self._doors.left(row)
            on_exit(why)

        self._doors.make(row)
        child = _Child(self._reactor, worker, on_message, gone)
        ours, theirs = socket.socketpair()
        with ours, theirs, open(os.devnull, "rb") as nothing:
            self._reactor.spawnProcess(
                child,
                sys.executable,
                [*_COMMAND, str(worker), self._level(), str(row)],
                env=_environment(),
                childFDs={
                    0: nothing.fileno(),
                    1: _standard_output(nothing.fileno()),
                    2: "r",
                    CHANNEL_FD: theirs.fileno(),
                    BOARD_FD: rows.fd,
                    LEDGER_FD: self._ledger,
                },
            )
            adopt(self._reactor, ours.fileno(), child.channel)
        self._doors.open(row, child.send)
        return child


def _environment() -> dict[str, str]:
    """Return the worker's environment: ours, without secrets, and with our module path.

    The path matters when the daemon was started from a checkout, or `twistd --rundir` moved away.
    """
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
    path = dict.fromkeys(os.path.abspath(entry) for entry in sys.path)
    return passed | {"PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}


def _standard_output(otherwise: int) -> int:
    try:
        os.fstat(1)
    except OSError:
        return otherwise
    return 1


class _Child(ProcessProtocol):
    """One process; it is gone when it has been reaped and its channel is read to the end."""

    def __init__(
        self,
        clock: IReactorTime,
        worker: int,
        on_message: Callable[[Up], None],
        on_exit: Callable[[str], None],
    ) -> None:
        self.pid = 0
        self.channel: Channel[Up] = Channel(
            read_up, lambda message, _: on_message(message), self._channel_lost
        )
        self._clock = clock
        self._on_exit = on_exit
        self._relay = Relay(worker)
        self._is_reaped = False
        self._is_deaf = False
        self._why = ""
        self._farewell: IDelayedCall | None = None

    def send(self, message: Down, descriptor: int | None = None) -> None:
        self.channel.send(message, descriptor)

    def send_frame(self, frame: bytes) -> None:
        self.channel.send_frame(frame)

    def abort(self) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(signal.SIGABRT)  # type: ignore[union-attr]  # as below

    def kill(self) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]  # set since its start

    def connectionMade(self) -> None:
        self.pid = self.transport.pid  # type: ignore[union-attr]  # as above

    def errReceived(self, data: bytes) -> None:
        self._relay.write(data)

    def processEnded(self, reason: Failure) -> None:
        self._relay.close()
        self._is_reaped = True
        self._why = describe(reason.value)
        if self._farewell is not None and self._farewell.active():
            self._farewell.cancel()
        self._leave_when_done()

    def _channel_lost(self) -> None:
        self._is_deaf = True
        if not self._is_reaped:
            self._farewell = self._clock.callLater(FAREWELL_S, self.kill)
        self._leave_when_done()

    def _leave_when_done(self) -> None:
        if self._is_reaped and self._is_deaf:
            self._on_exit(self._why)


def describe(status: object) -> str:
    """Say how a process ended, by what Twisted tells of it."""
    number = getattr(status, "signal", None)
    if number is not None:
        # Real-time signals have numbers, but all but two of them no names.
        name = signal.Signals(number).name if number in set(signal.Signals) else "real-time"
        return f"killed by signal {number} ({name})"
    return f"exit code {getattr(status, 'exitCode', None)}"
