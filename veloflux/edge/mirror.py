"""Copies of requests for a second pool. Nobody waits for them: their answers are read and dropped,
their failures counted, and what they take is bounded by a budget of their own.
"""

from typing import TYPE_CHECKING

from veloflux.core.flow import exchange
from veloflux.core.flow.exchange import Failure
from veloflux.core.model import metrics
from veloflux.core.model.policies import Mirror
from veloflux.core.model.traffic import ProxyProtocol
from veloflux.core.policy import mirror as policy
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.fields import without
from veloflux.core.wire.framing import Body, Framed, UntilClose
from veloflux.core.wire.http1 import ResponseHead
from veloflux.edge.backend import Backend
from veloflux.edge.carrier import Carrier
from veloflux.edge.deadlines import NEVER, Timed
from veloflux.edge.http2.call import Call
from veloflux.edge.pool import Pool
from veloflux.edge.tally import Counted, increase
from veloflux.edge.transport import unsent
from veloflux.edge.upstream import Upstream

if TYPE_CHECKING:
    from veloflux.edge.bridge import Bridge

# So that whoever gets it can leave undone what must not be done twice. A client's own word is not
# passed on in a copy, and the body needs no leave: it is there.
_MARK = b"X-Mirrored: 1\r\n"
_NOT_COPIED = (b"x-mirrored", b"expect")


class Mirrored:
    """What was counted on one route's mirror; it outlives the snapshots that have it."""

    __slots__ = ("results", "under_way")

    def __init__(self) -> None:
        self.under_way = 0
        self.results: dict[str, int] = {}

    def take(self, route: str) -> Counted:
        """What was counted since the last time."""
        results, self.results = self.results, {}
        for result, count in results.items():
            yield from increase(metrics.MIRRORED_REQUESTS, (route, result), count)


class Mirroring:
    """A route's mirror at run time."""

    __slots__ = ("counted", "model", "pool")

    def __init__(self, model: Mirror, pool: Pool, counted: Mirrored) -> None:
        self.model = model
        self.pool = pool
        self.counted = counted

    def begin(self, bridge: "Bridge", lines: bytes) -> "Copy | None":
        """A copy of a request that is about to be sent with the field lines `lines`; None when it
        gets none. A handshake has no copy: nobody would talk through its tunnel."""
        if bridge.accept is not None or not policy.is_chosen(self.model, bridge.plane.luck()):
            return None
        copy = Copy(self, bridge, lines)
        if policy.has_room(self.model, self.counted.under_way, bridge.head.fields.length):
            copy.enter()
            return copy
        copy.count("dropped")
        return None


