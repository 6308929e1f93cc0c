"""What goes through a tunnel without coming into the process, and what does come."""

import socket
import threading
import time
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from tests.support.content import Digest, blocks, digest_of
from veloflux.edge.deadlines import Deadlines
from veloflux.edge.reactor import LeanReactor
from veloflux.edge.transport import Server
from veloflux.edge.tunnel import Tunnel

LATE_S = 20.0
SIZE = 32 * 1024 * 1024


class Side(Protocol):
    """One end of the tunnel; counts what comes into the process."""

    seen = 0
    tunnel: Any = None

    def __init__(self, name: str) -> None:
        self._hands_on = f"from_{name}"

    def dataReceived(self, data: bytes) -> None:
        self.seen += len(data)
        getattr(self.tunnel, self._hands_on)(data)


class Tunnels(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = LeanReactor()
        self.addCleanup(self.reactor._poller.close)
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

    def turn_until(self, thread: threading.Thread) -> None:
        thread.start()
        until = time.monotonic() + LATE_S
        while thread.is_alive() and time.monotonic() < until:
            self.reactor.iterate(0.01)
        self.assertFalse(thread.is_alive())

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
        # So little is taken at once that something is left of each read.
        self.outer.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        self.pass_much()
        self.assertLess(self.inner.seen, SIZE / 8)
        self.assertEqual(self.tunnel.bytes_in, SIZE)
