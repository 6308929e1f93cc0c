"""A data plane between clients and backends that the test plays; see `memory` for the network.

rig = Rig(self)
client = rig.client()
client.send(GET)                        # given
request = rig.backend.request()         # expect, read by h11 and llhttp alike
rig.backend.answer(OK)                  # given
answer = client.answer()                # expect, read by h11
"""

import errno
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from tests.support import oracles
from tests.support.memory import Connector, Peer, Reactor, StockReactor
from tests.support.oracles import Request, Response
from veloflux.core.model.address import Address
from veloflux.core.model.metrics import Sample
from veloflux.core.model.traffic import (
    AccessLog,
    Limits,
    Listener,
    Pool,
    Route,
    Share,
    Snapshot,
)
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.edge.access_log import AccessLog as AccessLogAtWork
from veloflux.edge.board import Board
from veloflux.edge.service import Service

GET = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\r\nhello"
UPLOAD = b"POST / HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

LISTENING = Address("127.0.0.1", 8080)
# A log line that has not come by then never will.
_PATIENCE_S = 10.0


def get(path: bytes = b"/", lines: bytes = b"", host: bytes = b"example.org") -> bytes:
    """A GET request with further header `lines`."""
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path, host, lines)


def ok(body: bytes, lines: bytes = b"") -> bytes:
    """An answer with a counted body."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), lines, body)


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Say in a failure which row of a table it was."""
    try:
        yield
    except Exception as problem:
        raise AssertionError(f"{name}: {problem}") from problem


class End:
    """One far end of a connection of the data plane."""

    def __init__(self, reactor: StockReactor, peer: Peer) -> None:
        self._reactor = reactor
        self._peer = peer

    @property
    def received(self) -> bytes:
        """Every byte that came so far."""
        return bytes(self._peer.received)

    @property
    def ending(self) -> str | None:
        """How the data plane ended it: None, `finished` (half-closed), `closed` or `reset`."""
        return self._peer.ending

    @property
    def unread(self) -> int:
        """Bytes sent to the data plane that it leaves in the kernel."""
        return self._peer.near.unread

    @property
    def footprint(self) -> int:
        """Bytes of memory that the network in memory takes for it."""
        return self._peer.near.footprint

    def send(self, wire: bytes) -> None:
        self.queue(wire)
        self._reactor.turn()

    def queue(self, wire: bytes) -> None:
        """Send without letting the loop turn."""
        self._peer.near.arrive(wire)

    def finish(self) -> None:
        """Half-close: send no more, and read on."""
        self._peer.near.finish()
        self._reactor.turn()

    def close(self) -> None:
        """Close: send no more and read no more."""
        self._peer.is_closed = True
        self._peer.near.finish()
        self._reactor.turn()

    def reset(self) -> None:
        """Break the connection."""
        self._peer.near.reset()
        self._reactor.turn()

    def stop_reading(self, window: int = 0) -> None:
        """Take `window` bytes more and then none."""
        self._peer.window = window

    def read(self, size: int | None = None) -> None:
        """Take `size` bytes more, or all that will ever come."""
        self._peer.window = None if size is None else (self._peer.window or 0) + size
        self._reactor.turn()


class Client(End):
    """A client; `answer` takes the answers one by one."""

    def __init__(self, reactor: StockReactor, peer: Peer) -> None:
        super().__init__(reactor, peer)
        self._taken = 0

    @property
    def news(self) -> bytes:
        """What came since the last answer was taken."""
        return self.received[self._taken :]

    def answers(self, *methods: bytes) -> list[Response]:
        """The next answers, to requests with these methods; as many as are whole."""
        at_end = self.ending is not None
        found, rest = oracles.read_responses(self.news, list(methods), at_end=at_end)
        self._taken = len(self.received) - len(rest)
        return found

    def answer(self, method: bytes = b"GET") -> Response:
        """The next answer, which must be whole."""
        found = self.answers(method)
        assert found, f"no whole answer, ending {self.ending}: {self.news[:500]!r}"
        return found[0]


class BackendEnd(End):
    """One connection to a backend; `request` takes the requests one by one."""

    taken = 0

    def requests(self) -> list[Request]:
        """All requests so far, as both oracles see them; fails when the last is not whole."""
        return oracles.read_requests(self.received)


