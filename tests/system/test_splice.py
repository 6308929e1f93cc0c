"""What goes through without coming into the process, and what does come."""

import contextlib
import socket
import threading
import time
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.case import SystemTestCase
from tests.support.content import Digest, blocks, digest_of
from tests.support.server import read_head
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import (
    Backend,
    Limits,
    Listener,
    Pool,
    Route,
    Share,
    Snapshot,
)
from veloflux.edge.deadlines import Deadlines
from veloflux.edge.downstream import Downstream
from veloflux.edge.reactor import LeanReactor
from veloflux.edge.service import Service
from veloflux.edge.transport import Server
from veloflux.edge.tunnel import Tunnel
from veloflux.edge.upstream import Upstream

LATE_S = 20.0
MIB = 1024 * 1024
SIZE = 32 * MIB
# Of HTTP, to those who take so little.
BODY = 2 * MIB
# So little is taken at once that something is left of each read.
LITTLE = 16 * 1024
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Side(Protocol):
    """One end of the tunnel; counts what comes into the process, and tells of its loss."""

    seen = 0
    tunnel: Any = None

    def __init__(self, name: str) -> None:
        self._hands_on = f"from_{name}"

    def dataReceived(self, data: bytes) -> None:
        self.seen += len(data)
        getattr(self.tunnel, self._hands_on)(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.tunnel.lost("SD")


class Turning(SynchronousTestCase):
    """Has a reactor, which it turns while a thread of the test sends and receives."""

    def setUp(self) -> None:
        self.reactor = LeanReactor()
        self.addCleanup(self.reactor._poller.close)

    def turn_until(self, thread: threading.Thread) -> None:
        thread.start()
        until = time.monotonic() + LATE_S
        while thread.is_alive() and time.monotonic() < until:
            self.reactor.iterate(0.01)
        self.assertFalse(thread.is_alive())


class Tunnels(Turning):
    def setUp(self) -> None:
        super().setUp()
        self.client, self.inner = self.side("client")
        self.backend, self.outer = self.side("backend")
        self.ended: list[str] = []
        self.tunnel = Tunnel(
            self.inner.transport,
            self.outer.transport,
            Deadlines(self.reactor),
            idle_s=60.0,
            write_timeout_s=60.0,
            ended=self.ended.append,
        )
        self.addCleanup(self.tunnel.abort, "--")
        self.inner.tunnel = self.outer.tunnel = self.tunnel

    def side(self, name: str) -> tuple[socket.socket, Side]:
        far, near = socket.socketpair()
        far.settimeout(LATE_S)
        near.setblocking(False)
        for each in (far, near):
            self.addCleanup(each.close)
        protocol = Side(name)
        server = Server(near, protocol, ("", 0), None, 1, self.reactor)
        protocol.makeConnection(server)
        return far, protocol

    def pass_on(self, data: bytes) -> None:
        """A little through the tunnel."""
        self.client.sendall(data)
        got: list[bytes] = []
        self.turn_until(threading.Thread(target=lambda: got.append(self.backend.recv(100))))
        self.assertEqual(got, [data])

    def pass_much(self) -> None:
        """A great deal through the tunnel, and unchanged."""
        found = Digest()

        def send() -> None:
            for block in blocks(SIZE):
                self.client.sendall(block)

        def receive() -> None:
            sender = threading.Thread(target=send)
            sender.start()
            while found.size < SIZE:
                found.add(self.backend.recv(1 << 20))
            sender.join()

        self.turn_until(threading.Thread(target=receive))
        self.assertEqual(str(found), digest_of(SIZE))

    def test_a_little_is_copied(self) -> None:
        for _ in range(3):
            self.pass_on(b"a question")
        self.assertEqual(self.inner.seen, 30)
        self.assertEqual(self.tunnel.bytes_in, 30)

    def test_much_does_not_come_into_the_process(self) -> None:
        self.pass_much()
        self.assertLess(self.inner.seen, SIZE / 2)
        self.assertEqual(self.tunnel.bytes_in, SIZE)

    def test_a_little_after_much_is_copied_again(self) -> None:
        self.pass_much()
        # The first may still go the way of what was before it.
        self.pass_on(b"a question")
        seen = self.inner.seen
        self.pass_on(b"another question")
        self.assertEqual(self.inner.seen, seen + len(b"another question"))
        self.assertEqual(self.tunnel.bytes_in, SIZE + len(b"a questionanother question"))

    def test_and_much_again_is_not(self) -> None:
        self.pass_much()
        self.pass_on(b"a question")
        seen = self.inner.seen
        self.pass_much()
        self.assertLess(self.inner.seen - seen, SIZE / 2)

    def test_nor_does_it_for_a_reader_that_is_always_behind(self) -> None:
        self.outer.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LITTLE)
        self.pass_much()
        self.assertLess(self.inner.seen, SIZE / 8)
        self.assertEqual(self.tunnel.bytes_in, SIZE)

    def test_what_was_taken_from_a_backend_that_is_gone_reaches_the_client(self) -> None:
        self.backend.setblocking(False)
        until = time.monotonic() + LATE_S
        while self.inner.transport.feeder is None and time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                self.backend.send(bytes(MIB))
            self.reactor.iterate(0.01)
        self.assertGreater(self.inner.transport.feeder.pending, 0)
        # It is gone, which is seen when something is sent to it.
        self.backend.close()
        self.client.sendall(b"and you?")
        while not self.ended and time.monotonic() < until:
            self.reactor.iterate(0.01)
        received: list[int] = []

        def receive() -> None:
            while more := self.client.recv(MIB):
                received.append(len(more))

        self.turn_until(threading.Thread(target=receive))
        self.assertEqual(sum(received), self.tunnel.bytes_out)
        self.assertEqual(self.ended, ["SD"])


