"""One client's HTTP/1.1 connection: requests in, one at a time and in order, answers out.

States, by attributes: waiting for a head (`bridge` is None), reading a body (`body` is set),
waiting for an answer, a tunnel's end (`tunnel`), and saying farewell. The module is long because
these states share the attributes of one connection.
"""

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from veloflux.core.flow.exchange import Failure
from veloflux.core.flow.upload import Upload
from veloflux.core.wire.answer import answer
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.framing import Body
from veloflux.core.wire.http1 import RequestHead, ResponseHead, read_request
from veloflux.core.wire.upgrade import switching
from veloflux.edge.bridge import Bridge
from veloflux.edge.deadlines import NEVER
from veloflux.edge.farewell import Farewell
from veloflux.edge.holdback import Holdback
from veloflux.edge.intake import Intake
from veloflux.edge.outcome import Refusal
from veloflux.edge.reception import STRANGER, Reception
from veloflux.edge.transport import unsent
from veloflux.edge.tunnel import Tunnel

# Bytes of further requests read while one is being answered, and of answers not yet taken by the
# client when its next request has to wait.
_READ_AHEAD = 64 * 1024
_UNREAD = 64 * 1024
# Requests of one client that are begun without a turn of the loop between them.
_AT_ONCE = 32
# Seconds that a draining process gives to a connection that has not said anything yet.
_FIRST_REQUEST_S = 1.0


