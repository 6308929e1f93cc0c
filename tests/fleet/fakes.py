"""Workers that do as the test says, and snapshots to give them."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, Listener, Pool, Route, Share, Snapshot
from veloflux.fleet.messages import (
    Applied,
    Commit,
    Down,
    Listen,
    Pools,
    Prepare,
    Prepared,
    Routes,
    Same,
    Up,
    read_down,
)
from veloflux.fleet.parcel import Unpacking

LOCAL = Address("127.0.0.1", 0)
_Result = TypeVar("_Result")


async def at_once(work: Callable[[], _Result]) -> _Result:
    """Instead of a thread."""
    return work()


def snapshot(version: int, *addresses: Address, backend: str = "127.0.0.1:9001") -> Snapshot:
    """Make a snapshot that listens on these addresses and has one pool, `app`."""
    return Snapshot(
        version=version,
        listeners=tuple(Listener(name=str(address), address=address) for address in addresses),
        pools=(Pool("app", (Backend(Address.parse(backend)),), "least_conn"),),
        routes=(Route("all", pools=(Share("app"),)),),
    )


@dataclass(eq=False)
class FakeProcess:
    """One worker; `heard` is what it was sent, without the descriptors, and with all that comes
    before a Prepare in that."""

    worker: int
    pid: int
    say: Callable[[Up], None]
    end: Callable[[str], None]
    heard: list[Down] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    was_killed: bool = False
    unpacking: Unpacking = field(default_factory=Unpacking)

    def send(self, message: Down, descriptor: int | None = None) -> None:
        if isinstance(message, Listen):
            assert descriptor is not None
            self.given.append(message.address)
        if isinstance(message, Pools | Routes | Same):
            self.unpacking.add(message)
        if isinstance(message, Prepare):
            message = Prepare(self.unpacking.take(message.snapshot))
        self.heard.append(message)

    def send_frame(self, frame: bytes) -> None:
        self.send(read_down(frame))

    def abort(self) -> None:
        self.signals.append(signal.SIGABRT)

    def kill(self) -> None:
        if not self.was_killed:
            self.was_killed = True
            self.end("killed by signal 9 (SIGKILL)")

    def prepare(self) -> None:
        """Answer the last Prepare with yes."""
        self.say(Prepared(self.last(Prepare).snapshot.version))

    def apply(self) -> None:
        """Answer the last Commit."""
        self.unpacking.commit()
        self.say(Applied(self.last(Commit).version))

    def last(self, kind):
        """Return the last message of a kind."""
        return [message for message in self.heard if isinstance(message, kind)][-1]

    def kinds(self) -> list[str]:
        """Return the names of what it was sent; routes are part of what is to be prepared, and
        the first word is always of tickets."""
        names = (type(message).__name__ for message in self.heard)
        return [name for name in names if name not in ("Pools", "Routes", "Same", "Tickets")]


class FakeSpawner:
    """Starts such workers; the next `failures` starts fail."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.failures = 0

    def spawn(
        self, worker: int, on_message: Callable[[Up], None], on_exit: Callable[[str], None]
    ) -> FakeProcess:
        if self.failures:
            self.failures -= 1
            raise OSError(24, "Too many open files")
        process = FakeProcess(worker, 1000 + len(self.processes), on_message, on_exit)
        self.processes.append(process)
        return process
