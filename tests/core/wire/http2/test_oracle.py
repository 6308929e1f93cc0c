"""Beside h2: a client that it drives by a random plan must get what was meant for it, and must
find nothing wrong with our frames."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import GET, POST
from tests.support.messages import CUTS, pieces
from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http2.events import Came, Cancelled, Drained, Failed, Leaving, Requested
from veloflux.core.wire.http2.server import Server
from veloflux.core.wire.http2.settings import Terms


@dataclass
class Exchange:
    """One request as planned, and what arrived of it on either side."""

    body: bytes
    answer: bytes
    trailers: bool
    sent: int = 0
    came: bytes = b""
    came_ended: bool = False
    came_trailers: bytes = b""
    unacknowledged: int = 0
    status: bytes = b""
    got: bytes = b""
    got_ended: bool = False
    got_trailers: list[Any] = field(default_factory=list)
    written: int = 0
    has_head: bool = False
    has_come: bool = False
    cancelled: bool = False
    interims: int = 0


class Meeting:
    """h2's client and our server, with a wire between them that cuts as it likes."""

    def __init__(self, window: int, table: int, cuts: list[int]) -> None:
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.client.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window
        self.client.local_settings[SettingCodes.HEADER_TABLE_SIZE] = table
        self.client.local_settings.acknowledge()
        self.client.initiate_connection()
        self.server = Server(Limits(), Terms(), 0.0)
        self.cuts = cuts
        self.exchanges: dict[int, Exchange] = {}
        self.failed: list[Failed] = []
        self.drained: dict[int, int] = defaultdict(int)
        self.left: list[Leaving] = []
        self.flush()

    def flush(self) -> None:
        """Carry bytes both ways until nothing moves."""
        while True:
            there = self.client.data_to_send()
            for piece in pieces(there, self.cuts):
                for event in self.server.receive(piece, 0.0):
                    self.serve(event)
            back = self.server.take()
            for piece in pieces(back, self.cuts):
                for event in self.client.receive_data(piece):
                    self.hear(event)
            if not there and not back:
                return

    def serve(self, event: Any) -> None:
        if isinstance(event, Requested):
            assert event.head.fields.value(b"x-number") == b"%d" % event.stream
            assert event.ended == (not self.exchanges[event.stream].body)
            self.exchanges[event.stream].has_come = True
        elif isinstance(event, Came):
            exchange = self.exchanges[event.stream]
            assert not exchange.came_ended
            exchange.came += event.data
            exchange.unacknowledged += len(event.data)
            exchange.came_ended = event.ended
            exchange.came_trailers += event.trailers
        elif isinstance(event, Cancelled):
            assert event.by_peer, event
            self.exchanges[event.stream].cancelled = True
        elif isinstance(event, Drained):
            assert not self.server.unsent(event.stream)
            self.drained[event.stream] += 1
        elif isinstance(event, Failed):
            self.failed.append(event)
        else:
            raise AssertionError(event)

    def hear(self, event: Any) -> None:
        if isinstance(event, ResponseReceived):
            exchange = self.exchanges[event.stream_id]
            assert not exchange.status
            exchange.status = dict(event.headers)[b":status"]
        elif isinstance(event, DataReceived):
            self.exchanges[event.stream_id].got += event.data
        elif isinstance(event, TrailersReceived):
            self.exchanges[event.stream_id].got_trailers = event.headers
        elif isinstance(event, StreamEnded):
            self.exchanges[event.stream_id].got_ended = True
        elif isinstance(event, InformationalResponseReceived):
            self.exchanges[event.stream_id].interims += 1
        elif isinstance(event, StreamReset):
            exchange = self.exchanges[event.stream_id]
            # Only to say that the rest of a body is not wanted.
            assert event.error_code == 0
            assert exchange.got_ended

    # What a plan may do, to the stream that `number` points at.

    def ask(self, exchange: Exchange) -> None:
        stream = self.client.get_next_available_stream_id()
        self.exchanges[stream] = exchange
        fields = [*(POST if exchange.body else GET), (b"x-number", b"%d" % stream)]
        self.client.send_headers(stream, fields, end_stream=not exchange.body)

    def body(self, stream: int, size: int) -> None:
        """Some of a request's body, as the windows allow."""
        exchange = self.exchanges[stream]
        left = len(exchange.body) - exchange.sent
        if exchange.cancelled or exchange.got_ended or not left:
            return
        size = min(size, left, self.client.local_flow_control_window(stream), 16_384)
        if size <= 0:
            return
        is_last = size == left
        piece = exchange.body[exchange.sent : exchange.sent + size]
        padding = size % 7 if size + 8 < self.client.local_flow_control_window(stream) else None
        if size + 8 > 16_384:
            padding = None
        exchange.sent += size
        self.client.send_data(stream, piece, is_last and not exchange.trailers, pad_length=padding)
        if is_last and exchange.trailers:
            self.client.send_headers(stream, [(b"x-sum", b"1")], end_stream=True)

    def answer(self, stream: int, size: int) -> None:
        """Some of an answer."""
        exchange = self.exchanges[stream]
        left = len(exchange.answer) - exchange.written
        if not exchange.has_come:
            # The server has not heard of it.
            return
        if not exchange.has_head:
            exchange.has_head = True
            if exchange.trailers:
                self.server.interim(stream, b"103 Early Hints", b"Link: </>\r\n")
            lines = b"Content-Type: text/plain\r\nX-A: %d\r\n" % stream
            self.server.answer(stream, b"200 OK", lines, request_id=b"id", ended=not left)
        elif left:
            piece = exchange.answer[exchange.written :][:size]
            exchange.written += len(piece)
            is_last = len(piece) == left
            self.server.data(stream, piece, ended=is_last and not exchange.trailers)
            if is_last and exchange.trailers:
                self.server.trailers(stream, b"X-Sum: 2\r\n")

    def acknowledge(self, stream: int, size: int) -> None:
        exchange = self.exchanges[stream]
        size = min(size, exchange.unacknowledged)
        exchange.unacknowledged -= size
        self.server.acknowledge(stream, size)

    def widen(self, stream: int, size: int) -> None:
        exchange = self.exchanges[stream]
        if not exchange.cancelled and not exchange.got_ended:
            self.client.increment_flow_control_window(max(size, 256), stream)
        self.client.increment_flow_control_window(max(size, 256))

    def cancel(self, stream: int, size: int) -> None:
        exchange = self.exchanges[stream]
        if exchange.trailers:
            # h2 takes a 1xx for a stream that it has just reset for an error of ours.
            return
        if not exchange.cancelled and not exchange.got_ended and size % 3 == 0:
            self.client.reset_stream(stream, 8)
            exchange.cancelled = True


