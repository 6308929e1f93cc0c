"""One HTTP request between a client's connection and a backend's: couples the two and carries out
what `core.flow.exchange` decides.

The client's side tells it of the request's body and of its own loss; the backend's side of the
answer and of every way it can fail. Once the first byte of an answer is written there is no other
answer to give: what fails after that ends the client's connection. The module is long because both
halves of a request share one state.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from veloflux.core.flow import exchange
from veloflux.core.flow.exchange import Failure, Relay
from veloflux.core.model.traffic import ProxyProtocol
from veloflux.core.policy.retry import IDEMPOTENT, again, backoff
from veloflux.core.wire.error import ProtocolError, bad_answer
from veloflux.core.wire.framing import Body, Counted, Framed, UntilClose, encode
from veloflux.core.wire.http1 import RequestHead, ResponseHead
from veloflux.core.wire.trace import new_trace, trace_of
from veloflux.core.wire.upgrade import check_switch
from veloflux.edge.backend import Backend
from veloflux.edge.carrier import Carrier
from veloflux.edge.compression import Recoding
from veloflux.edge.deadlines import NEVER, Timed
from veloflux.edge.http2.call import Call
from veloflux.edge.lane import Lane
from veloflux.edge.mirror import Copy, Mirroring
from veloflux.edge.outcome import Outcome
from veloflux.edge.pool import NO_POOL, Pool
from veloflux.edge.preface import preface_of
from veloflux.edge.splice import WORTH_BYTES
from veloflux.edge.sticky import Sticky
from veloflux.edge.transport import unsent
from veloflux.edge.tunnel import Tunnel
from veloflux.edge.upstream import Upstream
from veloflux.edge.valve import Valve

if TYPE_CHECKING:
    from veloflux.edge.downstream import Downstream

# Bytes of a request's body that are kept for another attempt.
_KEPT_BYTES = 64 * 1024
# A tunnel may be silent for long.
TUNNEL_IDLE_S = 3600.0


class Bridge(Carrier, Outcome, Timed):
    """Lives from a request's head to the last byte of its answer, or until either side is gone.

    `accept` is what a backend must answer to a WebSocket handshake; None when none was made.
    """

    # What each request sets or asks for. CPython finds an attribute that has a default in a class
    # by searching (until 3.12 at least), one in a slot by its place; the rest keeps its defaults.
    __slots__ = (
        "_download",
        "_has_more",
        "_is_over",
        "_kept",
        "_lines",
        "_may_keep",
        "_prelude",
        "_sent",
        "_tried",
        "_upload",
        "accept",
        "answered_at",
        "attempts",
        "backend",
        "bytes_in",
        "bytes_out",
        "client",
        "cookie",
        "copy",
        "deadline",
        "downstream",
        "error",
        "head",
        "is_repeatable",
        "is_sent",
        "lane",
        "last_backend",
        "pick_reason",
        "plane",
        "pool",
        "queued_s",
        "ratelimit",
        "recoding",
        "request_id",
        "sent_at",
        "started",
        "status",
        "takes_idle",
        "tally",
        "trace_id",
        "upstream",
    )

    answer: Relay | None = None
    _trace = b""
    _tunnel: Tunnel | None = None
    _has_begun = False
    _was_refused = False
    _pause: IDelayedCall | None = None

    def __init__(
        self, downstream: "Downstream", head: RequestHead, lane: Lane, request_id: bytes, now: float
    ) -> None:
        self.downstream = downstream
        self.plane = downstream.plane
        self.head = head
        self.client = downstream.client
        self.lane: Lane = lane
        self.tally = lane.tally
        self.pool = NO_POOL
        self.request_id = request_id
        self.trace_id = self.pick_reason = self.ratelimit = self.error = ""
        self.started = now
        self.queued_s = self.sent_at = self.answered_at = 0.0
        self.attempts = self.status = self.bytes_in = self.bytes_out = 0
        self.deadline = NEVER
        self.takes_idle = True
        self.is_sent = head.fields.length == 0
        # The backend may have closed a kept connection just before the request; then it saw
        # nothing. It may also have died of it, so only what may be repeated is (RFC 9110 section
        # 9.2.2), and only without a body, for that is gone.
        self.is_repeatable = self.is_sent and head.method in IDEMPOTENT
        self.backend: Backend | None = None
        self.last_backend: Backend | None = None
        self._tried: tuple[Backend, ...] = ()
        self.cookie = b""
        self.upstream: Upstream | Call | None = None
        self.copy: Copy | None = None
        self.accept: bytes | None = None
        self.recoding: Recoding | None = None
        self._upload: Valve | None = None
        self._download: Valve | None = None
        # What was sent of the body, while the request may have to be sent again; else None. And its
        # decoder, once there was any.
        self._kept: bytearray | None = None
        self._sent: Body | None = None
        self._may_keep = self._has_more = self._is_over = False

    # The way there

    def start(self, pool: Pool, lines: bytes, prelude: bytes | None) -> None:
        """Send the request to one of `pool`; `lines` are the field lines it carries, and `prelude`
        is what it begins with if that is the same for every backend."""
        self.pool = pool
        self._lines = lines
        self._prelude = prelude
        if pool.sticky is not None:
            self._hide_cookie(pool.sticky)
        if not self.is_sent and (
            pool.is_multiplexed or (pool.model.retries.attempts and exchange.may_repeat(self.head))
        ):
            self._kept = bytearray()
        if pool.timeouts.total_s:
            self.plane.deadlines.arm(self, self.started + pool.timeouts.total_s)
        if self.accept is not None and pool.is_multiplexed:
            self.gave_up(exchange.NO_TUNNEL)
        elif self.lane.mirroring is None:
            self.carry(self.started)
        else:
            self._carry_and_copy(self.lane.mirroring)

    def _hide_cookie(self, sticky: Sticky) -> None:
        """The cookie that brings a client back is between it and us."""
        lines = sticky.without_cookie(self._lines)
        if lines != self._lines:
            self._lines = lines
            if self._prelude is not None:
                stages = self.lane.stages
                self._prelude = stages.prelude(self.head, self.head.authority, lines)

    def _carry_and_copy(self, mirroring: Mirroring) -> None:
        """The original first, unless its body is still to come: the copy waits for that."""
        self.copy = mirroring.begin(self, self._lines)
        self.carry(self.started)
        if self.copy is not None and self.head.fields.length == 0:
            copy, self.copy = self.copy, None
            copy.send(b"")

    @property
    def is_secure(self) -> bool:
        return bool(self.downstream.listener.scheme == b"https")

    def build(self, backend: Backend, is_wanted: bool) -> Upstream:
        return Upstream(backend, self.plane.deadlines, self if is_wanted else None)

    def preface_for(self, version: ProxyProtocol) -> bytes:
        return preface_of(self.downstream, version)

    def attached(self, upstream: Upstream | Call, now: float) -> None:
        self._dialling = None
        self.upstream = upstream
        upstream.bridge = self
        self.sent_at = now
        head, prelude = self.head, self._prelude
        if prelude is None:
            authority = upstream.backend.authority
            prelude = self.lane.stages.prelude(head, authority, self._lines)
        tracing = self.plane.tracing
        line = b"" if tracing is None else self._trace_line(tracing)
        if self._sent is None:
            upstream.ask(prelude, self.request_id, line)
        else:
            assert self._kept is not None
            upstream.ask(prelude, self.request_id, line, bytes(self._kept), self._sent)
        if self.is_sent or head.fields.expects_continue:
            self.plane.deadlines.arm(upstream, now + self.pool.timeouts.first_byte_s)
        else:
            upstream.deadline = NEVER
        if not self.is_sent:
            self.downstream.resume_body()

    def _trace_line(self, random: Callable[[], int]) -> bytes:
        """What names the request's trace, the same for all attempts; empty when the client has
        said it, and may."""
        if not self.trace_id:
            downstream = self.downstream
            said = self.head.fields.seen.get(b"traceparent", ()) if downstream.is_trusted else ()
            self.trace_id = trace_of(said)
            if not self.trace_id:
                self.trace_id, self._trace = new_trace(random())
        return self._trace

    def request_data(self, payload: bytes, body: Body) -> None:
        """Some of the request's body; `body` is its decoder, done or not."""
        upstream = self.upstream
        assert upstream is not None
        if self.copy is not None and not self.copy.goes_on(payload, body):
            self.copy = None
        self._sent = body
        if self._kept is not None:
            self._keep(payload)
        upstream.send_data(payload, body)
        if body.done:
            self.is_sent = True
            if self._upload is not None:
                self._upload.close()
            wait = upstream.idle_s if upstream.is_answering else self.pool.timeouts.first_byte_s
            self.plane.deadlines.arm(upstream, self.plane.deadlines.now() + wait)
            return
        downstream = self.downstream
        if self._upload is None:
            if not upstream.is_answering:
                upstream.deadline = NEVER
            self._upload = Valve(
                downstream.transport,
                upstream.transport,
                self.plane.deadlines,
                self.pool.timeouts.idle_s,
                lambda: self._failed(exchange.SLOW_BACKEND),
                lambda: self._splice_upload(body),
            )
        self._splice_upload(body)

    def _splice_upload(self, body: Body) -> None:
        """Let the system move the rest of the request's body, when it is worth it."""
        if isinstance(body, Counted) and body.left >= WORTH_BYTES and self.copy is None:
            self._kept = None
            if self._upload is not None:
                downstream = self.downstream
                self._upload.splice(body.left, downstream.body_moved, downstream.resume_body)

    def _keep(self, payload: bytes) -> None:
        assert self._kept is not None
        self._kept += payload
        if len(self._kept) > _KEPT_BYTES:
            self._kept = None

    @property
    def is_ready(self) -> bool:
        """Whether the request's body has somewhere to go."""
        return self.upstream is not None

    def upload_held(self, now: float) -> tuple[float, float]:
        """For how long the backend has held the client back with its body, and until when."""
        upload = self._upload
        return (0.0, 0.0) if upload is None else (upload.paused_for(now), upload.held_until(now))

    # The way back

    def interim(self, head: ResponseHead) -> None:
        """A 1xx answer: the real one is still to come. HTTP/1.0 clients know none of them."""
        assert self.upstream is not None
        if self.head.fields.minor:
            self._has_begun = True
            lines = head.fields.kept + self.upstream.vias[head.fields.minor]
            self.downstream.send_interim(head.status_line, lines)
        if head.status == 100 and self.downstream.body is not None:
            # It is for the client to go on.
            self.downstream.body.begin(self.plane.deadlines.now())
            self.upstream.deadline = NEVER

    def answered(self, head: ResponseHead, rest: bytes, framed: Framed | None = None) -> None:
        """The head of the answer, and what came with it; `framed` is the decoder of a body that
        comes in frames."""
        now = self.plane.deadlines.now()
        self.answered_at = now
        if head.status == 101:
            self._switch(head, rest)
            return
        if self.accept is not None and head.status < 300:
            # The upgrade neither made nor refused: what follows could be read in two ways, and to a
            # client of HTTP/2 it would be leave to go through.
            self.broken(bad_answer("upgrade", "The backend did not switch protocols."))
            return
        unwanted = self.pool.unwanted
        if (
            unwanted is not None
            and head.status in unwanted
            and self._repeat(exchange.UNWANTED, head.status, now - self.sent_at)
        ):
            return
        is_plain = self.lane.compressing is None or not self._recodes(head)
        if is_plain and len(rest) == head.whole and self.head.method != b"HEAD":
            # The commonest case: all of the answer, which needs no decoder.
            self._answer_whole(head, rest)
            self._finish(now)
            return
        answer = exchange.relay(head, self.head.method, self.head.fields.minor, framed)
        if self.recoding is not None:
            answer = self.recoding.relay(answer)
        if self.downstream.unframed is Framed:
            answer = exchange.framed(answer)
        self.answer = answer
        body = answer.body
        payload = b""
        if body is not None:
            try:
                payload = body.feed(rest)
            except ProtocolError as problem:
                self.answer = None
                self.broken(problem)
                return
            rest = body.rest
        self._may_keep = head.fields.persistent
        self._has_more = bool(rest)
        self._answer(head, answer.framing, payload, until_close=answer.until_close)
        if body is None or body.done:
            self._finish(now)
        else:
            self._stream(body, now)

    def _recodes(self, head: ResponseHead) -> bool:
        """Whether the answer is compressed, or would be for another client."""
        assert self.lane.compressing is not None
        self.recoding = self.lane.compressing.begin(self.head, head)
        return self.recoding is not None

    def _answer_whole(self, head: ResponseHead, body: bytes) -> None:
        """Write an answer that came all at once, with what was made of the same head before."""
        self.status = head.status
        self.bytes_out = len(body)
        self._may_keep = head.fields.persistent
        prelude = head.prelude
        if not prelude or self.lane.stages.dresses or self.cookie:
            prelude = self._answer_prelude(head, head.fields.length_line)
            if head.fields.has_date and not (self.lane.stages.dresses or self.cookie):
                head.prelude = prelude
        self.downstream.send_answer(self, prelude, body)

    def _answer_prelude(self, head: ResponseHead, framing: bytes) -> bytes:
        """The head of the answer up to the value of X-Request-ID."""
        assert self.upstream is not None
        fields = head.fields
        lines = fields.kept + self.upstream.vias[fields.minor]
        if not fields.has_date:
            lines += b"Date: %b\r\n" % self.plane.date
        lines += self.cookie
        stages = self.lane.stages
        if stages.dresses:
            lines = stages.dress(lines, self.head, self.told)
        if self.recoding is not None:
            lines = self.recoding.lines(lines)
        return b"HTTP/1.1 %b\r\n%b%bX-Request-ID: " % (head.status_line, lines, framing)

    def _answer(
        self, head: ResponseHead, framing: bytes, payload: bytes, *, until_close: bool
    ) -> None:
        """Write the head of the answer, and the first of its body."""
        self.status = head.status
        answer = self.answer
        if self.recoding is not None and answer is not None and answer.body is not None:
            payload = self.recoding.squeeze(payload, answer.body)
        self.bytes_out = len(payload)
        if answer is not None and answer.chunked and answer.body is not None:
            payload = encode(payload, answer.body)
        self.downstream.send_answer(
            self,
            self._answer_prelude(head, framing),
            payload,
            None if answer is None else answer.body,
            until_close=until_close,
        )

    def _stream(self, body: Body, now: float) -> None:
        """The answer's body goes on: it comes by `answer_data`."""
        upstream = self.upstream
        assert upstream is not None
        upstream.body = body
        self.plane.deadlines.arm(upstream, now + upstream.idle_s)
        self._download = Valve(
            upstream.transport,
            self.downstream.transport,
            self.plane.deadlines,
            self.downstream.limits.write_timeout_s,
            lambda: self._cut("cD"),
            lambda: self._splice_answer(body),
        )
        self._splice_answer(body)

    def _splice_answer(self, body: Body) -> None:
        """Let the system move the rest of the answer's body, when it is worth it."""
        if self.recoding is not None and not self.recoding.is_as_it_was:
            return
        if isinstance(body, Counted) and body.left >= WORTH_BYTES and self._download is not None:
            self._download.splice(
                body.left,
                lambda count: self._answer_moved(body, count),
                lambda: self.answer_data(body.feed(b""), body),
            )

    def _answer_moved(self, body: Counted, count: int) -> None:
        assert self.upstream is not None
        body.left -= count
        self.bytes_out += count
        now = self.plane.deadlines.now()
        self.plane.deadlines.arm(self.upstream, now + self.pool.timeouts.idle_s)

    def answer_data(self, payload: bytes, body: Body) -> None:
        """Some of the answer's body; `body` is its decoder, done or not."""
        assert self.answer is not None
        if self.recoding is not None:
            payload = self.recoding.squeeze(payload, body)
        self.bytes_out += len(payload)
        if self.answer.chunked:
            payload = encode(payload, body)
        self.downstream.send_data(payload, body)
        if body.done:
            self._has_more = bool(body.rest)
            self._finish(self.plane.deadlines.now())
        else:
            self._splice_answer(body)

    def _is_all_sent(self, upstream: Upstream | Call) -> bool:
        """Whether the backend has the whole body; what it has not could be taken for another
        request."""
        return self.is_sent and not unsent(upstream.transport)

    def _finish(self, now: float) -> None:
        """The answer is through."""
        upstream, self.upstream = self.upstream, None
        if self._upload is not None or self._download is not None:
            self._close_valves()
        if upstream is not None:
            has_body = self.head.fields.length != 0
            if self._has_more or (has_body and not self._is_all_sent(upstream)):
                upstream.abort()
            elif self._may_keep:
                upstream.release(now)
            else:
                upstream.close()
        self._over(now, "--")
        self.downstream.finished(now)

    def _switch(self, head: ResponseHead, rest: bytes) -> None:
        """101: a tunnel, if one was asked for and the backend proves that it understood."""
        upstream, downstream = self.upstream, self.downstream
        # In HTTP/2 there is no 101.
        assert isinstance(upstream, Upstream)
        try:
            check_switch(head.fields, self.accept)
            self.status = downstream.send_switch(self, head)
        except ProtocolError as problem:
            self.broken(problem)
            return
        self.plane.deadlines.disarm(self)
        tunnel = self._tunnel = Tunnel(
            downstream.transport,
            upstream.transport,
            self.plane.deadlines,
            idle_s=TUNNEL_IDLE_S,
            write_timeout_s=downstream.limits.write_timeout_s,
            ended=self._tunnel_ended,
        )
        upstream.become_tunnel(tunnel)
        if rest:
            tunnel.from_backend(rest)
        downstream.become_tunnel(tunnel)

    def _tunnel_ended(self, termination: str) -> None:
        assert self._tunnel is not None
        self.bytes_in, self.bytes_out = self._tunnel.bytes_in, self._tunnel.bytes_out
        self._over(self.plane.deadlines.now(), termination)

    # What goes wrong

    def broken(self, problem: ProtocolError) -> None:
        """The backend's bytes are not a valid answer."""
        wire = "http1_upstream" if self.upstream is None else self.upstream.wire
        self.downstream.listener.count_error(wire, problem.kind)
        self._failed(exchange.BAD_ANSWER)

    def backend_timed_out(self) -> None:
        upstream = self.upstream
        if self._download is not None and upstream is not None:
            now = self.plane.deadlines.now()
            # It was the client that took no more; or the backend still reads, which has deadlines
            # of its own.
            reads = self._sent is not None and not self.is_sent
            patience = (now if reads else self._download.held_until(now)) + upstream.idle_s
            if patience > now:
                self.plane.deadlines.arm(upstream, patience)
                return
        self._failed(exchange.SLOW_BACKEND if self.status else exchange.FIRST_BYTE)

    def backend_lost(self, upstream: Upstream | Call, is_clean: bool) -> None:
        """The backend's connection is gone: that was the answer's end, or a failure."""
        self.upstream = None
        body = self.answer.body if self.answer is not None else None
        if is_clean and isinstance(body, UntilClose):
            body.done = True
            self.answer_data(b"", body)
        elif upstream.has_served and upstream.has_answered_nothing and self.is_repeatable:
            self._close_valves()
            assert self.backend is not None
            # It may be what connections end of.
            self.is_repeatable = False
            self.pool.count_retry("reused_connection_closed")
            self.attempts += 1
            self.dial(self.backend)
        else:
            # What has begun to answer has done its work.
            self._has_begun = self._has_begun or not upstream.has_answered_nothing
            self._failed(exchange.RESET)

    def backend_refused(self) -> None:
        """The backend has not begun with the request, and says so: it is as good as never sent,
        if all of it is still at hand."""
        self.upstream = None
        self._close_valves()
        if self._sent is not None and self._kept is None:
            self._failed(exchange.UNPROCESSED)
            return
        assert self.backend is not None
        if not self._was_refused:
            # Its connection may have been about to end.
            self._was_refused = True
            self.pool.count_retry("refused_stream")
            self.attempts += 1
            self.dial(self.backend)
        else:
            self.refused(exchange.UNPROCESSED)

    def gave_up(self, failure: Failure) -> None:
        self._failed(failure)

    def expire(self, now: float) -> None:
        """The whole request has taken too long."""
        self._failed(exchange.TOTAL)

    def client_gone(self, termination: str) -> None:
        """The client's connection is lost, or not worth having: stop the backend's work."""
        if not self._is_over:
            if self._place is not None:
                termination = "CQ"
            self._drop_backend()
            if not self.answered_at:
                # No answer, and no fault of the backend.
                self.leave_backend(None)
            self._over(self.plane.deadlines.now(), termination)

    def _failed(self, failure: Failure) -> None:
        """No good answer will come: say so, or cut the one that began."""
        if self._is_over:
            return
        if self.status:
            self._cut("SD" if failure.termination.isupper() else "sD")
            return
        if failure is exchange.RESET and self._repeat(failure):
            return
        self._drop_backend()
        self.error = failure.reason
        self.status = failure.status
        self._over(self.plane.deadlines.now(), failure.termination)
        self.downstream.answer_failure(self, failure)

    def _repeat(self, failure: Failure, status: int = 0, seconds: float = 0.0) -> bool:
        """Ask again, after a while, when the request and the pool allow it; says whether it will.
        `status` is what the backend answered, if it did, after so many seconds."""
        pool, backend = self.pool, self.backend
        if backend is None or self._has_begun:
            return False
        retries = pool.model.retries
        self._costly += 1
        is_kept = self._kept is not None
        decision = again(retries, failure, self._costly, self.head, sent=True, has_body=is_kept)
        if decision != "repeat" or not pool.grants_retry(self.plane.deadlines.now()):
            return False
        self._drop_backend()
        self.answered_at = 0.0
        self.failure = failure
        self._tried = (*self._tried, backend)
        if not pool.chooser.has_other_than(self._tried):
            # Better the same again than none.
            self._tried = ()
        self.leave_backend(status, failure.reason, seconds)
        pool.count_retry(failure.reason)
        luck = self.plane.luck
        delay = backoff(self._costly, retries.backoff_s, retries.max_backoff_s, luck)
        self._pause = self.plane.reactor.callLater(delay, self._paused)
        return True

    def _paused(self) -> None:
        self._pause = None
        self.carry(self.plane.deadlines.now())

    def _cut(self, termination: str) -> None:
        """An answer that began cannot end well: the client must see that it is not whole."""
        self._drop_backend()
        self._over(self.plane.deadlines.now(), termination)
        self.downstream.cut()

    def _drop_backend(self) -> None:
        self._close_valves()
        self.leave_queue()
        self.forget_dialling()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    def _close_valves(self) -> None:
        for valve in (self._upload, self._download):
            if valve is not None:
                valve.close()
        self._upload = self._download = None

    def _over(self, now: float, termination: str) -> None:
        """Account for the request, once."""
        self._is_over = True
        if self.copy is not None:
            self.copy.drop()
            self.copy = None
        if self.deadline != NEVER:
            self.plane.deadlines.disarm(self)
        if self.answered_at:
            self.leave_backend(self.status, "", self.answered_at - self.sent_at)
        else:
            self.leave_backend(0, self.error)
        self.plane.record(self, now, termination)
