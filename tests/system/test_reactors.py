"""The data plane on real sockets, under the lean reactor and under those that Twisted has."""

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from tests.support.bare import Bare
from tests.support.case import Running, SystemTestCase, reset
from tests.support.content import Digest, blocks, digest_of
from tests.support.daemon import wait_for
from tests.support.server import read_all, read_head

MIB = 1024 * 1024
SIZE = 4 * MIB + 12_345
# More than the buffers of two connections, one of which has a small window.
LARGE = 64 * MIB
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
KEY = base64.b64encode(bytes(16))
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def send_counted(connection: socket.socket, head: bytes, size: int) -> None:
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
    for block in blocks(size):
        connection.sendall(block)


def send_chunked(connection: socket.socket, head: bytes, size: int) -> None:
    connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for block in blocks(size):
        connection.sendall(b"%x\r\n%b\r\n" % (len(block), block))
    connection.sendall(b"0\r\n\r\n")


def receive(connection: socket.socket) -> tuple[bytes, str]:
    """The head of one message, and the digest of its counted or chunked body."""
    head, _, rest = read_head(connection).partition(b"\r\n\r\n")
    found = Digest()
    stream = connection.makefile("rb")
    if b"transfer-encoding: chunked" in head.lower():
        whole = Rest(rest, stream.read)
        while size := int(whole.line(), 16):
            found.add(whole.read(size))
            whole.line()
        whole.line()
    else:
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        found.add(rest)
        while found.size < length and (piece := stream.read(min(65536, length - found.size))):
            found.add(piece)
    return head, str(found)


class Rest:
    """What was read too far, and then the stream."""

    def __init__(self, rest: bytes, read: Callable[[int], bytes]) -> None:
        self._rest = rest
        self._more = read

    def read(self, size: int) -> bytes:
        taken, self._rest = self._rest[:size], self._rest[size:]
        while len(taken) < size and (piece := self._more(size - len(taken))):
            taken += piece
        return taken

    def line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n") and (byte := self.read(1)):
            line += byte
        return line