@implementer(IHalfCloseableProtocol)
class Downstream(Reception, Intake, Protocol):
    """Parses requests and hands each to a `Bridge`."""

    transport: Any
    descriptors = 1
    # How the log calls it, by the minor version.
    protocols = ("HTTP/1.0", "HTTP/1.1")
    wire = "http1"

    tunnel: Tunnel | None = None
    _buffer = b""
    _seen = 0
    _is_beginning = False
    _is_last = False
    _is_closing = False
    _farewell: Farewell | None = None
    _is_paused = False
    _holdback: Holdback | None = None
    _turn: IDelayedCall | None = None
    _head_since = NEVER

    def connectionMade(self) -> None:
        # Each request asks for these: see `Bridge`.
        self.body = None
        self._is_last = self._is_paused = False
        self.listener.join(self)
        now = self.plane.deadlines.now()
        self._head_since = now
        self.plane.deadlines.arm(self, now + self.limits.header_timeout_s)

    # Reading

    def dataReceived(self, data: bytes) -> None:
        bridge = self.bridge
        if bridge is not None and self.body is not None and bridge.is_ready:
            self._read_body(self.body, data)
            return
        if bridge is None and not self._buffer:
            head = self._known.head
            if head is not None and data == head.raw and getattr(self.transport, "is_clear", False):
                # The commonest case: the request before comes again, and nothing else.
                self._start(head)
                if self.bridge is None:
                    self._read_heads()
                return
        self._buffer = self._buffer + data if self._buffer else data
        if bridge is None:
            self._read_heads()
        elif self.body is not None or len(self._buffer) > _READ_AHEAD:
            self._is_paused = True
            self.transport.pauseProducing()

    def _read_heads(self) -> None:
        """Take requests off the buffer until one waits for its answer."""
        begun = 0
        while self.bridge is None and self._buffer and not self._is_closing:
            if self._holdback is not None or unsent(self.transport) > _UNREAD:
                self._wait_for_reader()
                return
            if begun == _AT_ONCE:
                self._wait_for_turn()
                return
            try:
                head = read_request(self._buffer, self.limits, self._known.head, self._seen)
            except ProtocolError as problem:
                self.listener.count_error("http1", problem.kind)
                self.refuse(None, problem)
                return
            if head is None:
                self._seen = len(self._buffer)
                self._wait_for_head()
                return
            self._buffer = self._buffer[len(head.raw) :]
            self._seen = 0
            begun += 1
            self._start(head)
        if self.bridge is None and not self._is_closing:
            self._wait_for_request(self.plane.deadlines.now())

    def _start(self, head: RequestHead) -> None:
        self._head_since = NEVER
        self._is_beginning = True
        self.begin(self, head)
        self._is_beginning = False

    def _wait_for_turn(self) -> None:
        """Requests that need no backend are answered as fast as they are read: the others that
        wait for the loop come first."""
        self.deadline = NEVER
        self._is_paused = True
        self.transport.pauseProducing()
        self._turn = self.plane.reactor.callLater(0, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        self._resume()
        self._read_heads()

    def _wait_for_head(self) -> None:
        """Some of a head is there; the rest has an absolute deadline, or a byte at a time would
        keep the connection for ever."""
        if self._head_since == NEVER:
            self._head_since = self.plane.deadlines.now()
            deadline = self._head_since + self.limits.header_timeout_s
            self.plane.deadlines.arm(self, deadline)
        self._resume()

    def _wait_for_request(self, now: float) -> None:
        if self.listener.is_draining:
            self._close()
            return
        self._book = None
        self.plane.deadlines.arm(self, now + self.limits.keepalive_timeout_s)
        if self._is_paused:
            self._resume()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    def _wait_for_reader(self) -> None:
        if self._holdback is None:
            self.plane.deadlines.disarm(self)
            self._is_paused = False
            self._holdback = Holdback(
                self.transport, self.plane.deadlines, self.limits.write_timeout_s, self._reader_back
            )

    def _reader_back(self) -> None:
        self._holdback = None
        self._read_heads()

    # Its body

    def resume_body(self) -> None:
        """The backend is there: what came meanwhile goes to it."""
        data, self._buffer = self._buffer, b""
        # First, for the backend may be full of that much.
        self._resume()
        body = self.body
        if body is not None:
            body.restart(self.plane.deadlines.now())
            # Before its first byte the client may still wait for leave to send it.
            if data or body.received:
                self._read_body(body, data)

    def _read_body(self, body: Upload, data: bytes) -> None:
        bridge = self.bridge
        assert bridge is not None
        try:
            payload = body.feed(data, self.plane.deadlines.now())
        except ProtocolError as problem:
            self.refuse_body(bridge, problem)
            return
        bridge.bytes_in = body.received
        if body.decoder.done:
            self.body = None
            self._buffer = body.decoder.rest
            self.deadline = NEVER
        bridge.request_data(payload, body.decoder)

    def refuse_body(self, bridge: Bridge, problem: ProtocolError) -> None:
        self.listener.count_error("http1", problem.kind)
        if bridge.status:
            # An answer has begun: there is no other to give.
            bridge.client_gone("PD")
            self.cut()
            return
        bridge.status = problem.status
        bridge.error = problem.kind
        bridge.client_gone("cR" if problem.status == 408 else "PR")
        problem.lines += bridge.lane.stages.lines(bridge.head, bridge.told)
        self._write_answer(problem, bridge.head, bridge.request_id, closing=True)
        self.bridge = None
        self._close(linger=True)

    # Answers

    def send_interim(self, status_line: bytes, lines: bytes) -> None:
        """A 1xx answer."""
        self.transport.write(b"HTTP/1.1 %b\r\n%b\r\n" % (status_line, lines))

    def send_answer(
        self,
        bridge: Bridge,
        prelude: bytes,
        payload: bytes,
        body: Body | None = None,
        *,
        until_close: bool = False,
    ) -> None:
        """The head of an answer, of which `prelude` goes up to the value of X-Request-ID, and the
        first of its body; decides whether the connection is kept.

        While the request's body is under way it cannot be: its end may never be read. `body` is
        the answer's decoder, done or not; None when `payload` is all there is.
        """
        fields = bridge.head.fields
        if (
            fields.persistent
            and not until_close
            and self.body is None
            and not self.listener.is_draining
        ):
            end = b"\r\n\r\n" if fields.minor else b"\r\nConnection: keep-alive\r\n\r\n"
        else:
            self._is_last = True
            end = b"\r\nConnection: close\r\n\r\n"
        self.transport.write(b"".join((prelude, bridge.request_id, end, payload)))

    def send_switch(self, bridge: Bridge, head: ResponseHead) -> int:
        """Tell that what comes is a tunnel, as the backend has; returns the status for that."""
        assert bridge.accept is not None
        self.transport.write(switching(head.fields, bridge.accept, bridge.request_id))
        return 101

    def send_data(self, payload: bytes, body: Body) -> None:
        """More of an answer's body, as its framing wants it."""
        if payload:
            self.transport.write(payload)

    def finished(self, now: float) -> None:
        """The bridge is through with its answer.

        One that fails before it was begun leaves the rest to the loop that began it: reading from
        here would nest as deep as there are requests.
        """
        self.bridge = None
        if self._is_last:
            self._close(linger=self.body is not None)
        elif self._is_beginning:
            pass
        elif self._buffer:
            self._read_heads()
        else:
            self._wait_for_request(now)

    def answer_failure(self, bridge: Bridge, failure: Failure) -> None:
        """No backend answered: say so in its place."""
        lines = b"Retry-After: %d\r\n" % bridge.retry_after_s if failure.status == 503 else b""
        lines += bridge.lane.stages.lines(bridge.head, bridge.told)
        problem = ProtocolError(failure.status, failure.reason, failure.detail, lines)
        keep = self.body is None and bridge.head.fields.persistent and not self.listener.is_draining
        self._write_answer(problem, bridge.head, bridge.request_id, closing=not keep)
        self._is_last = not keep
        self.finished(self.plane.deadlines.now())

    def refuse(
        self,
        head: RequestHead | None,
        problem: ProtocolError,
        request_id: bytes = b"",
        bridge: Bridge | None = None,
    ) -> None:
        """Answer a request that goes to no backend; `bridge` is what it would have gone by."""
        keep = (
            head is not None
            and head.fields.persistent
            and head.fields.length == 0
            and not self.listener.is_draining
        )
        now = self.plane.deadlines.now()
        refusal = Refusal(self, head, self.plane.unrouted if bridge is None else bridge.tally)
        if bridge is not None:
            refusal.ratelimit = bridge.ratelimit
        refusal.started = now
        refusal.request_id = request_id or self.plane.next_id()
        refusal.status = problem.status
        refusal.error = problem.kind
        self.body = None
        self._write_answer(problem, head, refusal.request_id, closing=not keep)
        self.plane.record(refusal, now, "LR" if problem.status < 400 else "PR")
        if not keep:
            self._close(linger=head is None or head.fields.length != 0)

    def _write_answer(
        self, problem: ProtocolError, head: RequestHead | None, request_id: bytes, *, closing: bool
    ) -> None:
        connection = b"Connection: close\r\n" if closing else b""
        if not closing and head is not None and head.fields.minor == 0:
            connection = b"Connection: keep-alive\r\n"
        self.transport.write(
            answer(
                problem.status,
                problem.detail,
                request_id,
                self.plane.date,
                lines=problem.lines,
                connection=connection,
                bodiless=head is not None and head.method == b"HEAD",
            )
        )

    # The end

    def become_tunnel(self, tunnel: Tunnel) -> None:
        """From now on bytes go to `tunnel`, unread; those that came early first."""
        self.tunnel = tunnel
        self.bridge = None
        self.plane.deadlines.disarm(self)
        early, self._buffer = self._buffer, b""
        self.dataReceived = tunnel.from_client  # type: ignore[method-assign]  # no question per read
        self._resume()
        if early:
            tunnel.from_client(early)

    def cut(self) -> None:
        """End the connection so that the client sees its answer is not whole."""
        self.bridge = None
        self.transport.abortConnection()

    def abandon(self) -> None:
        """The process goes now, whatever is under way."""
        bridge, self.bridge = self.bridge, None
        if self.tunnel is not None:
            self.tunnel.abort("PD")
        elif bridge is not None:
            bridge.client_gone("PD" if bridge.status else "PH" if bridge.is_sent else "PR")
        self.transport.abortConnection()

    def drain(self, patience_s: float = 0.0) -> None:
        """The process is going, or the listener: close when idle for so long, else after the
        answer."""
        if self.bridge is not None or self.tunnel is not None or self._buffer:
            return
        if self._head_since != NEVER:
            # Just accepted: its first request may be on the way.
            self._hurry(max(_FIRST_REQUEST_S, patience_s))
        elif patience_s:
            self._hurry(patience_s)
        else:
            self._close()

    def _hurry(self, patience_s: float) -> None:
        until = self.plane.deadlines.now() + patience_s
        if until < self.deadline:
            self.plane.deadlines.arm(self, until)

    def _close(self, *, linger: bool = False) -> None:
        """Say no more. Lingering is for a client that may still be sending."""
        if self._is_closing:
            return
        self._is_closing = True
        self._known = STRANGER
        self._buffer = b""
        self.body = None
        self.plane.deadlines.disarm(self)
        if not linger and not unsent(self.transport):
            self.transport.loseConnection()
            return
        self._resume()
        self._farewell = Farewell(
            self.transport, self.plane.deadlines, self.limits.write_timeout_s, linger=linger
        )
        self.dataReceived = self._farewell.received  # type: ignore[method-assign]  # no question per read

    def expire(self, now: float) -> None:
        if self.bridge is not None:
            if self.body is not None:
                self.judge_body(self.bridge, self.body, now)
        elif self._buffer.strip(b"\r\n"):
            self.listener.count_error("http1", "header_timeout")
            self.refuse(None, ProtocolError(408, "timeout", "The head did not come in time."))
        else:
            self._close()

    def readConnectionLost(self) -> None:
        if self.tunnel is not None:
            self.tunnel.client_finished()
        elif self._is_closing:
            self.transport.loseConnection()
        else:
            # A client that closed looks like one that only stopped sending. Its backend's work
            # is worth nothing then, and a live client has no reason to half-close.
            self._client_gone()
            self._close()

    def writeConnectionLost(self) -> None:
        """Our half-close went out; the rest of `_close` is waiting."""

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        self.listener.leave(self)
        self.plane.deadlines.disarm(self)
        if self.tunnel is not None:
            self.tunnel.lost("CD")
        if self._farewell is not None:
            self._farewell.over()
        self._holdback = None
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._client_gone()

    def _client_gone(self) -> None:
        bridge, self.bridge = self.bridge, None
        if bridge is not None:
            bridge.client_gone("CD" if bridge.status else "CH" if bridge.is_sent else "CR")