class Backend:
    """One backend, by its address.

    `is_silent` leaves connections being made for ever; `refuses` is an errno they fail with.
    """

    def __init__(self, reactor: StockReactor, address: Address) -> None:
        self.reactor = reactor
        self.address = address
        self.connections: list[BackendEnd] = []
        self.attempts = 0
        self.is_silent = False
        self.refuses = 0
        self.waiting: list[Connector] = []

    def connected(self, connector: Connector) -> None:
        self.attempts += 1
        if self.is_silent:
            self.waiting.append(connector)
        elif self.refuses:
            connector.failed(self.refuses)
        else:
            self._accept(connector)

    def accept(self) -> None:
        """Accept those that wait."""
        waiting, self.waiting = self.waiting, []
        for connector in waiting:
            self._accept(connector)
        self.reactor.turn()

    def _accept(self, connector: Connector) -> None:
        # A backend reads what is sent to it; the list is filled first, for bytes come at once.
        end = BackendEnd(self.reactor, connector.socket.peer)
        if connector.state == "connecting":
            self.connections.append(end)
        connector.made()

    @property
    def connection(self) -> BackendEnd:
        """The one connection there is, or the one of the last request taken."""
        if self._last is not None:
            return self._last
        assert len(self.connections) == 1, f"{len(self.connections)} connections"
        return self.connections[0]

    _last: BackendEnd | None = None

    def request(self) -> Request:
        """The next request, on whichever connection."""
        for connection in self.connections:
            if connection.received:
                found = connection.requests()
                if len(found) > connection.taken:
                    self._last = connection
                    connection.taken += 1
                    return found[connection.taken - 1]
        raise AssertionError("no request came")

    def answer(self, wire: bytes) -> None:
        """Answer on the connection of the last request taken."""
        self.connection.send(wire)

    @property
    def received(self) -> bytes:
        """Every byte that came, over all connections."""
        return b"".join(connection.received for connection in self.connections)


