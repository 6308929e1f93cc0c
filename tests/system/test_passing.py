"""Bodies worked on while they pass, on real sockets: compressed answers, mirrored requests."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import zstandard

from tests.support.bare import Bare
from tests.support.case import Running, SystemTestCase, reset, settings
from tests.support.content import Digest, blocks, digest_of
from tests.support.daemon import wait_for
from tests.support.server import Server, read_head

MIB = 1024 * 1024
BROWSER = b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
GZIP = b"Accept-Encoding: gzip\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
# More than the buffers of two connections, and more than would go unseen in memory.
LARGE = 64 * MIB


def ask(lines: bytes = GZIP, size: int = 0, path: bytes = b"/") -> bytes:
    """A GET for so many bytes."""
    return b"GET %b%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (path, size, lines)


class Origin:
    """A backend that sends as many bytes as the path says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.sent = 0

    def __call__(self, connection: socket.socket) -> None:
        while True:
            head = read_head(connection)
            self.heads.append(head)
            size = int(re.findall(rb"/([0-9]+) ", head)[0])
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for block in blocks(size):
                connection.sendall(b"%x\r\n%b\r\n" % (len(block), block))
                self.sent += len(block)
            connection.sendall(b"0\r\n\r\n")


class Second:
    """A backend that says yes to everything; while it `is_mute` nothing, until `gone`."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.is_mute = False
        self.gone = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        while True:
            self.heads.append(read_head(connection))
            if self.is_mute:
                self.gone.wait(60)
                return
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def receive(connection: socket.socket) -> Iterator[bytes]:
    """The pieces of a chunked body, after its head."""
    stream = connection.makefile("rb")
    while stream.readline() != b"\r\n":
        pass
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


class PassingTestCase(SystemTestCase):
    @contextlib.contextmanager
    def plane(self) -> Iterator[SimpleNamespace]:
        """A data plane before `origin`, with `second` as its mirror."""
        origin, second = Origin(), Second()
        self.addCleanup(second.gone.set)
        server: Server = self.server(origin)
        mirrored: Server = self.server(second)
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
            port = listening.getsockname()[1]
            with Bare(
                "lean", listening.fileno(), "http", server.address, self.mktemp(), mirrored.address
            ) as process:
                yield SimpleNamespace(
                    port=port, process=process, origin=origin, second=second, mirrored=mirrored
                )


class CompressionTests(PassingTestCase):
    def curl(self, *arguments: str) -> bytes:
        ran = subprocess.run(
            ["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, timeout=30
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, b""))
        return ran.stdout

    def test_curl_reads_it(self) -> None:
        expected = b"".join(blocks(300_000))
        with self.plane() as plane:
            url = f"http://127.0.0.1:{plane.port}/300000"
            self.assertEqual(self.curl("--compressed", url), expected)
            self.assertEqual(
                self.curl("--compressed", "-H", "Accept-Encoding: gzip", url), expected
            )
            self.assertEqual(self.curl(url), expected)
            for accepted, coding in (("gzip", b"gzip"), ("gzip, deflate, br, zstd", b"zstd")):
                said = self.curl(
                    "-o", os.devnull, "-D", "-", "-H", f"Accept-Encoding: {accepted}", url
                )
                self.assertIn(b"\r\nContent-Encoding: %b\r\n" % coding, said)
                self.assertIn(b"\r\nVary: Accept-Encoding\r\n", said)

    def test_a_long_stream_stays_flat_in_memory(self) -> None:
        """(d): whatever its length, a stream takes what its coding's window takes."""
        with self.plane() as plane:
            for lines in (GZIP, BROWSER):
                for size in (MIB, LARGE):
                    before = plane.process.memory
                    found, most = Digest(), 0
                    unpacking = (
                        zlib.decompressobj(31)
                        if lines is GZIP
                        else zstandard.ZstdDecompressor().decompressobj()
                    )
                    with contextlib.closing(self.connect(plane.port)) as client:
                        client.sendall(ask(lines, size))
                        for number, piece in enumerate(receive(client)):
                            found.add(unpacking.decompress(piece))
                            if number % 100 == 0:
                                most = max(most, plane.process.memory)
                    self.assertEqual(str(found), digest_of(size))
                    self.assertTrue(unpacking.eof)
                    if size == LARGE:
                        self.assertLess(most - before, 8 * MIB)

    def test_a_slow_reader_keeps_the_backend_waiting(self) -> None:
        """L5"""
        with self.plane() as plane:
            client = self.connect(plane.port, receive_bytes=65536)
            client.sendall(ask(size=LARGE))
            read_head(client)
            seen = [-1]

            def stands_still() -> bool:
                seen.append(plane.origin.sent)
                return len(seen) > 25 and seen[-25] == seen[-1] > 0

            wait_for("the backend being held back", stands_still)
            self.assertLess(plane.origin.sent, LARGE // 4)
            self.assertLess(plane.process.memory, 128 * MIB)
            reset(client)

    def test_clients_that_go_leave_nothing_behind(self) -> None:
        """X4, (f): in the middle of an answer, of a request, and of a copy of one."""
        with self.plane() as plane:
            with contextlib.closing(self.connect(plane.port)) as client:
                client.sendall(ask(BROWSER, 5))
                list(receive(client))
            # Its connections to both backends are kept.
            wait_for("the copy", lambda: len(plane.second.heads) == 1)
            before = plane.process.descriptors
            plane.second.is_mute = True
            for number in range(30):
                client = self.connect(plane.port, receive_bytes=65536)
                client.sendall(ask(BROWSER if number % 2 else GZIP, LARGE))
                read_head(client)
                reset(client)
                client = self.connect(plane.port)
                client.sendall(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
                reset(client)
            wait_for("the copies", lambda: len(plane.second.heads) == 31)
            # Copies that were sent end with their own deadline, or with their backend.
            plane.second.is_mute = False
            plane.second.gone.set()
            wait_for("descriptors coming back", lambda: plane.process.descriptors <= before)


class MirrorTests(PassingTestCase):
    def test_what_one_gets_the_other_gets(self) -> None:
        with self.plane() as plane:
            client = self.connect(plane.port)
            for size in range(50):
                client.sendall(ask(size=size))
                self.assertEqual(sum(map(len, receive_plain(client))), size)
            wait_for("the copies", lambda: len(plane.second.heads) == 50)
            targets = [head.split(b" ")[1] for head in plane.second.heads]
            self.assertEqual(sorted(targets), sorted(b"/%d" % size for size in range(50)))
            self.assertTrue(all(b"\r\nX-Mirrored: 1\r\n" in head for head in plane.second.heads))
            self.assertFalse(any(b"X-Mirrored" in head for head in plane.origin.heads))

    def test_a_second_pool_that_hangs_or_is_gone_is_not_noticed(self) -> None:
        with self.plane() as plane:
            plane.second.is_mute = True

            def serve() -> None:
                with contextlib.closing(self.connect(plane.port)) as client:
                    for size in range(40):
                        client.sendall(ask(b"", size))
                        self.assertEqual(sum(map(len, receive(client))), size)

            # Four times what may be under way.
            clients = [Running(serve) for _ in range(6)]
            for each in clients:
                each.result()
            # As many as are allowed at a time, and no more.
            wait_for("the copies", lambda: len(plane.second.heads) == 64)
            plane.mirrored.close()
            plane.second.gone.set()
            serve()
            self.assertEqual(len(plane.origin.heads), 280)


class ConfiguredTests(SystemTestCase):
    def test_both_by_the_file(self) -> None:
        """Workers count their copies, and the page of metrics has them all."""
        origin, second = Origin(), Second()
        main, mirrored = self.server(origin), self.server(second)
        pools = [
            {"name": "app", "backends": [{"address": main.address}]},
            {"name": "next", "backends": [{"address": mirrored.address}]},
        ]
        route = {"compression": True, "mirror": {"pool": "next", "max_body_bytes": "1KiB"}}
        daemon = self.daemon(settings(pools=pools, route=route, workers=2))
        for size in range(20):
            with contextlib.closing(self.connect(daemon.port())) as client:
                client.sendall(ask(size=size))
                self.assertEqual(sum(map(len, receive_plain(client))), size)
        name = "veloflux_mirrored_requests_total"
        self.wait_for_metric(daemon, 20.0, name, route="app", result="sent")
        client = self.connect(daemon.port())
        client.sendall(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n" + b"x" * 1025)
        read_head(client)
        self.wait_for_metric(daemon, 1.0, name, route="app", result="dropped")


def receive_plain(connection: socket.socket) -> Iterator[bytes]:
    """The same of a gzip body."""
    stream = zlib.decompressobj(31)
    for piece in receive(connection):
        yield stream.decompress(piece)
    assert stream.eof
