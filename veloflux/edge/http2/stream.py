"""One request of an HTTP/2 connection: what a bridge has for its client's side, which in HTTP/1.1
is the connection itself.

The frames' bytes are the codec's affair. What a client may send is acknowledged when the backend
has taken it; what the client has no window for waits in the codec, and the backend waits for that.
"""

from typing import TYPE_CHECKING, Any

from veloflux.core.flow.exchange import Failure
from veloflux.core.wire import grpc
from veloflux.core.wire.answer import answer
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.framing import Body, Framed
from veloflux.core.wire.http1 import RequestHead, ResponseHead
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.server import Server
from veloflux.core.wire.upgrade import switched
from veloflux.edge.bridge import Bridge
from veloflux.edge.deadlines import NEVER
from veloflux.edge.http2.tunnelled import Tunnelled
from veloflux.edge.intake import Intake
from veloflux.edge.outcome import Refusal

if TYPE_CHECKING:
    from veloflux.edge.http2.connection import Http2

# What an answer's head begins with, and its prelude ends with.
_VERSION = len(b"HTTP/1.1 ")
_ID = -len(b"X-Request-ID: ")


class Stream(Tunnelled, Intake):
    """Lives until its answer is sent, or it is cut or cancelled. It is its own transport."""

    codec: Server
    unframed = Framed
    wire = "http2"
    protocols = ("HTTP/2", "HTTP/2")

    _trailers = b""
    # All of the answer is with the codec; so many bytes were left when that was looked at.
    _is_answered = False
    _left = 0

    def __init__(self, connection: "Http2", number: int) -> None:
        self.connection: Http2 = connection
        self.number = number
        self.codec = connection.codec
        self.listener = connection.listener
        self.plane = connection.plane
        self.limits = connection.limits
        self.client = connection.client
        self.text = connection.text
        self.is_trusted = connection.is_trusted

    @property
    def peer(self) -> str:
        return self.connection.peer

    @property
    def sender(self) -> str:
        return self.connection.sender

    @property
    def preface(self) -> Any:
        return self.connection.preface

    @property
    def agreement(self) -> Any:
        return self.connection.agreement

    @property
    def transport(self) -> Any:
        return self

    # Its body

    def came(self, data: bytes, is_whole: bool, trailers: bytes) -> None:
        """Some of the request's body, which the client's frames say is whole or not."""
        if self.tunnel is not None:
            self.into_tunnel(self.tunnel, data, is_whole)
            return
        bridge, body = self.bridge, self.body
        if bridge is not None and self.is_tunnel:
            # It has no leave to send yet.
            self._early += data
            self._is_whole = is_whole
            return
        if bridge is None or body is None:
            # Nobody wants it.
            self.codec.acknowledge(self.number, len(data))
            return
        self._is_whole = is_whole
        self._trailers = trailers
        if bridge.is_ready:
            self._read_body(bridge, data)
        else:
            self._early += data

    def resume_body(self) -> None:
        """The backend is there: what came meanwhile goes to it."""
        data, self._early = self._early, b""
        bridge, body = self.bridge, self.body
        if bridge is None or body is None:
            return
        body.restart(self.plane.deadlines.now())
        if data or self._is_whole:
            self._read_body(bridge, data)
        self.connection.flush()

    def _read_body(self, bridge: Bridge, data: bytes) -> None:
        body = self.body
        assert body is not None
        decoder = body.decoder
        if self._is_whole and isinstance(decoder, Framed):
            decoder.done = True
            decoder.trailers = self._trailers
        try:
            payload = body.feed(data, self.plane.deadlines.now())
        except ProtocolError as problem:
            self.refuse_body(bridge, problem)
            return
        bridge.bytes_in = body.received
        if decoder.done:
            self.body = None
            self.deadline = NEVER
        bridge.request_data(payload, decoder)
        self.used(len(data))

    def refuse_body(self, bridge: Bridge, problem: ProtocolError) -> None:
        self.listener.count_error("http2", problem.kind)
        if bridge.status:
            # An answer has begun: there is no other to give.
            bridge.client_gone("PD")
            self.cut()
            return
        bridge.status = problem.status
        bridge.error = problem.kind
        bridge.client_gone("cR" if problem.status == 408 else "PR")
        problem.lines += bridge.lane.stages.lines(bridge.head, bridge.told)
        self._say(problem, bridge.head, bridge.request_id)
        self.answered()

    def drained(self) -> None:
        """All that was written has gone."""
        if self._is_answered:
            self.leave()
        else:
            self.room_again()

    # Answers

    def send_interim(self, status_line: bytes, lines: bytes) -> None:
        """A 1xx answer."""
        self.codec.interim(self.number, status_line, lines)
        self.connection.flush()

    def send_answer(
        self,
        bridge: Bridge,
        prelude: bytes,
        payload: bytes,
        body: Body | None = None,
        *,
        until_close: bool = False,
    ) -> None:
        """As `Downstream.send_answer`; a frame says where the body ends."""
        codec, number = self.codec, self.number
        status_line, _, lines = prelude[_VERSION:_ID].partition(b"\r\n")
        is_all = body is None
        ended = not payload and (body is None or (body.done and not body.trailers))
        try:
            codec.answer(number, status_line, lines, request_id=bridge.request_id, ended=ended)
        except ProtocolError as problem:
            bridge.status = problem.status
            bridge.error = problem.kind
            self._say(problem, bridge.head, bridge.request_id)
            return
        if ended:
            pass
        elif body is None or not body.done:
            if payload:
                codec.data(number, payload, ended=is_all)
        else:
            self._send_last(payload, body)
        self.connection.flush()

    def send_switch(self, bridge: Bridge, head: ResponseHead) -> int:
        """As `Downstream.send_switch`. Raises ProtocolError 502."""
        lines = switched(head.fields)
        self.codec.answer(self.number, b"200 OK", lines, request_id=bridge.request_id)
        self.connection.flush()
        return 200

    def send_data(self, payload: bytes, body: Body) -> None:
        """More of an answer's body."""
        if body.done:
            self._send_last(payload, body)
        elif payload:
            self.codec.data(self.number, payload)
        self.connection.flush()
        self.hold_back()

    def _send_last(self, payload: bytes, body: Body) -> None:
        if not body.trailers:
            self.codec.data(self.number, payload, ended=True)
            return
        if payload:
            self.codec.data(self.number, payload)
        try:
            self.codec.trailers(self.number, body.trailers)
        except ProtocolError:
            # The answer is whole without them.
            self.codec.data(self.number, b"", ended=True)

    def answer_failure(self, bridge: Bridge, failure: Failure) -> None:
        """No backend answered: say so in its place."""
        lines = b"Retry-After: %d\r\n" % bridge.retry_after_s if failure.status == 503 else b""
        lines += bridge.lane.stages.lines(bridge.head, bridge.told)
        problem = ProtocolError(failure.status, failure.reason, failure.detail, lines)
        self._say(problem, bridge.head, bridge.request_id)
        self.answered()

    def refuse(
        self,
        head: RequestHead | None,
        problem: ProtocolError,
        request_id: bytes = b"",
        bridge: Bridge | None = None,
    ) -> None:
        """Answer a request that goes to no backend; `bridge` is what it would have gone by."""
        now = self.plane.deadlines.now()
        refusal = Refusal(self, head, self.plane.unrouted if bridge is None else bridge.tally)
        if bridge is not None:
            refusal.ratelimit = bridge.ratelimit
        refusal.started = now
        refusal.request_id = request_id or self.plane.next_id()
        refusal.status = problem.status
        refusal.error = problem.kind
        self._say(problem, head, refusal.request_id)
        self.plane.record(refusal, now, "LR" if problem.status < 400 else "PR")
        self.answered()

    def _say(self, problem: ProtocolError, head: RequestHead | None, request_id: bytes) -> None:
        """An answer of our own, to a request with this head."""
        if problem.status >= 400 and head is not None and grpc.is_call(head):
            said = grpc.refusal(problem, self.plane.date)
            self.codec.answer(
                self.number, said.status_line, said.lines, request_id=request_id, ended=True
            )
            self.connection.flush()
            return
        wire = answer(
            problem.status, problem.detail, request_id, self.plane.date, lines=problem.lines
        )
        top, _, body = wire.partition(b"\r\n\r\n")
        status_line, _, lines = top[_VERSION:].partition(b"\r\n")
        self.codec.answer(self.number, status_line, lines + b"\r\n", ended=not body)
        if body:
            self.codec.data(self.number, body, ended=True)
        self.connection.flush()

    # The end

    def finished(self, now: float) -> None:
        """The bridge is through with its answer."""
        self.answered()

    def answered(self) -> None:
        """The client has all, or will have it when its windows are open again."""
        self.bridge = None
        self.body = None
        self._early = b""
        self._is_answered = True
        self._left = self.unsent
        if self._left:
            now = self.plane.deadlines.now()
            self.plane.deadlines.arm(self, now + self.limits.write_timeout_s)
        else:
            self.leave()

    def cut(self) -> None:
        """End the stream so that the client sees its answer is not whole."""
        bridge, self.bridge = self.bridge, None
        if bridge is not None and grpc.is_call(bridge.head):
            # Its clients take a status for an end, and know by it what to do.
            self.codec.trailers(self.number, grpc.BROKEN_OFF)
            self.connection.flush()
            self.answered()
            return
        self.codec.reset(self.number, Code.INTERNAL_ERROR)
        self.leave()
        self.connection.flush()

    def gone(self) -> None:
        """The client has cancelled it, or is gone itself."""
        bridge, self.bridge = self.bridge, None
        self.leave()
        if bridge is not None:
            bridge.client_gone("CD" if bridge.status else "CH" if bridge.is_sent else "CR")

    def abandon(self) -> None:
        """The process goes now, whatever is under way."""
        bridge, self.bridge = self.bridge, None
        if self.tunnel is not None:
            self.tunnel.abort("PD")
        self.leave()
        if bridge is not None:
            bridge.client_gone("PD" if bridge.status else "PH" if bridge.is_sent else "PR")

    def leave(self) -> None:
        self.body = None
        self._early = b""
        self._producer = None
        self.plane.deadlines.disarm(self)
        tunnel, self.tunnel = self.tunnel, None
        if tunnel is not None:
            # A client that has not ended its side hears that nobody listens.
            self.codec.reset(self.number, Code.NO_ERROR)
            self.connection.flush()
        self.connection.left(self)
        if tunnel is not None:
            tunnel.lost("CD")

    def expire(self, now: float) -> None:
        if not self._is_answered:
            if self.bridge is not None and self.body is not None:
                self.judge_body(self.bridge, self.body, now)
                self.connection.flush()
            return
        left = self.unsent
        if not left:
            self.leave()
        elif left < self._left:
            self._left = left
            self.plane.deadlines.arm(self, now + self.limits.write_timeout_s)
        else:
            self.codec.reset(self.number, Code.CANCEL)
            self.leave()
            self.connection.flush()