class Rig:
    """One worker's `Service`, its clients and its backends.

    `routes` defaults to one for everything; `pool`, `listener` and `limits` are fields of those
    models.
    """

    FIRST = Address("10.0.0.1", 80)

    def __init__(
        self,
        case: SynchronousTestCase,
        *,
        backends: int = 1,
        routes: tuple[Route, ...] = (Route("all", pools=(Share("app"),)),),
        pools: tuple[Pool, ...] | None = None,
        pool: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        listener: dict[str, Any] | None = None,
        log_format: str = "json",
        workers: int = 1,
        board: Board | None = None,
    ) -> None:
        self._case = case
        self._network: dict[tuple[str, int], Backend] = {}
        kind = StockReactor if getattr(case, "has_stock_transports", False) else Reactor
        self.reactor = kind(self._connect)
        self._backend_of: Callable[[StockReactor, Address], Backend] = getattr(
            case, "backend_of", Backend
        )
        # How connections are taken in, and what a listener needs for that.
        self._client_of: Callable[[StockReactor, Peer], Client] = getattr(case, "client_of", Client)
        listener = {**getattr(case, "listener_fields", {}), **(listener or {})}
        self.backends = [
            self.backend_at(Address(f"10.0.0.{n}", 80)) for n in range(1, backends + 1)
        ]
        if pools is None:
            fields = getattr(case, "backend_fields", {})
            members = tuple(BackendModel(each.address, **fields) for each in self.backends)
            pools = (Pool("app", members, **(pool or {})),)
        self.log_path = case.mktemp()
        self.snapshot = Snapshot(
            version=1,
            revision=1,
            listeners=(Listener("web", LISTENING, limits=Limits(**(limits or {})), **listener),),
            pools=pools,
            routes=routes,
            access_log=AccessLog(self.log_path, log_format),  # type: ignore[arg-type]
            workers=workers,
        )
        self.service = Service(self.reactor, 1, self.wall, board)
        case.addCleanup(self.service.close)
        self._counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.apply(self.snapshot)

    # Configuration

    def apply(self, snapshot: Snapshot, cells: dict[str, dict[str, int]] | None = None) -> None:
        """Prepare and commit, with a socket for each new listener."""
        self.prepare(snapshot)
        self.service.commit(snapshot.version, cells or {})
        self.snapshot = snapshot
        self.reactor.turn()

    def prepare(self, snapshot: Snapshot) -> None:
        """Prepare alone."""
        open_now = {str(listener.address) for listener in self.snapshot.listeners}
        for listener in snapshot.listeners:
            if str(listener.address) not in open_now or not self.reactor.ports:
                # It is never used, but the service takes its family from it.
                self.service.listen(str(listener.address), socket.socket().detach())
        for _ in self.service.prepare(snapshot):
            pass

    def change(self, cells: dict[str, dict[str, int]] | None = None, **fields: Any) -> None:
        """Apply a new version of the snapshot with these fields."""
        self.apply(
            replace(
                self.snapshot,
                version=self.snapshot.version + 1,
                revision=self.snapshot.revision + 1,
                **fields,
            ),
            cells,
        )

    # The ends

    def client(self, host: str = "198.51.100.7", port: int = 0) -> Client:
        """A new connection from `host` to the listener with the number `port`."""
        client = self.try_client(host, port)
        assert client is not None, "turned away"
        return client

    def try_client(self, host: str = "198.51.100.7", port: int = 0) -> Client | None:
        """The same; None when it is turned away."""
        peer = self.connect(host, port)
        return self._client_of(self.reactor, peer) if peer else None

    def connect(self, host: str = "198.51.100.7", port: int = 0) -> Peer | None:
        """The same, bare: nothing is said on it."""
        kind = IPv6Address if ":" in host else IPv4Address
        peer = self.reactor.ports[port].accept(kind("TCP", host, 40000))
        self.reactor.turn()
        return peer

    def backend_at(self, address: Address) -> Backend:
        """Put a backend on the network."""
        backend: Backend = self._backend_of(self.reactor, address)
        self._network[address.host, address.port] = backend
        return backend

    @property
    def backend(self) -> Backend:
        """The only backend."""
        assert len(self.backends) == 1
        return self.backends[0]

    def _connect(self, connector: Connector) -> None:
        backend = self._network.get((connector.host, connector.port))
        if backend is None:
            connector.failed(errno.ECONNREFUSED)
        else:
            backend.connected(connector)

    # Time, counts and the log

    def wall(self) -> float:
        """Unix time."""
        return 1_700_000_000.0 + self.reactor.seconds()

    def wait(self, seconds: float) -> None:
        self.reactor.wait(seconds)

    def count(self, family: str, *labels: str) -> float:
        """The total of a counter over samples that have all these label values."""
        self._tally()
        return sum(
            value
            for (name, values), value in self._counts.items()
            if name == family and set(labels) <= set(values)
        )

    def gauge(self, family: str, *labels: str) -> float:
        """The sum of a gauge over samples that have all these label values."""
        return sum(
            sample.value
            for sample in self._tally()
            if sample.family == family and set(labels) <= set(sample.labels)
        )

    def _tally(self) -> tuple[Sample, ...]:
        """Take what was counted; increases are told once, so they are added up here."""
        samples = self.service.tally().samples
        for sample in samples:
            if sample.family.endswith("_total"):
                self._counts[sample.family, sample.labels] += sample.value  # type: ignore[assignment]
        return samples

    def errors(self, kind: str) -> float:
        """How many protocol errors of a kind were counted."""
        return self.count("veloflux_protocol_errors_total", kind)

    @property
    def inflight(self) -> float:
        """Requests that backends are said to work on."""
        return self.gauge("veloflux_upstream_inflight")

    @property
    def access_log(self) -> AccessLogAtWork:
        """What the lines are given to."""
        log = self.service._plane.log
        assert log is not None
        return log

    def log_lines(self, expected: int) -> list[str]:
        """The log's lines, once `expected` have been written; fails when there are others."""
        self.wait(1.0)
        lines: list[str] = []
        until = time.monotonic() + _PATIENCE_S
        while len(lines) < expected and time.monotonic() < until:
            time.sleep(0.001)
            lines = self._read_log()
        self._case.assertEqual(len(lines), expected, lines)
        return lines

    def entries(self, expected: int) -> list[dict[str, Any]]:
        """The log's entries, of the JSON format."""
        return [json.loads(line) for line in self.log_lines(expected)]

    def entry(self) -> dict[str, Any]:
        """The only entry."""
        return self.entries(1)[0]

    def _read_log(self) -> list[str]:
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="utf-8") as log:
            whole = log.read()
        return whole.split("\n")[:-1]


def until(done: Callable[[], bool], step: Callable[[], None], at_most: int = 10_000) -> int:
    """Take steps until it is done; says how many. Fails after `at_most`."""
    for steps in range(at_most):
        if done():
            return steps
        step()
    raise AssertionError(f"not done after {at_most} steps")
