"""The client's end: rules on a server's frames, and h2's server as the other side."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, TrailersReceived
from h2.settings import SettingCodes
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import END, WHOLE, long
from tests.support.messages import CUTS, pieces
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.client import Client
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import (
    Answered,
    Came,
    Cancelled,
    Drained,
    Event,
    Failed,
    Leaving,
)
from veloflux.core.wire.http2.frames import frame
from veloflux.core.wire.http2.settings import Terms

DATA, HEADERS, CONTINUATION = frames.DATA, frames.HEADERS, frames.CONTINUATION
SETTINGS, PING = frames.SETTINGS, frames.PING
PROTOCOL, SIZE, FLOW = Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR, Code.FLOW_CONTROL_ERROR
CLOSED, COMPRESSION = Code.STREAM_CLOSED, Code.COMPRESSION_ERROR
PRELUDE = b"%b /a?b HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nX-Request-ID: "
OK = b"\x88"


def prelude(method: bytes = b"GET") -> bytes:
    return PRELUDE % method


class Peer:
    """A connection to a server that has said hello, and of which a GET and a POST were asked."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.connection = Client(terms or Terms(), 0.0, expected=100)
        self.get = self.connection.ask(prelude(), b"http", b"1", ended=True)
        self.post = self.connection.ask(prelude(b"POST"), b"http", b"2", ended=False)
        self.wire = self.connection.take()
        self.encoder = Encoder()
        self.events: list[Event] = []
        self.say(frame(SETTINGS, 0, 0))
        self.connection.take()
        self.wire = b""

    def say(self, data: bytes) -> list[Event]:
        events = self.connection.receive(data, 0.0)
        self.events += events
        self.wire = self.connection.take()
        return events


Wire = Callable[[Peer], bytes]


def head(stream: int, flags: int = END | WHOLE, block: bytes = OK) -> bytes:
    return frame(HEADERS, flags, stream, block)


def setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, name.to_bytes(2, "big") + long(value))