_BODIES = st.one_of(st.just(0), st.integers(1, 300), st.integers(20_000, 120_000))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), _BODIES, _BODIES, st.booleans()),
        st.tuples(
            st.sampled_from(("body", "answer", "acknowledge", "widen", "cancel", "answer", "body")),
            st.integers(0, 5),
            st.integers(1, 70_000),
            st.booleans(),
        ),
    ),
    min_size=1,
    max_size=40,
)


class WithH2(SynchronousTestCase):
    @settings(max_examples=300)
    @given(
        _STEPS, st.sampled_from((0, 1000, 65_535, 1 << 20)), st.sampled_from((0, 64, 4096)), CUTS
    )
    def test_any_plan_comes_to_its_end(
        self, steps: list[tuple[str, int, int, bool]], window: int, table: int, cuts: list[int]
    ) -> None:
        """Requests, bodies, answers, windows and resets in any order, split anywhere"""
        meeting = Meeting(window, table, cuts)
        for what, first, second, flag in steps:
            if what == "ask":
                if len(meeting.exchanges) < 20:
                    meeting.ask(Exchange(b"q" * first, b"a" * second, flag))
            elif meeting.exchanges:
                stream = 2 * (first % len(meeting.exchanges)) + 1
                getattr(meeting, what)(stream, second)
            if flag:
                meeting.flush()
        meeting.flush()
        # Now everybody does what is left to do.
        for stream, exchange in meeting.exchanges.items():
            for _ in range(len(exchange.body) // 16_000 + 2):
                for other in meeting.exchanges:
                    meeting.acknowledge(other, 1 << 20)
                meeting.flush()
                meeting.body(stream, 16_000)
                meeting.flush()
        for stream, exchange in meeting.exchanges.items():
            if exchange.body and not exchange.cancelled and not exchange.got_ended:
                self.assertTrue(exchange.came_ended)
                self.assertEqual(exchange.came, exchange.body)
                self.assertEqual(
                    exchange.came_trailers, b"x-sum: 1\r\n" if exchange.trailers else b""
                )
            for _ in range(3):
                meeting.answer(stream, 1 << 20)
                meeting.flush()
            for _ in range(3):
                meeting.widen(stream, 1 << 18)
                meeting.flush()
            if not exchange.cancelled:
                self.assertEqual((exchange.status, exchange.got_ended), (b"200", True))
                self.assertEqual(exchange.got, exchange.answer)
                self.assertEqual(exchange.interims, int(exchange.trailers))
                if exchange.answer and exchange.trailers:
                    self.assertEqual(exchange.got_trailers, [(b"x-sum", b"2")])
        self.assertEqual(meeting.failed, [])
        self.assertEqual((meeting.server.open_streams, meeting.server.waiting), (0, 0))