class LeanTests(SystemTestCase):
    """The reactor of the workers, which sends at once and splices."""

    reactor = "lean"

    @contextlib.contextmanager
    def plane(
        self,
        backend: Callable[[socket.socket], None] | str,
        protocol: str = "http",
        receive_bytes: int = 0,
    ) -> Iterator[SimpleNamespace]:
        """A data plane before one backend, a function or an address.

        Yields its `port` and `process`, and the backend's `server`.
        """
        server = None if isinstance(backend, str) else self.server(backend, receive_bytes)
        address = backend if server is None else server.address
        log = self.mktemp()
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
            port = listening.getsockname()[1]
            with Bare(self.reactor, listening.fileno(), protocol, address, log) as process:
                yield SimpleNamespace(port=port, process=process, server=server)
        for line in Path(log).read_text().splitlines():
            json.loads(line)

    def settled(self, process: Bare, count: int) -> None:
        """Wait until the process has no more than so many descriptors open."""
        wait_for(f"{count} descriptors", lambda: process.descriptors <= count)

    def test_bodies_of_any_kind_up_and_down(self) -> None:
        def serve(connection: socket.socket) -> None:
            while True:
                head, found = receive(connection)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nX-Found: " + found.encode() + b"\r\nX: y\r\n"
                )
                if b"/chunked" in head:
                    send_chunked(connection, b"", SIZE)
                elif b"/counted" in head:
                    send_counted(connection, b"", SIZE)
                else:
                    connection.sendall(b"Connection: close\r\n\r\n")
                    for block in blocks(SIZE):
                        connection.sendall(block)
                    return

        with self.plane(serve) as plane:
            client = self.connect(plane.port)
            for answer in (b"counted", b"chunked", b"closed"):
                for send in (send_counted, send_chunked):
                    head = b"POST /" + answer + b" HTTP/1.1\r\nHost: a\r\n"
                    sending = Running(lambda s=send, h=head: s(client, h, SIZE))
                    head, found = receive(client)
                    sending.result()
                    self.assertIn(f"X-Found: {digest_of(SIZE)}\r\n".encode(), head)
                    self.assertEqual(found, digest_of(SIZE), answer)

    def test_a_body_up_and_down_at_once(self) -> None:
        def echo(connection: socket.socket) -> None:
            head = read_head(connection)
            body = head.partition(b"\r\n\r\n")[2]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + body)
            left = SIZE - len(body)
            while left and (piece := connection.recv(65536)):
                connection.sendall(piece)
                left -= len(piece)

        with self.plane(echo) as plane:
            client = self.connect(plane.port)
            sending = Running(lambda: send_counted(client, b"POST / HTTP/1.1\r\nHost: a\r\n", SIZE))
            self.assertEqual(receive(client)[1], digest_of(SIZE))
            sending.result()

    def test_many_small_ones(self) -> None:
        def serve(connection: socket.socket) -> None:
            while True:
                target = read_head(connection).split(b" ", 2)[1]
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target) + target
                )

        with self.plane(serve) as plane:
            client = self.connect(plane.port)
            for n in range(200):
                client.sendall(GET.replace(b"/", b"/%d" % n, 1))
                self.assertTrue(read_head(client).endswith(b"\r\n\r\n/%d" % n))
            together = b"".join(GET.replace(b"/", b"/%d" % n, 1) for n in range(500))
            last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            client.sendall(together + last)
            bodies = read_all(client).split(b"\r\n\r\n")[1:]
            found = [body.partition(b"HTTP/1.1")[0] for body in bodies]
            self.assertEqual(found, [b"/%d" % n for n in range(500)] + [b"/last"])
            self.assertEqual(plane.server.opened.acquire(timeout=0), True)
            self.assertEqual(plane.server.opened.acquire(timeout=0), False)

    def test_a_slow_reader_costs_no_memory(self) -> None:
        """L5"""
        blocked = threading.Event()

        def serve(connection: socket.socket) -> None:
            read_head(connection)
            connection.settimeout(1.0)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for block in blocks(LARGE):
                while block:
                    try:
                        block = block[connection.send(block) :]
                    except TimeoutError:
                        blocked.set()

        with self.plane(serve) as plane:
            before = plane.process.memory
            client = self.connect(plane.port, receive_bytes=256 * 1024)
            client.sendall(GET)
            self.assertTrue(blocked.wait(20))
            self.assertLess(plane.process.memory - before, 8 * MIB)
            self.assertEqual(receive(client)[1], digest_of(LARGE))

    def test_a_slow_backend_costs_no_memory(self) -> None:
        """L5"""
        go_on = threading.Event()

        def serve(connection: socket.socket) -> None:
            go_on.wait(20)
            found = receive(connection)[1].encode()
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(found) + found
            )

        with self.plane(serve, receive_bytes=256 * 1024) as plane:
            before = plane.process.memory
            client = self.connect(plane.port)
            client.settimeout(1.0)
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE
            unsent = [head, *blocks(LARGE)]
            with contextlib.suppress(TimeoutError):
                while unsent:
                    unsent[0] = unsent[0][client.send(unsent[0]) :]
                    if not unsent[0]:
                        del unsent[0]
            self.assertTrue(unsent)
            self.assertLess(plane.process.memory - before, 8 * MIB)
            client.settimeout(20)
            go_on.set()
            for block in unsent:
                client.sendall(block)
            self.assertTrue(read_head(client).endswith(digest_of(LARGE).encode()))

    def test_a_client_that_breaks_off(self) -> None:
        """L7: the backend hears of it, and others are served."""
        broken = threading.Semaphore(0)

        def serve(connection: socket.socket) -> None:
            while True:
                head = read_head(connection)
                if b"/big" not in head:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                try:
                    send_counted(connection, b"HTTP/1.1 200 OK\r\n", 100 * SIZE)
                except OSError:
                    broken.release()
                    raise

        with self.plane(serve) as plane:
            other = self.connect(plane.port)
            other.sendall(GET)
            self.assertTrue(read_head(other).endswith(b"ok"))
            before = plane.process.descriptors
            for end in (reset, socket.socket.close):
                client = self.connect(plane.port)
                client.sendall(GET.replace(b"/", b"/big", 1))
                client.recv(100_000)
                end(client)
                self.assertTrue(broken.acquire(timeout=20))
            other.sendall(GET)
            self.assertTrue(read_head(other).endswith(b"ok"))
            # What splices keeps a pipe or two.
            self.settled(plane.process, before + 4)

    def test_a_backend_that_breaks_off(self) -> None:
        """S25: the client sees that its answer is not whole."""

        def serve(connection: socket.socket) -> None:
            head = read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for block in blocks(SIZE // 2):
                connection.sendall(block)
            if b"/reset" in head:
                reset(connection)

        with self.plane(serve) as plane:
            for target in (b"/reset", b"/close"):
                client = self.connect(plane.port)
                client.sendall(GET.replace(b"/", target, 1))
                read_head(client)
                with self.assertRaises(ConnectionResetError):
                    read_all(client)

    def test_nobody_there(self) -> None:
        """X1"""
        nobody = socket.socket()
        self.addCleanup(nobody.close)
        nobody.bind(("127.0.0.1", 0))
        with self.plane(f"127.0.0.1:{nobody.getsockname()[1]}") as plane:
            client = self.connect(plane.port)
            for _ in range(3):
                client.sendall(GET)
                self.assertTrue(read_head(client).startswith(b"HTTP/1.1 503 "))

    def test_a_refusal_reaches_a_client_that_still_sends(self) -> None:
        """RFC 9112 section 9.6: a reset could overtake it."""
        with self.plane(lambda _: None) as plane:
            for _ in range(5):
                client = self.connect(plane.port)
                client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
                with contextlib.suppress(OSError):
                    client.sendall(b"x" * 300_000)
                self.assertTrue(read_all(client).startswith(b"HTTP/1.1 413 "))

    def test_a_tunnel_both_ways(self) -> None:
        def serve(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
            )
            echo(connection)

        with self.plane(serve) as plane:
            client = self.connect(plane.port)
            client.sendall(HANDSHAKE)
            self.assertTrue(read_head(client).startswith(b"HTTP/1.1 101 "))
            self.check_echo(client)

    def test_a_relay_both_ways(self) -> None:
        with self.plane(echo, "tcp") as plane:
            before = plane.process.descriptors
            for _ in range(3):
                self.check_echo(self.connect(plane.port))
            self.settled(plane.process, before + 4)

    def test_a_relay_of_question_and_answer(self) -> None:
        """Half-closed by whoever is through first"""

        def serve(connection: socket.socket) -> None:
            found = Digest()
            while piece := connection.recv(65536):
                found.add(piece)
            connection.sendall(str(found).encode())

        with self.plane(serve, "tcp") as plane:
            client = self.connect(plane.port)
            for block in blocks(SIZE):
                client.sendall(block)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client).decode(), digest_of(SIZE))

    def check_echo(self, client: socket.socket) -> None:
        """Send a body, half-close, and get it back."""

        def send() -> None:
            for block in blocks(SIZE):
                client.sendall(block)
            client.shutdown(socket.SHUT_WR)

        sending = Running(send)
        found = Digest()
        while piece := client.recv(65536):
            found.add(piece)
        sending.result()
        self.assertEqual(str(found), digest_of(SIZE))


def echo(connection: socket.socket) -> None:
    while piece := connection.recv(65536):
        connection.sendall(piece)


class PureTests(LeanTests):
    """The same, where there was no compiler"""

    reactor = "pure"


class EpollTests(LeanTests):
    """Twisted's own on Linux"""

    reactor = "epoll"


class SelectTests(LeanTests):
    """What every platform has"""

    reactor = "select"