FATAL: dict[str, tuple[Code, bytes]] = {
    "4.2 a frame over the limit": (SIZE, frame(DATA, 0, 1, b"x" * 16385)),
    "4.3 a block that is no HPACK": (COMPRESSION, head(1, block=b"\xff\xff\xff")),
    "4.3 a block interrupted": (PROTOCOL, head(1, END) + frame(PING, 0, 0, b"8" * 8)),
    "5.1 idle: headers": (PROTOCOL, head(5)),
    "5.1 idle: data": (PROTOCOL, frame(DATA, 0, 5, b"x")),
    "5.1 idle: reset": (PROTOCOL, frames.reset(5, Code.CANCEL)),
    "5.1 idle: a window": (PROTOCOL, frames.window_update(5, 1)),
    "5.1 its own stream: headers": (PROTOCOL, head(2)),
    "5.1 its own stream: data": (PROTOCOL, frame(DATA, 0, 2, b"x")),
    "5.1 ended: headers": (CLOSED, head(1) + head(1)),
    "5.1 ended: data": (CLOSED, head(1) + frame(DATA, 0, 1, b"x")),
    "6.1 data on no stream": (PROTOCOL, frame(DATA, 0, 0, b"x")),
    "6.2 headers on no stream": (PROTOCOL, head(0)),
    "6.5 settings of a stream": (PROTOCOL, frame(SETTINGS, 0, 1)),
    "6.5.2 pushes": (PROTOCOL, setting(0x2, 1)),
    "6.5.2 a window too large": (FLOW, setting(0x4, 1 << 31)),
    "6.6 a push": (PROTOCOL, frame(frames.PUSH_PROMISE, WHOLE, 1, long(2) + OK)),
    "6.7 a short ping": (SIZE, frame(PING, 0, 0, b"7" * 7)),
    "6.8 goaway of a stream": (PROTOCOL, frame(frames.GOAWAY, 0, 1, long(0, 0))),
    "6.8 a short goaway": (SIZE, frame(frames.GOAWAY, 0, 0, long(0))),
    "6.9 a window that grows by nothing": (PROTOCOL, frames.window_update(0, 0)),
    "6.9.1 a window over the largest": (FLOW, frames.window_update(0, (1 << 31) - 1)),
    "6.10 a continuation of no block": (PROTOCOL, frame(CONTINUATION, WHOLE, 1)),
}
ONE_STREAM: dict[str, tuple[Code, bytes]] = {
    "5.1 half-closed: headers": (CLOSED, head(3) + head(3)),
    "5.1 half-closed: data": (CLOSED, head(3) + frame(DATA, 0, 3, b"x")),
    "6.9 a window that grows by nothing": (PROTOCOL, frames.window_update(3, 0)),
    "6.9.1 a window over the largest": (FLOW, frames.window_update(3, (1 << 31) - 1)),
    "8.1 data before the head": (PROTOCOL, frame(DATA, 0, 3, b"x")),
    "8.1 an end before the head": (PROTOCOL, frame(DATA, END, 3)),
    "8.1 an interim answer that is the end": (PROTOCOL, head(3, block=b"\x08\x03103")),
    "8.1 a second head that is not the end": (PROTOCOL, head(3, WHOLE) + head(3, WHOLE)),
    "8.1 a pseudo-field in trailers": (PROTOCOL, head(3, WHOLE) + head(3)),
    "8.1.1 data over its length": (
        PROTOCOL,
        head(3, WHOLE, OK + b"\x0f\x0d\x011") + frame(DATA, 0, 3, b"xy"),
    ),
    "8.1.1 data short of its length": (
        PROTOCOL,
        head(3, WHOLE, OK + b"\x0f\x0d\x012") + frame(DATA, END, 3, b"x"),
    ),
    "8.1.1 no data of its length": (PROTOCOL, head(3, block=OK + b"\x0f\x0d\x012")),
    "8.3.2 no status": (PROTOCOL, head(3, block=b"\x00\x01a\x01b")),
    "8.3.2 a request": (PROTOCOL, head(3, block=b"\x82\x86\x84")),
    "8.6 a switch": (PROTOCOL, head(3, block=b"\x08\x03101")),
}
HARMLESS: dict[str, bytes] = {
    "4.1 an unknown kind": frame(0x16, 0xFF, 0, b"anything"),
    "5.1 half-closed: a window": frames.window_update(1, 1),
    "5.1 ended: a window": head(1) + frames.window_update(1, 1),
    "5.1 ended: a reset": head(1) + frames.reset(1, Code.NO_ERROR),
    "6.3 a priority": frame(frames.PRIORITY, 0, 1, long(0) + b"\x00"),
    "6.5.2 an unknown setting": setting(0xFF, 5),
    "7838 an alternative service": frame(0xA, 0, 0, b"\0\0clear"),
    "8336 an origin": frame(0xC, 0, 0, b"\0\x05a.b.c"),
}


