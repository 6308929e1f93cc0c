"""Floods of HTTP/2 before the real daemon: they end with GOAWAY, in little memory and no work."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from hpack import Encoder

from tests.core.wire.http2.raw import END, GET, HELLO, POST, WHOLE, Field, long
from tests.support.case import SystemTestCase, ask, settings
from tests.support.daemon import Daemon, memory, wait_for
from tests.support.server import read_head
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.frames import frame

MIB = 1024 * 1024
# What a worker's memory may vary by whatever is done: an allocator's whim.
FLAT = 12 * MIB
CALM = Code.ENHANCE_YOUR_CALM
CONTINUATION, PRIORITY = frames.CONTINUATION, frames.PRIORITY
WINDOW = b"\0\4"


def block(fields: Sequence[Field] = GET) -> bytes:
    """A field block that leaves the table as it is, so it can be sent again and again."""
    return bytes(Encoder().encode([(name, value, True) for name, value in fields]))


ASKS, SENDS = block(), block(POST)
COUNTED = block((*POST, (b"content-length", b"2")))
TRAILERS = block([(b"x", b"y")])


def head(number: int, fields: bytes = ASKS, flags: int = END | WHOLE) -> bytes:
    return frame(frames.HEADERS, flags, number, fields)


def heard(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """The frames that come until the other end is through: kind, stream, payload."""
    buffer = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionError:
            piece = b""
        if not piece:
            return
        buffer += piece
        while len(buffer) >= 9:
            high, low, kind, _, stream = frames.HEADER.unpack_from(buffer)
            end = 9 + (high << 8 | low)
            if len(buffer) < end:
                break
            yield kind, stream, buffer[9:end]
            buffer = buffer[end:]


def say(connection: socket.socket, wire: bytes) -> None:
    """Send what the other end still takes."""
    try:
        connection.sendall(wire)
    except ConnectionError:
        return


def farewell(connection: socket.socket) -> tuple[Code | None, Counter[Code]]:
    """The code of the GOAWAY that ends a connection, and those of the resets before."""
    resets: Counter[Code] = Counter()
    last = None
    for kind, _, payload in heard(connection):
        if kind == frames.RST_STREAM:
            resets[Code(frames.number(payload))] += 1
        elif kind == frames.GOAWAY:
            last = Code(struct.unpack_from(">L", payload, 4)[0])
    return last, resets


class FloodTestCase(SystemTestCase):
    def start(self, **changes: object) -> Daemon:
        """One worker; `other` is a client that it must serve all the while."""
        self.one = self.backend()
        daemon = self.daemon(settings(self.one.address, **{"listener": {"h2c": True}, **changes}))
        self.port = daemon.port()
        [self.worker] = daemon.workers
        self.other = self.client(self.port)
        self.serves_others()
        return daemon

    def serves_others(self) -> None:
        self.assertEqual(ask(self.other), (200, "one"))

    def greet(self) -> socket.socket:
        connection = self.connect(self.port)
        connection.sendall(HELLO)
        return connection

    def flood(self, wire: bytes, times: int, what: str) -> Counter[Code]:
        """On so many connections in turn: each is told to calm down. Returns the resets."""
        resets: Counter[Code] = Counter()
        for _ in range(times):
            connection = self.greet()
            say(connection, wire)
            code, some = farewell(connection)
            self.assertEqual(code, CALM, what)
            resets += some
            connection.close()
            self.serves_others()
        return resets

    def stays_small(self, before: int, daemon: Daemon) -> None:
        """Memory came back, and the worker is the same."""
        self.assertLess(memory(self.worker, "VmHWM") - before, FLAT)
        self.assertEqual(daemon.workers, [self.worker])


CONTROLS: dict[str, bytes] = {
    "settings": frame(frames.SETTINGS, 0, 0),
    "stuffed settings": frame(frames.SETTINGS, 0, 0, b"\0\3\0\0\0\1" * 2400),
    "windows to and fro": frame(frames.SETTINGS, 0, 0, WINDOW + long(0) + WINDOW + long(65535)),
    "pings": frame(frames.PING, 0, 0, b"8" * 8),
    "empty data": frame(frames.DATA, 0, 1),
    "padding": frame(frames.DATA, frames.PADDED, 1, b"\0"),
    "much padding": frame(frames.DATA, frames.PADDED, 1, b"\xff" + bytes(255)),
    "priorities": frame(PRIORITY, 0, 1, long(3) + b"\0"),
    "priorities of idle streams": frame(PRIORITY, 0, 1001, long(3) + b"\0"),
    "dribbled windows": frames.window_update(0, 1),
    "a stream's dribbled windows": frames.window_update(1, 1),
    "unknown kinds": frame(0x77, 0, 0, b"x" * 100),
    "goaway": frame(frames.GOAWAY, 0, 0, long(0, 0)),
}


class FrameTests(FloodTestCase):
    TIMES = 5

    def test_continuations_without_end(self) -> None:
        """H3, VU#421644: empty, small and large ones, ten megabytes of them each time"""
        daemon = self.start()
        before = memory(self.worker)
        for size in (0, 1, 16_384):
            piece = frame(CONTINUATION, 0, 1, b"\x82" * size)
            wire = head(1, b"\x82", END) + piece * min(50_000, 10 * MIB // len(piece))
            self.flood(wire, self.TIMES, f"{size} bytes")
        self.stays_small(before, daemon)
        self.assertEqual(self.one.paths.total(), 1 + 3 * self.TIMES)
        self.wait_for_metric(
            daemon, 3.0 * self.TIMES, "veloflux_protocol_errors_total", kind="flood"
        )

    def test_controls(self) -> None:
        """H5, CVE-2019-9511 to 9518"""
        daemon = self.start()
        before = memory(self.worker)
        opened = head(1, SENDS, WHOLE)
        for what, wire in CONTROLS.items():
            self.flood(opened + wire * 2000, 2, what)
        self.stays_small(before, daemon)


class BlockTests(FloodTestCase):
    """H4, CVE-2026-49975: little on the wire, much in memory, and no window to let it go."""

    CONNECTIONS = 10
    STREAMS = 100
    # Sixteen of the largest heads, each in a few forms, and a hundred streams.
    BOUND = 2 * MIB
    LARGE = b"y" * 4000

    def hold(self, held: Field, references: int) -> list[socket.socket]:
        """Open as many streams as there may be on some connections, each with so many references,
        of a byte each, to one field; nobody takes the answers."""
        connections = []
        for _ in range(self.CONNECTIONS):
            connection = self.connect(self.port)
            wire = frames.PREFACE + frame(frames.SETTINGS, 0, 0, WINDOW + long(0))
            wire += head(1, bytes(Encoder().encode([*GET, held])))
            for number in range(3, 2 * self.STREAMS, 2):
                wire += head(number, ASKS + b"\xbe" * references)
            self.assertLess(len(wire), 12_000)
            connection.sendall(wire)
            connections.append(connection)
            self.serves_others()
        return connections

    def test_within_the_limits(self) -> None:
        """Under way at once, on each connection: see BOUND; and it is given back."""
        daemon = self.start()
        before = memory(self.worker)
        for held, references in (
            ((b"x", self.LARGE), 8),
            ((b"cookie", self.LARGE), 8),
            ((b"cookie", b"a"), 90),
            ((b"x", b""), 90),
        ):
            asked = self.one.paths.total()
            connections = self.hold(held, references)
            wait_for("their requests", lambda a=asked: self.one.paths.total() > a + 100)
            self.serves_others()
            grown = (memory(self.worker) - before) / self.CONNECTIONS
            self.assertLess(grown, self.BOUND, (held[0], references))
            for connection in connections:
                connection.close()
            self.wait_for_metric(daemon, 1.0, "veloflux_connections", side="downstream")
        wait_for("less memory", lambda: memory(self.worker) - before < FLAT)
        self.assertEqual(daemon.workers, [self.worker])

    def test_beyond_them(self) -> None:
        """By bytes, by fields and by crumbs: not read to its end, and nothing asked of a backend"""
        daemon = self.start()
        before = memory(self.worker)
        for name in (b"x", b"cookie"):
            first = head(1, bytes(Encoder().encode([*GET, (name, self.LARGE)])), END | WHOLE)
            self.flood(first + head(3, ASKS + b"\xbe" * 16_000), 5, f"{name!r}")
        self.flood(head(1, b"\x82" * 16_000), 5, "a method over and over")
        self.stays_small(before, daemon)


class AnswerTests(FloodTestCase):
    """H4, L5: answers, of a megabyte each, to who has no window for them."""

    CONNECTIONS = 10
    STREAMS = 30
    # What one read of each answer brings, a megabyte that may wait of all, and as much to spare.
    BOUND = STREAMS * 64 * 1024 + 2 * MIB

    def test_they_are_held_in_part_and_then_cut(self) -> None:
        daemon = self.start(limits={"write_timeout": "2s"})
        before = memory(self.worker)
        path = block((*GET[:2], (b":path", b"/bytes?n=1000000"), GET[3]))
        wire = frames.PREFACE + frame(frames.SETTINGS, 0, 0, WINDOW + long(0))
        wire += b"".join(head(number, path) for number in range(1, 2 * self.STREAMS, 2))
        connections = []
        for _ in range(self.CONNECTIONS):
            connections.append(self.connect(self.port))
            connections[-1].sendall(wire)
            self.serves_others()
        asked = self.CONNECTIONS * self.STREAMS
        wait_for("their requests", lambda: self.one.paths["/bytes"] == asked)
        # They are cut after two seconds, while their connections stay.
        for connection in connections:
            resets = (kind for kind, _, _ in heard(connection) if kind == frames.RST_STREAM)
            self.assertEqual(sum(1 for _ in islice(resets, self.STREAMS)), self.STREAMS)
        self.wait_for_metric(daemon, 0.0, "veloflux_upstream_inflight")
        self.wait_for_metric(
            daemon, self.CONNECTIONS + 1.0, "veloflux_connections", side="downstream"
        )
        grown = (memory(self.worker, "VmHWM") - before) / self.CONNECTIONS
        self.assertLess(grown, self.BOUND)
        self.serves_others()
        for connection in connections:
            connection.close()
        wait_for("less memory", lambda: memory(self.worker) - before < FLAT)
        self.assertEqual(daemon.workers, [self.worker])


class Slow:
    """A backend in threads that answers nothing, and counts: requests, and those taken back."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = self.left = 0

    def __call__(self, connection: socket.socket) -> None:
        read_head(connection)
        with self.lock:
            self.asked += 1
        try:
            connection.recv(1)
        finally:
            with self.lock:
                self.left += 1


class ResetTests(FloodTestCase):
    PAIRS = 50_000
    CONNECTIONS = 50

    def test_rapid_reset(self) -> None:
        """H1, CVE-2023-44487: tens of thousands of requests, and a backend has heard of none"""
        daemon = self.start()
        before = memory(self.worker)
        begun = self.one.paths.total()
        each = self.PAIRS // self.CONNECTIONS
        wire = b"".join(
            head(number) + frames.reset(number, Code.CANCEL) for number in range(1, 2 * each, 2)
        )
        self.flood(wire, self.CONNECTIONS, "reset")
        asked = self.one.paths.total() - begun - self.CONNECTIONS
        # A pair that two reads cut in two, at most; the others are what `flood` asks itself.
        self.assertLessEqual(asked, self.CONNECTIONS)
        self.stays_small(before, daemon)
        self.wait_for_metric(
            daemon, float(self.CONNECTIONS), "veloflux_protocol_errors_total", kind="flood"
        )

    def test_what_a_backend_has_begun_is_cancelled(self) -> None:
        """H1: the same, slower than the backend is asked"""
        slow = Slow()
        server = self.server(slow)
        one = self.backend()
        whole = settings(server.address, listener={"h2c": True})
        whole["pools"].append({"name": "one", "backends": [{"address": one.address}]})
        whole["routes"].insert(0, {"id": "one", "pool": "one", "path_prefix": "/one"})
        daemon = self.daemon(whole)
        [self.worker] = daemon.workers
        connection = self.connect(daemon.port())
        connection.sendall(HELLO)
        number = 1
        for _ in range(4):
            asked = slow.asked
            for n in range(number, number + 50, 2):
                say(connection, head(n))
            wait_for("the backend's requests", lambda a=asked: slow.asked == a + 25)
            for n in range(number, number + 50, 2):
                say(connection, frames.reset(n, Code.CANCEL))
            wait_for("their end", lambda a=asked: slow.left == a + 25)
            number += 50
        self.assertEqual(self.get(daemon.port(), "/one"), (200, "one"))


STREAM_ERRORS: dict[str, tuple[Code, Callable[[int], bytes]]] = {
    "a window too large": (
        Code.FLOW_CONTROL_ERROR,
        lambda n: head(n, SENDS, WHOLE) + frames.window_update(n, (1 << 31) - 1),
    ),
    "a window that grows by nothing": (
        Code.PROTOCOL_ERROR,
        lambda n: head(n, SENDS, WHOLE) + frames.window_update(n, 0),
    ),
    "data after the end": (
        Code.STREAM_CLOSED,
        lambda n: head(n) + frame(frames.DATA, 0, n, b"x"),
    ),
    "headers after the end": (Code.STREAM_CLOSED, lambda n: head(n) + head(n)),
    "a body that is too long": (
        Code.PROTOCOL_ERROR,
        lambda n: head(n, COUNTED, WHOLE) + frame(frames.DATA, END, n, b"xyz"),
    ),
    "one that is too short": (
        Code.PROTOCOL_ERROR,
        lambda n: head(n, COUNTED, WHOLE) + frame(frames.DATA, END, n, b"x"),
    ),
    "none": (Code.PROTOCOL_ERROR, lambda n: head(n, COUNTED)),
    "trailers that do not end it": (
        Code.PROTOCOL_ERROR,
        lambda n: head(n, SENDS, WHOLE) + head(n, TRAILERS, WHOLE),
    ),
    "a priority of a wrong size": (
        Code.FRAME_SIZE_ERROR,
        lambda n: head(n, SENDS, WHOLE) + frame(PRIORITY, 0, n, b"1234"),
    ),
    "a stream that depends on itself": (
        Code.PROTOCOL_ERROR,
        lambda n: head(n, SENDS, WHOLE) + frame(PRIORITY, 0, n, long(n) + b"\0"),
    ),
    "a request without a path": (Code.PROTOCOL_ERROR, lambda n: head(n, block(GET[:2]))),
}
# For these RFC 9113 ends the connection, the first time.
CONNECTION_ERRORS: dict[str, tuple[Code, bytes]] = {
    "a frame over the limit": (Code.FRAME_SIZE_ERROR, frame(frames.DATA, 0, 1, bytes(16_385))),
    "a long window update": (
        Code.FRAME_SIZE_ERROR,
        frame(frames.WINDOW_UPDATE, 0, 1, long(1, 1)),
    ),
    "a long reset": (Code.FRAME_SIZE_ERROR, frame(frames.RST_STREAM, 0, 1, long(8, 8))),
    "the connection's window too large": (
        Code.FLOW_CONTROL_ERROR,
        frames.window_update(0, (1 << 31) - 1),
    ),
    "and growing by nothing": (Code.PROTOCOL_ERROR, frames.window_update(0, 0)),
    "streams' windows too large": (
        Code.FLOW_CONTROL_ERROR,
        frames.window_update(1, (1 << 31) - 70_000) + frame(4, 0, 0, WINDOW + long((1 << 31) - 1)),
    ),
    "settings cut short": (Code.FRAME_SIZE_ERROR, frame(frames.SETTINGS, 0, 0, b"\0\4\0")),
    "padding over the frame": (
        Code.PROTOCOL_ERROR,
        frame(frames.DATA, frames.PADDED, 1, b"\x09abc"),
    ),
}


class MadeResetTests(FloodTestCase):
    """H2, CVE-2025-8671: who has us reset the streams."""

    def test_each_way_counts_or_ends_the_connection(self) -> None:
        daemon = self.start()
        begun = self.one.paths.total()
        before = memory(self.worker)
        for what, (code, wire) in STREAM_ERRORS.items():
            resets = self.flood(b"".join(wire(n) for n in range(1, 1001, 2)), 2, what)
            # A hundred at once, and five each second while they are read.
            self.assertEqual(set(resets), {code}, what)
            self.assertLess(resets[code], 2 * 150, what)
            self.assertGreaterEqual(resets[code], 2 * 100, what)
        times = 2 * len(STREAM_ERRORS)
        self.assertLessEqual(self.one.paths.total() - begun - times, times)
        self.wait_for_metric(daemon, float(times), "veloflux_protocol_errors_total", kind="flood")
        opened = head(1, SENDS, WHOLE)
        for what, (code, wire) in CONNECTION_ERRORS.items():
            connection = self.greet()
            say(connection, opened + wire)
            self.assertEqual(farewell(connection)[0], code, what)
            self.serves_others()
        self.stays_small(before, daemon)