class Copy(Carrier, Timed):
    """One request's, from its head to the end of its answer. Its body is collected while it passes,
    and it is sent when that is whole."""

    upstream: Upstream | Call | None = None
    _status = 0
    _sent_at = 0.0
    _answered_at = 0.0
    _may_keep = False
    # Its body, and what decoded that.
    _payload = b""
    _sent: Body | None = None

    def __init__(self, mirroring: Mirroring, bridge: "Bridge", lines: bytes) -> None:
        self._mirroring = mirroring
        self.plane = bridge.plane
        self.pool = mirroring.pool
        self.head = bridge.head
        self.client = bridge.client
        self.is_repeatable = bridge.is_repeatable
        self._lane = bridge.lane
        self._lines = lines
        self._request_id = bridge.request_id
        version = self.pool.proxy_protocol
        self._preface = b"" if version is None else bridge.preface_for(version)
        self._body = bytearray()

    # Before it is sent

    def enter(self) -> None:
        """It is under way from now on."""
        self._mirroring.counted.under_way += 1
        self.plane.copies.add(self)

    def goes_on(self, payload: bytes, body: Body) -> bool:
        """Take some of the request's body; `body` is its decoder. Says whether more is wanted."""
        if not policy.fits(self._mirroring.model, len(self._body) + len(payload)):
            self.drop()
            return False
        self._body += payload
        if not body.done:
            return True
        self._sent = body
        self.send(bytes(self._body))
        return False

    def drop(self) -> None:
        """It is never sent."""
        self._over("dropped")

    def send(self, body: bytes) -> None:
        """The request is whole, with this body."""
        self._payload = body
        self._body.clear()
        now = self.plane.deadlines.now()
        self.plane.deadlines.arm(self, now + policy.total_s(self.pool.timeouts.total_s))
        # In no queue.
        self._waits_until = now
        self.carry(now)

    # The way there

    def build(self, backend: Backend, is_wanted: bool) -> Upstream:
        return Upstream(backend, self.plane.deadlines, self if is_wanted else None)

    def preface_for(self, version: ProxyProtocol) -> bytes:
        return self._preface or super().preface_for(version)

    def attached(self, upstream: Upstream | Call, now: float) -> None:
        self._dialling = None
        self.upstream = upstream
        upstream.bridge = self
        self._sent_at = now
        head, stages = self.head, self._lane.stages
        is_same = stages.keeps_host and head.authority
        authority = head.authority if is_same else upstream.backend.authority
        lines = without(self._lines, _NOT_COPIED) + _MARK
        prelude = stages.prelude(head, authority, lines)
        upstream.ask(prelude, self._request_id, b"", self._payload, self._sent)
        self.plane.deadlines.arm(upstream, now + self.pool.timeouts.first_byte_s)

    def gave_up(self, failure: Failure) -> None:
        self._over("failed")

    # The way back

    def interim(self, head: ResponseHead) -> None:
        """A 1xx answer: the real one is still to come."""

    def answered(self, head: ResponseHead, rest: bytes, framed: Framed | None = None) -> None:
        upstream = self.upstream
        assert upstream is not None
        self._answered_at = now = self.plane.deadlines.now()
        self._status = head.status
        self._may_keep = head.fields.persistent
        if head.status == 101:
            # Nobody asked to.
            self._fail()
            return
        body = exchange.relay(head, self.head.method, 1, framed).body
        if body is None:
            self._finish(bool(rest))
            return
        try:
            body.feed(rest)
        except ProtocolError:
            self._fail()
            return
        if body.done:
            self._finish(bool(body.rest))
        else:
            upstream.body = body
            self.plane.deadlines.arm(upstream, now + self.pool.timeouts.idle_s)

    def answer_data(self, payload: bytes, body: Body) -> None:
        if body.done:
            self._finish(bool(body.rest))

    def _finish(self, has_more: bool) -> None:
        """The answer is through."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            if has_more or unsent(upstream.transport):
                upstream.abort()
            elif self._may_keep:
                upstream.release(self.plane.deadlines.now())
            else:
                upstream.close()
        self._over("sent")

    # What goes wrong

    def broken(self, problem: ProtocolError) -> None:
        self._fail()

    def backend_timed_out(self) -> None:
        self._fail()

    def backend_refused(self) -> None:
        """The backend has not begun with it; a copy is not worth another attempt."""
        self.upstream = None
        self._fail()

    def backend_lost(self, upstream: Upstream | Call, is_clean: bool) -> None:
        self.upstream = None
        if is_clean and isinstance(upstream.body, UntilClose):
            self._finish(False)
        elif upstream.has_served and upstream.has_answered_nothing and self.is_repeatable:
            # As with what it is a copy of: the backend had closed the connection before.
            assert self.backend is not None
            self.is_repeatable = False
            self.pool.count_retry("reused_connection_closed")
            self.attempts += 1
            self.dial(self.backend)
        else:
            self._fail()

    def expire(self, now: float) -> None:
        """It has taken too long altogether."""
        self._fail()

    def abandon(self) -> None:
        """The process goes now."""
        self._fail()

    def _fail(self) -> None:
        self._over("failed")

    def _over(self, result: str) -> None:
        """Account for it, and let go of what it has."""
        self.forget_dialling()
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        if self.deadline != NEVER:
            self.plane.deadlines.disarm(self)
        self.leave_backend(self._status, "", self._answered_at - self._sent_at)
        self._body.clear()
        self._payload = b""
        self.plane.copies.discard(self)
        self._mirroring.counted.under_way -= 1
        self.count(result)

    def count(self, result: str) -> None:
        results, tally = self._mirroring.counted.results, self._lane.tally
        results[result] = results.get(result, 0) + 1
        if not tally.is_new:
            tally.is_new = True
            self.plane.counted.append(tally)
