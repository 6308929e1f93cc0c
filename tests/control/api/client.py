"""Requests to the admin API in memory: bytes in, bytes out."""

import json
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tests.control.fakes import FakeAudit, FakeChecks, FakeFleet
from tests.control.services.configuration.rig import FILE, Obeying, serve
from tests.control.store.memory import MemoryStore
from tests.control.store.places import at_once
from veloflux.config import written
from veloflux.config.written import Document, Written
from veloflux.control.api.allowance import Allowance
from veloflux.control.api.app import admin_site
from veloflux.control.api.call import Frame
from veloflux.control.api.endpoint import Endpoint, Services
from veloflux.control.api.guard import Guard
from veloflux.control.api.idempotency import Idempotency
from veloflux.control.api.openapi import document
from veloflux.control.api.site import AdminChannel, AdminSite
from veloflux.control.api.table import ROWS
from veloflux.control.api.upgrade import Streams
from veloflux.control.metrics import Metrics
from veloflux.control.observatory import Observatory
from veloflux.control.services.audit_log import AuditLog
from veloflux.control.services.backup import Backup
from veloflux.control.services.configuration.burn import Counts
from veloflux.control.services.configuration.transactions import Transactions
from veloflux.control.services.drains import Drains
from veloflux.control.services.explaining import Explainer
from veloflux.control.services.feed import Feed
from veloflux.control.services.identity.hashing import InThread
from veloflux.control.services.identity.people import people
from veloflux.control.services.principal import Principal
from veloflux.control.services.rest import Rest
from veloflux.control.services.status import Status
from veloflux.control.services.tickets import Tickets
from veloflux.control.store.measured import Measured
from veloflux.control.streams.topics import topics
from veloflux.core.model.node import Admin
from veloflux.fleet.worker import State

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def parse(raw: bytes) -> Response:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Response(int(first.split()[1]), {k.lower(): v for k, v in headers.items()}, body)


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


SIGNED_IN = {"Authorization": basic("admin", PASSWORD)}