class Rules(SynchronousTestCase):
    def test_fatal(self) -> None:
        for what, (code, wire) in FATAL.items():
            peer = Peer()
            peer.say(wire)
            self.assertIsInstance(peer.events[-1], Failed, what)
            self.assertEqual(peer.events[-1].code, code, what)
            self.assertIn(frames.goaway(0, code)[3:9], peer.wire, what)
            self.assertTrue(peer.connection.is_over, what)
            self.assertEqual(peer.connection.room, 0)

    def test_a_first_frame_that_is_not_settings(self) -> None:
        """H9, by a backend"""
        for wire in (frame(PING, 0, 0, b"8" * 8), b"HTTP/1.1 400 Bad Request\r\n\r\n"):
            connection = Client(Terms(), 0.0, expected=1)
            [event] = connection.receive(wire, 0.0)
            self.assertIsInstance(event, Failed)

    def test_ends_a_stream_alone(self) -> None:
        for what, (code, wire) in ONE_STREAM.items():
            peer = Peer()
            peer.say(wire)
            last = peer.events[-1]
            self.assertIsInstance(last, Cancelled, what)
            self.assertEqual((last.stream, last.code, last.by_peer), (3, code, False), what)
            self.assertTrue(peer.wire.endswith(frames.reset(3, code)), what)
            self.assertIsInstance(peer.say(head(1))[0], Answered, what)

    def test_a_window_is_looked_at_also_when_all_is_sent(self) -> None:
        """RFC 9113 sections 6.9 and 6.9.1 make no exception."""
        for increment, code in ((0, PROTOCOL), ((1 << 31) - 1, FLOW)):
            peer = Peer()
            peer.say(frames.window_update(peer.get, increment))
            self.assertEqual(peer.events, [Cancelled(peer.get, code, False, "window")])
            self.assertEqual(peer.wire, frames.reset(peer.get, code))

    def test_harmless(self) -> None:
        for what, wire in HARMLESS.items():
            peer = Peer()
            peer.say(wire)
            self.assertFalse(any(isinstance(e, Failed | Cancelled) for e in peer.events), what)
            self.assertIsInstance(peer.say(head(3))[0], Answered, what)

    def test_a_server_may_reset_what_it_will(self) -> None:
        peer = Peer()
        for _ in range(500):
            number = peer.connection.ask(prelude(), b"http", b"1", ended=True)
            [event] = peer.say(frames.reset(number, Code.REFUSED_STREAM))
            self.assertEqual(event, Cancelled(number, Code.REFUSED_STREAM, True))
        self.assertEqual(peer.connection.room, 98)

    def test_its_own_faults_are_counted(self) -> None:
        peer = Peer()
        for _ in range(101):
            self.assertGreater(peer.connection.room, 0)
            number = peer.connection.ask(prelude(), b"http", b"1", ended=True)
            peer.say(head(number, block=b"\x82"))
        self.assertIsInstance(peer.events[-1], Failed)

    def test_says_what_it_wants_before_the_server_speaks(self) -> None:
        wire = Client(Terms(), 0.0, expected=1).take()
        self.assertTrue(wire.startswith(frames.PREFACE))
        server = H2Connection(H2Configuration(client_side=False))
        server.initiate_connection()
        server.receive_data(wire)
        self.assertEqual(server.remote_settings.enable_push, 0)
        self.assertEqual(server.remote_settings.initial_window_size, Terms().stream_window)


class Departures(SynchronousTestCase):
    """GOAWAY, by the server"""

    def test_what_it_leaves_out_was_never_begun(self) -> None:
        peer = Peer()
        events = peer.say(frames.goaway(1, Code.NO_ERROR))
        self.assertEqual(events, [Leaving(0), Cancelled(3, Code.REFUSED_STREAM, True)])
        self.assertEqual(peer.connection.room, 0)
        self.assertFalse(peer.connection.is_over)
        peer.say(head(1))
        self.assertTrue(peer.connection.is_over)

    def test_in_two_steps(self) -> None:
        peer = Peer()
        self.assertEqual(peer.say(frames.goaway(frames.MAX_STREAM, 0)), [Leaving(0)])
        peer.say(head(1))
        self.assertEqual(len(peer.say(frames.goaway(1, Code.NO_ERROR))), 2)
        self.assertTrue(peer.connection.is_over)

    def test_numbers_come_to_an_end(self) -> None:
        peer = Peer()
        peer.connection._streams.last = frames.MAX_STREAM - 2
        number = peer.connection.ask(prelude(), b"http", b"1", ended=True)
        self.assertEqual((number, peer.connection.room), (frames.MAX_STREAM, 0))


class Room(SynchronousTestCase):
    def test_is_what_the_server_grants_within_ours(self) -> None:
        peer = Peer()
        for granted, room in ((0, -2), (5, 3), (1000, 98)):
            peer.say(setting(0x3, granted))
            self.assertEqual(peer.connection.room, room)


_TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=12)
_VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"),
                  max_size=40)  # fmt: skip


class Requests(SynchronousTestCase):
    """H8, the other way: what an HTTP/1.1 head says, the fields say."""

    @given(st.lists(st.tuples(_TOKENS, _VALUES), max_size=20), st.booleans())
    def test_another_reads_the_same_lines(self, lines: list[tuple[str, str]], ended: bool) -> None:
        lines = [(f"x-{name}", value.strip("\x85\xa0")) for name, value in lines]
        wire = b"".join(b"%b: %b\r\n" % (n.encode(), v.encode("latin-1")) for n, v in lines)
        connection = Client(Terms(), 0.0, expected=1)
        asked = b"GET /a HTTP/1.1\r\nHost: h:1\r\n%bX-Request-ID: " % wire
        connection.ask(asked, b"https", b"id", b"traceparent: t\r\n", ended=ended)
        server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        server.initiate_connection()
        found = [e for e in server.receive_data(connection.take()) if hasattr(e, "headers")]
        self.assertEqual(
            list(found[0].headers),
            [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"h:1"),
                (b":path", b"/a"),
                *((n.encode(), v.encode("latin-1")) for n, v in lines),
                (b"x-request-id", b"id"),
                (b"traceparent", b"t"),
            ],
        )

    def test_what_is_the_connections_is_left_out(self) -> None:
        connection = Client(Terms(), 0.0, expected=1)
        asked = (
            b"POST / HTTP/1.1\r\nHost: \r\nConnection: TE\r\nTE: trailers\r\nKeep-Alive: 1\r\n"
            b"Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nX-Request-ID: "
        )
        connection.ask(asked, b"http", b"1", ended=True)
        block = connection.take().rpartition(b"\x01\x05\x00\x00\x00\x01")[2]
        fields = Decoder().decode(block, raw=True)
        self.assertEqual(
            [name for name, _ in fields], [b":method", b":scheme", b":path", b"te", b"x-request-id"]
        )

    def test_a_line_that_is_none_is_not_written(self) -> None:
        """S26"""
        connection = Client(Terms(), 0.0, expected=1)
        connection.take()
        for bad in (
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\nX-Request-ID: ",
            b"GET / HTTP/1.1\r\nHost: a\r\nX y: a\r\nX-Request-ID: ",
            b"GET /a b HTTP/1.1\r\nHost: a\r\nX-Request-ID: ",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
        ):
            self.assertRaises(ProtocolError, connection.ask, bad, b"http", b"1", ended=True)
        self.assertEqual((connection.take(), connection.open_streams), (b"", 0))


class Anything(SynchronousTestCase):
    @settings(max_examples=500)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 12),
                st.integers(0, 255),
                st.sampled_from((0, 1, 1, 3, 3, 2, 5)),
                st.one_of(
                    st.binary(max_size=30), st.sampled_from((OK, OK + b"\x0f\x0d\x015", b"\x82"))
                ),
            ),
            max_size=20,
        ),
        CUTS,
    )
    def test_is_either_events_or_one_failure(
        self, said: list[tuple[int, int, int, bytes]], cuts: list[int]
    ) -> None:
        peer = Peer()
        for piece in pieces(b"".join(frame(*each) for each in said), cuts):
            peer.say(piece)
        failures = [n for n, event in enumerate(peer.events) if isinstance(event, Failed)]
        self.assertIn(failures, ([], [len(peer.events) - 1]))
        self.assertLessEqual(peer.connection.open_streams, 2)


@dataclass
class Exchange:
    """One request as planned, and what arrived of it on either side."""

    body: bytes
    answer: bytes
    trailers: bool
    came: bytes = b""
    came_whole: bool = False
    came_trailers: list[Any] = field(default_factory=list)
    sent: int = 0
    got: bytes = b""
    got_whole: bool = False
    got_trailers: bytes = b""
    status: int = 0


