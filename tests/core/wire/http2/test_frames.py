"""RFC 9113's rules on frames, one by one: what breaks them, and what that costs."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import END, GET, HELLO, POST, WHOLE, Peer, long
from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import Came, Cancelled, Failed, Leaving, Refused, Requested
from veloflux.core.wire.http2.frames import frame
from veloflux.core.wire.http2.server import Server
from veloflux.core.wire.http2.settings import Terms
from veloflux.core.wire.http2.streams import State, Streams

Wire = Callable[[Peer], bytes]
DATA, HEADERS, CONTINUATION = frames.DATA, frames.HEADERS, frames.CONTINUATION
SETTINGS, PING, GOAWAY = frames.SETTINGS, frames.PING, frames.GOAWAY
PROTOCOL, SIZE, FLOW = Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR, Code.FLOW_CONTROL_ERROR
CLOSED, COMPRESSION = Code.STREAM_CLOSED, Code.COMPRESSION_ERROR


def setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, name.to_bytes(2, "big") + long(value))


def answered(peer: Peer, stream: int = 1) -> bytes:
    """A stream that both sides have ended."""
    peer.ask(stream)
    peer.connection.answer(stream, b"200 OK", b"", ended=True)
    return b""


def half(peer: Peer) -> bytes:
    """A stream that its client has ended."""
    return peer.head(1)


def opened(peer: Peer) -> bytes:
    return peer.head(1, POST, WHOLE)


FATAL: dict[str, tuple[Code, Wire]] = {
    "4.2 a frame over the limit": (SIZE, lambda p: opened(p) + frame(DATA, 0, 1, b"x" * 16385)),
    "4.2 a block over the limit": (SIZE, lambda p: frame(HEADERS, WHOLE, 1, b"x" * 16385)),
    "4.3 a block that is no HPACK": (
        COMPRESSION,
        lambda p: frame(HEADERS, END | WHOLE, 1, b"\x00"),
    ),
    "4.3 a block interrupted": (
        PROTOCOL,
        lambda p: p.head(1, GET, END) + frame(PING, 0, 0, b"8" * 8),
    ),
    "4.3 by another's": (PROTOCOL, lambda p: p.head(1, GET, END) + p.head(3)),
    "4.3 by a priority": (
        PROTOCOL,
        lambda p: p.head(1, GET, END) + frame(frames.PRIORITY, 0, 1, long(0) + b"\x00"),
    ),
    "4.3 by data": (PROTOCOL, lambda p: p.head(1, POST, 0) + frame(DATA, 0, 1, b"x")),
    "4.3 by a reset": (PROTOCOL, lambda p: p.head(1, GET, END) + frames.reset(1, Code.CANCEL)),
    "4.3 by an unknown kind": (PROTOCOL, lambda p: p.head(1, GET, END) + frame(0x16, 0, 0)),
    "5.1 idle: data": (PROTOCOL, lambda p: frame(DATA, END, 1, b"x")),
    "5.1 idle: reset": (PROTOCOL, lambda p: frames.reset(1, Code.CANCEL)),
    "5.1 idle: window": (PROTOCOL, lambda p: frames.window_update(1, 100)),
    "5.1 idle: continuation": (PROTOCOL, lambda p: frame(CONTINUATION, WHOLE, 1)),
    "5.1 ended: data": (CLOSED, lambda p: answered(p) + frame(DATA, 0, 1, b"x")),
    "5.1 ended: headers": (CLOSED, lambda p: answered(p) + p.head(1)),
    "5.1 ended: continuation": (
        PROTOCOL,
        lambda p: answered(p) + frame(CONTINUATION, WHOLE, 1),
    ),
    "5.1 after the client's reset: continuation": (
        PROTOCOL,
        lambda p: opened(p) + frames.reset(1, Code.CANCEL) + frame(CONTINUATION, WHOLE, 1),
    ),
    "5.1.1 even": (PROTOCOL, lambda p: p.head(2)),
    "5.1.1 an even one below": (PROTOCOL, lambda p: p.head(5) + p.head(2)),
    "5.1.1 lower than before": (PROTOCOL, lambda p: p.head(5) + p.head(3)),
    "5.1.1 an even one's window": (PROTOCOL, lambda p: p.head(5) + frames.window_update(2, 1)),
    "6.1 data on no stream": (PROTOCOL, lambda p: frame(DATA, 0, 0, b"x")),
    "6.1 padding as long as the frame": (
        PROTOCOL,
        lambda p: opened(p) + frame(DATA, frames.PADDED, 1, b"\x05abcd"),
    ),
    "6.1 no room for padding": (SIZE, lambda p: opened(p) + frame(DATA, frames.PADDED, 1)),
    "6.2 headers on no stream": (PROTOCOL, lambda p: frame(HEADERS, WHOLE, 0, b"\x82")),
    "6.2 padding as long as the block": (
        PROTOCOL,
        lambda p: frame(HEADERS, WHOLE | frames.PADDED, 1, b"\x02\x82"),
    ),
    "6.2 no room for a priority": (
        SIZE,
        lambda p: frame(HEADERS, WHOLE | frames.WITH_PRIORITY, 1, b"\x00\x00"),
    ),
    "5.3 a stream that depends on itself": (
        PROTOCOL,
        lambda p: frame(HEADERS, WHOLE | frames.WITH_PRIORITY, 1, long(1) + b"\x00\x82"),
    ),
    "5.3 and alone": (
        PROTOCOL,
        lambda p: frame(HEADERS, WHOLE | frames.WITH_PRIORITY, 1, long(1 | 1 << 31) + b"\x00\x82"),
    ),
    "6.2 a block in pieces on no stream": (PROTOCOL, lambda p: p.head(0, GET, END)),
    "5.3 one that is not open yet": (
        PROTOCOL,
        lambda p: frame(frames.PRIORITY, 0, 1, long(1) + b"\x00"),
    ),
    "6.3 a priority of no stream": (PROTOCOL, lambda p: frame(frames.PRIORITY, 0, 0, b"12345")),
    "6.4 a reset of no stream": (PROTOCOL, lambda p: frames.reset(0, Code.CANCEL)),
    "6.4 a short reset": (SIZE, lambda p: half(p) + frame(frames.RST_STREAM, 0, 1, b"123")),
    "6.4 a long reset": (SIZE, lambda p: half(p) + frame(frames.RST_STREAM, 0, 1, b"12345")),
    "6.5 settings of a stream": (PROTOCOL, lambda p: frame(SETTINGS, 0, 1)),
    "6.5 settings cut short": (SIZE, lambda p: frame(SETTINGS, 0, 0, b"12345")),
    "6.5 an acknowledgement that says something": (
        SIZE,
        lambda p: frame(SETTINGS, frames.ACK, 0, b"123456"),
    ),
    "6.5.2 push neither on nor off": (PROTOCOL, lambda p: setting(0x2, 2)),
    "6.5.2 a window too large": (FLOW, lambda p: setting(0x4, 1 << 31)),
    "6.5.2 frames too small": (PROTOCOL, lambda p: setting(0x5, 16383)),
    "6.5.2 frames too large": (PROTOCOL, lambda p: setting(0x5, 1 << 24)),
    "8441 tunnels neither on nor off": (PROTOCOL, lambda p: setting(0x8, 2)),
    "6.6 a push": (PROTOCOL, lambda p: frame(frames.PUSH_PROMISE, WHOLE, 1, long(2))),
    "6.6 a push on no stream": (PROTOCOL, lambda p: frame(frames.PUSH_PROMISE, WHOLE, 0, long(2))),
    "6.7 a long ping": (SIZE, lambda p: frame(PING, 0, 0, b"8" * 9)),
    "6.7 a ping of a stream": (PROTOCOL, lambda p: frame(PING, 0, 1, b"8" * 8)),
    "6.7 a short ping": (SIZE, lambda p: frame(PING, 0, 0, b"8" * 7)),
    "6.8 goaway of a stream": (PROTOCOL, lambda p: frame(GOAWAY, 0, 1, long(0, 0))),
    "6.8 a short goaway": (SIZE, lambda p: frame(GOAWAY, 0, 0, long(0))),
    "6.9 a window that grows by nothing": (PROTOCOL, lambda p: frames.window_update(0, 0)),
    "6.9 a short window": (SIZE, lambda p: frame(frames.WINDOW_UPDATE, 0, 0, b"123")),
    "6.9.1 a window over the largest by two updates": (
        FLOW,
        lambda p: frames.window_update(0, 1 << 30) + frames.window_update(0, 1 << 30),
    ),
    "6.9.1 a window over the largest": (FLOW, lambda p: frames.window_update(0, (1 << 31) - 1)),
    "6.9.2 a stream's over the largest by settings": (
        FLOW,
        lambda p: half(p) + frames.window_update(1, (1 << 31) - 1 - 65535) + setting(0x4, 65536),
    ),
    "6.10 a continuation of no block": (
        PROTOCOL,
        lambda p: half(p) + frame(CONTINUATION, WHOLE, 1),
    ),
    "6.10 a continuation after the end of its block": (
        PROTOCOL,
        lambda p: (
            frame(HEADERS, END, 1, (block := p.encoder.encode(list(GET)))[:3])
            + frame(CONTINUATION, WHOLE, 1, block[3:])
            + frame(CONTINUATION, WHOLE, 1)
        ),
    ),
    "6.10 a continuation after data": (
        PROTOCOL,
        lambda p: opened(p) + frame(DATA, 0, 1, b"x") + frame(CONTINUATION, WHOLE, 1),
    ),
    "6.10 on no stream": (PROTOCOL, lambda p: p.head(1, GET, END) + frame(CONTINUATION, WHOLE, 0)),
    "7541 4.2 a table's size after a field": (
        COMPRESSION,
        lambda p: frame(HEADERS, END | WHOLE, 1, b"\x82\x20"),
    ),
    "7541 6.3 a table larger than allowed": (
        COMPRESSION,
        lambda p: frame(HEADERS, END | WHOLE, 1, b"\x3f\xe2\x1f\x82"),
    ),
    "7541 6.1 index 0": (COMPRESSION, lambda p: frame(HEADERS, END | WHOLE, 1, b"\x80")),
    "7541 2.3.3 an index out of the table": (
        COMPRESSION,
        lambda p: frame(HEADERS, END | WHOLE, 1, b"\xbe"),
    ),
    "7541 5.1 a number without end": (
        COMPRESSION,
        lambda p: frame(HEADERS, END | WHOLE, 1, b"\xff" + b"\x80" * 9 + b"\x01"),
    ),
    "7541 5.2 padding over seven bits": (
        COMPRESSION,
        lambda p: frame(
            HEADERS, END | WHOLE, 1, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"
        ),
    ),
    "7541 5.2 padding of zeros": (
        COMPRESSION,
        lambda p: frame(HEADERS, END | WHOLE, 1, b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"),
    ),
    "7541 5.2 the end of the string": (
        COMPRESSION,
        lambda p: frame(
            HEADERS, END | WHOLE, 1, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\xff\xff\xff\xff"
        ),
    ),
}

ONE_STREAM: dict[str, tuple[Code, Wire]] = {
    "5.1 half-closed: data": (CLOSED, lambda p: half(p) + frame(DATA, END, 1, b"x")),
    "5.1 half-closed: headers": (CLOSED, lambda p: half(p) + p.head(1)),
    "5.1 after the client's reset: data": (
        CLOSED,
        lambda p: opened(p) + frames.reset(1, Code.CANCEL) + frame(DATA, 0, 1, b"x"),
    ),
    "5.1 after the client's reset: headers": (
        CLOSED,
        lambda p: opened(p) + frames.reset(1, Code.CANCEL) + p.head(1),
    ),
    "5.3 a stream that comes to depend on itself": (
        PROTOCOL,
        lambda p: opened(p) + frame(frames.PRIORITY, 0, 1, long(1) + b"\x00"),
    ),
    "6.3 a short priority": (SIZE, lambda p: opened(p) + frame(frames.PRIORITY, 0, 1, b"1234")),
    "6.9 a window that grows by nothing": (
        PROTOCOL,
        lambda p: opened(p) + frames.window_update(1, 0),
    ),
    "6.9.1 a window over the largest": (
        FLOW,
        lambda p: opened(p) + frames.window_update(1, (1 << 31) - 1),
    ),
    "6.9.1 a window over the largest by two updates": (
        FLOW,
        lambda p: opened(p) + frames.window_update(1, 1 << 30) * 2,
    ),
    "8.1 a second block that is not the end": (
        PROTOCOL,
        lambda p: opened(p) + p.head(1, [(b"x", b"y")], WHOLE),
    ),
    "8.1 a pseudo-field in trailers": (
        PROTOCOL,
        lambda p: opened(p) + p.head(1, [(b":path", b"/")]),
    ),
    "8.1.1 data over its length": (
        PROTOCOL,
        lambda p: p.head(1, (*POST, (b"content-length", b"1")), WHOLE) + frame(DATA, 0, 1, b"xy"),
    ),
    "8.1.1 data over its length in pieces": (
        PROTOCOL,
        lambda p: (
            p.head(1, (*POST, (b"content-length", b"3")), WHOLE)
            + frame(DATA, 0, 1, b"xy")
            + frame(DATA, END, 1, b"xy")
        ),
    ),
    "8.1.1 an upper-case name in trailers": (
        PROTOCOL,
        lambda p: opened(p) + p.head(1, [(b"X", b"y")]),
    ),
    "8.1.1 data short of its length": (
        PROTOCOL,
        lambda p: p.head(1, (*POST, (b"content-length", b"2")), WHOLE) + frame(DATA, END, 1, b"x"),
    ),
    "8.1.1 trailers short of its length": (
        PROTOCOL,
        lambda p: (
            p.head(1, (*POST, (b"content-length", b"2")), WHOLE)
            + frame(DATA, 0, 1, b"x")
            + p.head(1, [(b"x", b"y")])
        ),
    ),
}

HARMLESS: dict[str, Wire] = {
    "4.1 an unknown kind": lambda p: frame(0x16, 0xFF, 0, b"anything"),
    "4.1 flags that mean nothing": lambda p: frame(PING, 0x16, 0, b"8" * 8),
    "4.1 the reserved bit": lambda p: b"\x00\x00\x08\x06\x00\x80\x00\x00\x00" + b"8" * 8,
    "4.2 the largest frame": lambda p: opened(p) + frame(DATA, 0, 1, b"x" * 16384),
    "5.1 half-closed: a window": lambda p: half(p) + frames.window_update(1, 1),
    "5.1 half-closed: a priority": lambda p: (
        half(p) + frame(frames.PRIORITY, 0, 1, long(0) + b"\x00")
    ),
    "5.1 half-closed: a reset": lambda p: half(p) + frames.reset(1, Code.CANCEL),
    "5.1 ended: a priority": lambda p: (
        answered(p) + frame(frames.PRIORITY, 0, 1, long(0) + b"\x00")
    ),
    "5.1 after the client's reset: another": lambda p: (
        opened(p) + frames.reset(1, Code.CANCEL) + frames.reset(1, Code.CANCEL)
    ),
    "5.1 after the client's reset: a window": lambda p: (
        opened(p) + frames.reset(1, Code.CANCEL) + frames.window_update(1, 1)
    ),
    "7 a reset for an unknown reason": lambda p: (
        opened(p) + frame(frames.RST_STREAM, 0, 1, long(0xFF))
    ),
    "5.1 ended: a window": lambda p: answered(p) + frames.window_update(1, 1),
    "5.1 ended: a reset": lambda p: answered(p) + frames.reset(1, Code.CANCEL),
    "5.1 passed over: a window": lambda p: p.head(5) + frames.window_update(3, 1),
    "5.3 a priority before its stream": lambda p: frame(frames.PRIORITY, 0, 7, long(1) + b"\x00"),
    "9218 a priority update": lambda p: frame(0x10, 0, 0, long(1) + b"u=1"),
    "9218 a priority update that says nothing": lambda p: frame(0x10, 0, 0),
    "9218 a priority field": lambda p: p.head(1, (*GET, (b"priority", b"u=1, i"))),
    "6.1 padding": lambda p: opened(p) + frame(DATA, frames.PADDED, 1, b"\x03x\0\0\0"),
    "6.2 padding and a priority": lambda p: frame(
        HEADERS,
        END | WHOLE | frames.PADDED | frames.WITH_PRIORITY,
        1,
        b"\x02" + long(0x80000005) + b"\x10" + p.encoder.encode(list(GET)) + b"\0\0",
    ),
    "6.2 padding of nothing": lambda p: frame(
        HEADERS, END | WHOLE | frames.PADDED, 1, b"\x00" + p.encoder.encode(list(GET))
    ),
    "6.5.2 the smallest and the largest frames": lambda p: (
        setting(0x5, 16384) + setting(0x5, (1 << 24) - 1)
    ),
    "6.5.2 the largest window": lambda p: setting(0x4, (1 << 31) - 1),
    "6.5.2 no table": lambda p: setting(0x1, 0),
    "6.5.2 an unknown setting": lambda p: setting(0xFF, 5),
    "6.5 settings that nobody waits for": lambda p: frame(SETTINGS, frames.ACK, 0),
    "6.7 an answer to no ping": lambda p: frame(PING, frames.ACK, 0, b"8" * 8),
    "6.9.1 the largest window": lambda p: frames.window_update(0, (1 << 31) - 1 - 65535),
    "6.10 a block in pieces": lambda p: (
        frame(HEADERS, END, 1, (block := p.encoder.encode(list(GET)))[:3])
        + frame(CONTINUATION, 0, 1, block[3:5])
        + frame(CONTINUATION, WHOLE, 1, block[5:])
    ),
    "6.10 a block in pieces that are empty": lambda p: (
        frame(HEADERS, END, 1)
        + frame(CONTINUATION, 0, 1, p.encoder.encode(list(GET)))
        + frame(CONTINUATION, WHOLE, 1)
    ),
    "7541 4.2 a table's size": lambda p: frame(
        HEADERS, END | WHOLE, 1, b"\x20\x3f\xe1\x1f" + p.encoder.encode(list(GET))
    ),
    "8.1 trailers": lambda p: opened(p) + p.head(1, [(b"x-sum", b"1")]),
}


class Rules(SynchronousTestCase):
    def test_fatal(self) -> None:
        """A connection error of the code that the RFC names; H6, H9"""
        for what, (code, wire) in FATAL.items():
            peer = Peer()
            peer.say(wire(peer))
            self.assertEqual(peer.left_with(), code, what)
            self.assertTrue(peer.connection.is_over, what)
            self.assertEqual(peer.say(frame(PING, 0, 0, b"8" * 8)), [], what)

    def test_ends_a_stream_alone(self) -> None:
        """A stream error of the code that the RFC names; the next stream works; H7"""
        for what, (code, wire) in ONE_STREAM.items():
            peer = Peer()
            peer.say(wire(peer))
            self.assertIsNone(peer.left_with(), what)
            self.assertEqual(peer.resets(), [(1, code)], what)
            self.assertEqual([(c.code, c.by_peer) for c in peer.cancelled()][-1:], [(code, False)])
            answered(peer, 9)
            peer.listen()
            self.assertEqual([head.stream_id for head in peer.heard("Headers")], [9], what)

    def test_harmless(self) -> None:
        for what, wire in HARMLESS.items():
            peer = Peer()
            peer.say(wire(peer))
            self.assertEqual((peer.left_with(), peer.resets()), (None, []), what)
            self.assertIsInstance(peer.ask(9)[0], Requested, what)

    def test_every_cut_means_the_same(self) -> None:
        """Frames that come a byte at a time"""
        for what, (code, wire) in [*FATAL.items(), *ONE_STREAM.items()]:
            if "after the client's reset" in what:
                # What is taken back before it was told of is not told of.
                continue
            whole, cut = Peer(), Peer()
            whole.say(wire(whole))
            for octet in wire(cut):
                cut.say(bytes((octet,)))
            self.assertEqual(cut.left_with(), whole.left_with(), what)
            self.assertEqual(cut.resets(), whole.resets(), what)
            self.assertIn(code, (cut.left_with(), *(code for _, code in cut.resets())), what)


_NUMBERS = st.sampled_from((0, 1, 1, 1, 2, 3, 5, (1 << 31) - 1))
_FRAMES = st.tuples(
    st.integers(0, 12),
    st.one_of(st.sampled_from((0, 1, 4, 5)), st.integers(0, 255)),
    _NUMBERS,
    st.one_of(
        st.sampled_from(
            (b"", b"\x82\x87\x84\x41\x01a", long(0), long(1), long(3) + b"\0", b"8" * 8)
        ),
        st.binary(max_size=20),
    ),
)


class Anything(SynchronousTestCase):
    @settings(max_examples=300)
    @given(st.lists(st.one_of(_FRAMES, st.binary(max_size=12)), max_size=12), st.booleans())
    def test_is_either_events_or_one_failure(
        self, wires: list[tuple[int, int, int, bytes] | bytes], answers: bool
    ) -> None:
        """H9: nothing raises, and after the failure nothing comes"""
        peer = Peer()
        for wire in wires:
            failed = peer.left_with() is not None
            events = peer.say(wire if isinstance(wire, bytes) else frame(*wire))
            self.assertFalse(failed and events)
            self.assertFalse([event for event in events[:-1] if isinstance(event, Failed)])
            for event in events:
                if answers and isinstance(event, Requested | Refused):
                    peer.connection.answer(event.stream, b"200 OK", b"")
                    peer.connection.data(event.stream, b"x", ended=True)
        peer.connection.close()
        self.assertTrue(peer.connection.is_over)
        self.assertGreaterEqual(peer.connection.waiting, 0)


class Memory(SynchronousTestCase):
    def test_remembers_how_the_latest_streams_ended(self) -> None:
        """L10: and of those before only that they did"""
        streams = Streams()
        for number in range(1, 2001, 2):
            streams.advance(number)
            streams.close(number, State.LEFT)
        states = [streams.state(number) for number in range(1, 2001, 2)]
        self.assertEqual(states, [State.ENDED] * 744 + [State.LEFT] * 256)
        self.assertEqual(streams.state(2001), State.IDLE)


class Hello(SynchronousTestCase):
    def connection(self) -> Server:
        return Server(Limits(), Terms(), 0.0)

    def test_says_what_it_grants_before_the_client_speaks(self) -> None:
        granted, window = Peer().announced
        self.assertEqual(
            dict(granted.settings),
            {0x3: 100, 0x4: 65536, 0x6: 32768 + 8192 + 3200, 0x9: 1},
        )
        self.assertEqual(window.window_increment, 1024 * 1024 - 65535)

    def test_refuses_other_protocols(self) -> None:
        """H9: HTTP/1 on a port for HTTP/2, and a preface with an error"""
        for wire in (b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", b"\x16\x03\x01"):
            (event,) = self.connection().receive(wire, 0.0)
            self.assertIsInstance(event, Failed)
            assert isinstance(event, Failed)
            self.assertEqual((event.code, event.kind), (PROTOCOL, "preface"))

    def test_waits_for_the_rest_of_it(self) -> None:
        connection = self.connection()
        for octet in HELLO:
            self.assertTrue(connection.is_amid_head)
            self.assertEqual(connection.receive(bytes((octet,)), 0.0), [])
        self.assertFalse(connection.is_amid_head)

    def test_wants_settings_first(self) -> None:
        for wire in (frame(PING, 0, 0, b"8" * 8), frame(SETTINGS, frames.ACK, 0)):
            (event,) = self.connection().receive(frames.PREFACE + wire, 0.0)
            self.assertIsInstance(event, Failed)

    def test_acknowledges_settings_and_pings(self) -> None:
        peer = Peer()
        peer.say(setting(0x4, 100) + frame(PING, 0, 0, b"12345678"))
        accepted, ping = peer.frames
        self.assertEqual((accepted.flags, ping.flags), ({"ACK"}, {"ACK"}))
        self.assertEqual(ping.opaque_data, b"12345678")  # type: ignore[attr-defined]

    def test_the_last_of_a_setting_that_comes_twice_holds(self) -> None:
        """RFC 9113 section 6.5.3"""
        peer = Peer()
        twice = b"".join(b"\0\4" + long(size) for size in (100, 1))
        peer.say(frame(SETTINGS, 0, 0, twice))
        peer.ask(1)
        peer.connection.answer(1, b"200 OK", b"")
        peer.connection.data(1, b"ab", ended=True)
        peer.listen()
        self.assertEqual([each.data for each in peer.heard("Data")], [b"a"])

    def test_a_client_may_leave_for_an_unknown_reason(self) -> None:
        """RFC 9113 section 7"""
        peer = Peer()
        self.assertEqual(peer.say(frame(GOAWAY, 0, 0, long(0, 0xFF))), [Leaving(0xFF)])
        self.assertIsInstance(peer.ask(1)[0], Requested)

    def test_tells_that_the_client_leaves(self) -> None:
        peer = Peer()
        self.assertEqual(peer.say(frame(GOAWAY, 0, 0, long(0, 2) + b"why")), [Leaving(2)])
        self.assertIsInstance(peer.ask(1)[0], Requested)


class Late(SynchronousTestCase):
    def test_ignores_what_was_on_its_way_when_we_reset(self) -> None:
        """5.1: frames for a stream that we left; their bytes are the connection's again"""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        peer.connection.reset(1, Code.CANCEL)
        self.assertEqual(peer.resets(), [])
        peer.listen()
        self.assertEqual(peer.resets(), [(1, Code.CANCEL)])
        for _ in range(200):
            self.assertEqual(peer.say(frame(DATA, 0, 1, b"x" * 16384)), [])
        self.assertEqual(peer.say(peer.head(1, [(b"x", b"y")])), [])
        self.assertIsNone(peer.left_with())
        self.assertEqual(peer.resets(), [(1, Code.CANCEL)])

    def test_ignored_fields_take_part_in_the_compression(self) -> None:
        """4.3: the table must be the client's also after what nobody wanted"""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        peer.connection.reset(1)
        peer.ask(1, [(b"x-new", b"value")])
        (event,) = peer.ask(3, (*GET, (b"x-new", b"value")))
        assert isinstance(event, Requested)
        self.assertIn(b"x-new: value", event.head.fields.kept)

    def test_the_same_after_a_malformed_request(self) -> None:
        peer = Peer()
        peer.ask(1, ((b"x-new", b"value"), *GET))
        self.assertEqual(peer.resets(), [(1, PROTOCOL)])
        (event,) = peer.ask(3, (*GET, (b"x-new", b"value")))
        self.assertIsInstance(event, Requested)

    def test_what_is_said_to_a_stream_that_is_gone_is_dropped(self) -> None:
        peer = Peer()
        peer.ask(1)
        peer.say(frames.reset(1, Code.CANCEL))
        connection = peer.connection
        connection.interim(1, b"103 Early Hints", b"")
        connection.answer(1, b"200 OK", b"")
        connection.data(1, b"x", ended=True)
        connection.trailers(1, b"X: y\r\n")
        connection.acknowledge(1, 5)
        connection.reset(1)
        self.assertEqual(peer.listen(), [])
        self.assertEqual(peer.events[1:], [Cancelled(1, Code.CANCEL, True)])

    def test_an_early_answer_stops_the_body_without_blame(self) -> None:
        """8.1: NO_ERROR, and what is still on its way is ignored"""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        peer.connection.answer(1, b"413 Content Too Large", b"", ended=True)
        peer.listen()
        self.assertEqual(peer.resets(), [(1, Code.NO_ERROR)])
        self.assertEqual(peer.say(frame(DATA, END, 1, b"x")), [])
        self.assertIsNone(peer.left_with())

    def test_trailers_come_with_the_end(self) -> None:
        """S14: less those that may not be there"""
        peer = Peer()
        peer.ask(1, POST, WHOLE)
        fields = [(b"x-sum", b"1"), (b"host", b"evil"), (b"x_y", b"z"), (b"authorization", b"a")]
        self.assertEqual(peer.ask(1, fields), [Came(1, b"", True, b"x-sum: 1\r\n")])