class FakeSocket(Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told = b""

    def dataReceived(self, data: bytes) -> None:
        self.told += data

    def pauseProducing(self) -> None:
        """It writes nothing."""

    resumeProducing = stopProducing = pauseProducing


class FakeSockets:
    """Makes sockets, and keeps whom they are for."""

    def __init__(self) -> None:
        self.is_full = False
        self.takes_strangers = True
        self.expected: list[tuple[str, Principal | None, str, float | None]] = []
        self.socket = FakeSocket()

    def expect(
        self, address: str, principal: Principal | None, channel: str, period_s: float | None
    ) -> FakeSocket:
        self.expected.append((address, principal, channel, period_s))
        return self.socket


class Connection:
    def __init__(self, site: AdminSite, peer: str = "127.0.0.1") -> None:
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", peer, 40000))
        self.channel: AdminChannel = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> bytes:
        """What has been answered since the last time."""
        self.transport.clear()
        self.channel.dataReceived(data)
        answered: bytes = self.transport.value()
        return answered

    def close(self) -> None:
        self.channel.connectionLost(connectionDone)


@cache
def documented(rows: tuple[Endpoint, ...]) -> dict[str, Any]:
    """The paths of the document of these rows."""
    paths: dict[str, Any] = document(rows)["paths"]
    return paths


class Api:
    """The admin API of a fake fleet, with a clock of its own."""

    def __init__(
        self,
        admin: Admin | None = None,
        page: Callable[[Callable[[], bytes]], Awaitable[bytes]] | None = None,
        data_dir: str = "unused",
        rows: Sequence[Endpoint] = ROWS,
        in_thread: InThread = at_once,
    ) -> None:
        self.clock = Clock()
        self.fleet = FakeFleet(State.SERVING)
        self.checks = FakeChecks()
        self.status = Status(self.fleet, self.checks, self.clock.seconds, lambda: 1e9)
        self.metrics = Metrics(lambda: tuple, page or (lambda work: succeed(work())))
        self.store = MemoryStore()
        self.observatory = Observatory(
            self.clock,
            Measured(self.store, self.clock.seconds, lambda *_: None),
            data_dir,
            self.fleet,
            self.status,
            self.metrics,
            self.now,
            lambda work: succeed(work()),
        )
        self.feed = Feed(topics(self.observatory, self.document), self.clock, lambda: 1e9)
        self.tickets: Tickets[Principal] = Tickets(self.clock.seconds)
        self.audit = FakeAudit()
        self.log = AuditLog(self.store, self.now, self.clock.seconds)
        self.people = people(self.store, in_thread, self.now, self.clock.seconds)
        self.file: Any = json.loads(json.dumps(FILE))
        self.spawner = Obeying()
        rollout, self.configuration = serve(
            self._written, self.store, Clock(), self.spawner, "/", {}
        )
        rollout.on_applied.append(
            lambda node: self.status.applied(node.snapshot, node.workers, "abc")
        )
        self.drains = Drains(self.configuration, self.store, self.clock, self.now)
        self.counts, self.before = Counts(), Counts()
        self.transactions = Transactions(
            self.configuration,
            self.store,
            self.clock,
            self.now,
            lambda: self.counts,
            lambda: self.before,
        )
        self.services = Services(
            self.status,
            self.metrics,
            self.observatory,
            self.people,
            self.log,
            self.feed,
            self.tickets,
            self.configuration,
            self.drains,
            self.transactions,
            Explainer(lambda work: succeed(work()), lambda: 0.0, self.clock.seconds),
            Rest(self.fleet, self.fleet, self.now),
            Backup(
                self.configuration,
                [self.people.saved],
                self.store,
                lambda work: succeed(work()),
                self.now,
            ),
        )
        self.admin = admin or Admin(password=PASSWORD)
        self.people.operator.configure(self.admin, data_dir, bytes(32))
        self.frame = Frame(
            self.services,
            Guard(self.people.identity),
            Allowance(self.clock.seconds),
            lambda work: succeed(work()),
            Idempotency(self.store, self.now),
            self.audit,
        )
        self.sockets = FakeSockets()
        self.serve(rows)

    def serve(
        self,
        rows: Sequence[Endpoint],
        guard: Guard | None = None,
        idempotency: Idempotency | None = None,
    ) -> None:
        """Serve other rows, or with other parts."""
        self._rows = tuple(rows)
        self.frame = replace(
            self.frame,
            guard=guard or self.frame.guard,
            idempotency=idempotency or self.frame.idempotency,
        )
        streams = Streams(self.feed.topics, self.sockets, self.tickets)
        self.site = admin_site(self.clock, self.admin, self.frame, "Proxy-1", streams, rows)

    def begin(self) -> "Api":
        """Bring the configuration into force, which is that of `file`."""
        Deferred.fromCoroutine(self.configuration.start())
        Deferred.fromCoroutine(self.drains.start())
        Deferred.fromCoroutine(self.transactions.start())
        return self

    def _written(self) -> Written:
        return written.parse(json.dumps(self.file).encode(), "/etc/veloflux.yaml")

    def document(self) -> Document:
        return self.configuration.current().document

    def now(self) -> float:
        return 1e9 + self.clock.seconds()

    def raw(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        fields = {"Host": "127.0.0.1:9090"} | headers
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def call(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        peer: str = "127.0.0.1",
    ) -> Response:
        connection = Connection(self.site, peer)
        answer = connection.send(self.raw(method, path, headers or {}, body))
        connection.close()
        found = parse(answer)
        if answer:
            self._check(method, path, found.status)
        return found

    def _check(self, method: str, path: str, status: int) -> None:
        """Whatever is answered is in the document: raises AssertionError for what is not."""
        asked = "/api/" + path.removeprefix("/api/v1/") if path.startswith("/api/v1/") else path
        paths = documented(self._rows)
        # `/backends/{id}/drain` comes before `/backends/{pool}/{address}`, as in the routing.
        for template in sorted(paths, key=lambda path: path.count("{")):
            operation = paths[template].get(method.lower())
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if operation and re.fullmatch(pattern, asked.partition("?")[0]):
                told = f"{method} {template} answers {status}, which is not in the document"
                assert str(status) in operation["responses"], told
                return