class Bodies(Turning, SystemTestCase):
    """Of HTTP, with a reader that is always behind: they are spliced again each time that it has
    taken all."""

    def setUp(self) -> None:
        super().setUp()
        self.seen = 0

    def watch(self, side: type) -> None:
        """Count what comes into the process on connections of this type."""
        received = side.dataReceived  # type: ignore[attr-defined]

        def count(connection: Any, data: bytes) -> Any:
            self.seen += len(data)
            return received(connection, data)

        self.patch(side, "dataReceived", count)

    def proxy(self, backend: str) -> int:
        """One that serves on this port; something is left of each read."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LITTLE)
        address = Address("127.0.0.1", listening.getsockname()[1])
        service = Service(self.reactor, 1)
        # What is closed is let go of in the loop's next turns.
        for _ in range(3):
            self.addCleanup(self.reactor.iterate)
        self.addCleanup(service.close)
        service.listen(str(address), listening.detach())
        limits = Limits(max_body_bytes=BODY)
        snapshot = Snapshot(
            version=1,
            listeners=(Listener("web", address, limits=limits),),
            pools=(Pool("app", (Backend(Address.parse(backend)),)),),
            routes=(Route("all", pools=(Share("app"),)),),
        )
        for _ in service.prepare(snapshot):
            pass
        service.commit(1)
        return address.port

    def test_down(self) -> None:
        def serve(connection: socket.socket) -> None:
            read_head(connection)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY
            # At once, so that the first read does not fit.
            connection.sendall(head + b"".join(blocks(BODY)))

        found = Digest()

        def ask() -> None:
            client.sendall(GET)
            found.add(read_head(client).partition(b"\r\n\r\n")[2])
            while found.size < BODY:
                found.add(client.recv(MIB))

        client = self.connect(self.proxy(self.server(serve).address), LITTLE)
        self.watch(Upstream)
        self.turn_until(threading.Thread(target=ask))
        self.assertEqual(str(found), digest_of(BODY))
        self.assertLess(self.seen, BODY / 8)

    def test_up(self) -> None:
        found = Digest()

        def serve(connection: socket.socket) -> None:
            found.add(read_head(connection).partition(b"\r\n\r\n")[2])
            while found.size < BODY:
                found.add(connection.recv(MIB))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        def send() -> None:
            client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % BODY)
            for block in blocks(BODY):
                client.sendall(block)
            self.assertTrue(read_head(client).startswith(b"HTTP/1.1 204 "))

        client = self.connect(self.proxy(self.server(serve, receive_bytes=LITTLE).address))
        self.watch(Downstream)
        self.turn_until(threading.Thread(target=send))
        self.assertEqual(str(found), digest_of(BODY))
        self.assertLess(self.seen, BODY / 8)