class WithH2(SynchronousTestCase):
    @settings(max_examples=100)
    @given(
        st.lists(
            st.builds(
                Exchange,
                st.sampled_from((0, 1, 300, 70_000, 200_000)).map(lambda size: b"q" * size),
                st.sampled_from((0, 1, 300, 70_000, 200_000)).map(lambda size: b"a" * size),
                st.booleans(),
            ),
            min_size=1,
            max_size=6,
        ),
        st.sampled_from((100, 1000, 65_535, 1 << 20)),
        CUTS,
    )
    def test_all_come_whole(self, plan: list[Exchange], window: int, cuts: list[int]) -> None:
        """Bodies and trailers both ways at once, whatever the windows, split anywhere"""
        client = Client(Terms(), 0.0, expected=100)
        server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        server.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window
        server.local_settings.acknowledge()
        server.initiate_connection()
        # Until it knows of smaller windows, a client may use the default.
        client.receive(server.data_to_send(), 0.0)
        exchanges: dict[int, Exchange] = {}
        for each in plan:
            number = client.ask(prelude(b"POST"), b"http", b"1", ended=not each.body)
            exchanges[number] = each
            if each.body:
                client.data(number, each.body, ended=not each.trailers)
                if each.trailers:
                    client.trailers(number, b"X-Sum: 1\r\n")
        for _ in range(3000):
            there = client.take()
            for piece in pieces(there, cuts):
                for event in server.receive_data(piece):
                    self._serve(server, event, exchanges)
            for number, each in exchanges.items():
                self._pour(server, number, each)
            back = server.data_to_send()
            for piece in pieces(back, cuts):
                for event in client.receive(piece, 0.0):
                    self._hear(client, event, exchanges)
            if not there and not back:
                break
        for each in plan:
            self.assertEqual((each.came_whole, each.came), (True, each.body))
            self.assertEqual((each.got_whole, each.got, each.status), (True, each.answer, 200))
            if each.trailers and each.body:
                self.assertEqual(each.came_trailers, [(b"x-sum", b"1")])
            if each.trailers:
                self.assertEqual(each.got_trailers, b"x-sum: 2\r\n")
        self.assertEqual((client.open_streams, client.waiting), (0, 0))

    def _serve(self, server: H2Connection, event: Any, exchanges: dict[int, Exchange]) -> None:
        each = exchanges.get(getattr(event, "stream_id", 0))
        if isinstance(event, RequestReceived):
            server.send_headers(event.stream_id, [(":status", "103")])
            server.send_headers(event.stream_id, [(":status", "200")])
            exchanges[event.stream_id].sent = 1
        elif each is None:
            return
        elif isinstance(event, DataReceived):
            each.came += event.data
            server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            each.came_trailers = list(event.headers)
        elif isinstance(event, StreamEnded):
            each.came_whole = True

    def _pour(self, server: H2Connection, number: int, each: Exchange) -> None:
        """`sent` is 1 for the head, and one more for each byte and for the end."""
        if not 0 < each.sent < len(each.answer) + 2:
            return
        left = len(each.answer) + 1 - each.sent
        room = min(left, 16_384, server.local_flow_control_window(number))
        if room:
            server.send_data(number, b"a" * room)
            each.sent += room
        if each.sent == len(each.answer) + 1:
            each.sent += 1
            if each.trailers:
                server.send_headers(number, [("x-sum", "2")], end_stream=True)
            else:
                server.end_stream(number)

    def _hear(self, client: Client, event: Event, exchanges: dict[int, Exchange]) -> None:
        self.assertNotIsInstance(event, Failed | Cancelled)
        if isinstance(event, Answered):
            exchanges[event.stream].status = event.head.status
        elif isinstance(event, Came):
            each = exchanges[event.stream]
            each.got += event.data
            each.got_whole = event.ended
            each.got_trailers += event.trailers
            client.acknowledge(event.stream, len(event.data))
        else:
            self.assertIsInstance(event, Drained)
