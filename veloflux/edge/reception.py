"""From a request's head to the bridge that takes it, or the answer that refuses it: the same for
every version of HTTP.

A connection remembers what became of its last head, for most clients send the same again.
"""

from typing import TYPE_CHECKING, Any

from veloflux.core.flow import exchange
from veloflux.core.flow.quota import Quota
from veloflux.core.flow.stages import Stages
from veloflux.core.flow.upload import Upload
from veloflux.core.model.traffic import Limits
from veloflux.core.wire import grpc, hygiene
from veloflux.core.wire.error import DeclinedError, ProtocolError
from veloflux.core.wire.fields import RequestFields
from veloflux.core.wire.http1 import REMEMBERED, RequestHead
from veloflux.core.wire.preface import Preface
from veloflux.core.wire.upgrade import no_tunnel
from veloflux.edge.bridge import Bridge
from veloflux.edge.deadlines import NEVER
from veloflux.edge.lane import Lane
from veloflux.edge.terms import Agreement

if TYPE_CHECKING:
    from veloflux.edge.listener import Listener
    from veloflux.edge.plane import Plane

# Whose request it is, a connection or one stream of many, as a bridge knows it.
Side = Any


class Reception:
    """What a client's connection knows of its requests."""

    plane: "Plane"
    limits: Limits

    _head: RequestHead | None = None
    _lines = b""
    # The lane of the last head in this version, how the head begins for any backend there (None
    # when it is not the same for all), and whether it may be sent again without a question.
    _lane: Lane | None = None
    _version = -1
    _prelude: bytes | None = None
    _is_plain = False
    _edited = b""
    # How the log tells who it is.
    text = ""
    # What a PROXY header said of the connection, and who sent it.
    preface: Preface | None = None
    sender = ""
    # What came of its TLS handshake; None in clear text.
    agreement: Agreement | None = None

    def __init__(self, listener: "Listener", peer: str) -> None:
        self.listener = listener
        self.plane = listener.plane
        self.limits = listener.limits
        self.peer = peer
        self.client = peer
        self.is_trusted = listener.trusts(peer)

    def begin(self, side: Side, head: RequestHead) -> None:
        """Take a request, which is `side`'s."""
        now = self.plane.deadlines.now()
        lane = self._lane
        if (
            lane is None
            or head is not self._head
            or self._version != self.plane.version
            or not self._is_plain
        ):
            self._admit(side, head, now)
            return
        side.deadline = NEVER
        side.bridge = bridge = Bridge(side, head, lane, self.plane.next_id(), now)
        bridge.start(lane.pool or lane.pick(self.plane.luck()), self._edited, self._prelude)

    def _admit(self, side: Side, head: RequestHead, now: float) -> None:
        """Find out what becomes of a request."""
        if head is not self._head:
            self._meet(head, self._head)
            side.client, side.text = self.client, self.text
        fields = head.fields
        request_id = hygiene.request_id(fields) if self.is_trusted else None
        if request_id is None:
            request_id = self.plane.next_id()
        if self.agreement is not None and not self.agreement.covers(head.host):
            side.refuse(head, exchange.misdirected(), request_id)
            return
        lane = self.plane.table.find(head.host, head.path, head.method, fields.value)
        if lane is None:
            side.refuse(head, exchange.unrouted(), request_id)
            return
        bridge = Bridge(side, head, lane, request_id, now)
        stages = lane.stages
        pool = lane.pool or lane.pick(self.plane.luck())
        try:
            bridge.accept = stages.admit(head, self.client)
            if side.is_tunnel and bridge.accept is None:
                raise no_tunnel()
            if stages.quota is not None:
                self._count(bridge, stages.quota, now)
            if fields.length != 0:
                limits = self.limits
                limit = stages.body_limit(limits)
                side.body = Upload(
                    exchange.request_body(head, limit, side.unframed),
                    limit,
                    limits,
                    now,
                    awaits_leave=fields.expects_continue,
                    is_call=pool.is_multiplexed and grpc.is_call(head),
                )
        except ProtocolError as problem:
            if problem.status >= 400 and not isinstance(problem, DeclinedError):
                self.listener.count_error(side.wire, problem.kind)
            if problem.kind != "preflight":
                problem.lines += stages.lines(head, bridge.told)
            side.refuse(head, problem, request_id, bridge)
            return
        side.bridge = bridge
        if lane is not self._lane:
            self._lane = lane
            self._prepare(head, stages, is_handshake=bridge.accept is not None)
        self._version = self.plane.version
        lines, prelude = self._edited, self._prelude
        if self._head is None:
            self._forget_head()
        if side.body is None:
            side.deadline = NEVER
        else:
            side.watch_body(self.limits.body_timeout_s, now)
        bridge.start(pool, lines, prelude)

    def _count(self, bridge: Bridge, quota: Quota, now: float) -> None:
        """Count a request against its route's limit; raises ProtocolError when it is over it."""
        decision = quota.decide(bridge.head, self.client, self.plane.debts, now)
        if decision.allowed:
            bridge.ratelimit = "allowed"
            bridge.tally.allowed += 1
            bridge.told = quota.lines(decision)
        else:
            bridge.ratelimit = "limited"
            bridge.tally.limited += 1
            raise quota.refusal(decision)

    def _meet(self, head: RequestHead, last: RequestHead | None) -> None:
        """Take note of a head that is not the one before."""
        fields = head.fields
        self._head = head if len(head.raw) <= REMEMBERED else None
        self._lane = None
        if last is None or fields is not last.fields:
            self._lines = self._lines_for(fields, fields.authority)
            if self.is_trusted:
                self.client = hygiene.client_address(fields, self.peer, self.listener.trusts)
                self.text = ""

    def _prepare(self, head: RequestHead, stages: Stages, *, is_handshake: bool) -> None:
        """Make what a backend gets of `head` by the route that took it."""
        fields, lines = head.fields, self._lines
        if head.authority != fields.authority:
            lines = self._lines_for(fields, head.authority)
        if head.method == b"OPTIONS":
            lines = exchange.one_hop_less(head, lines)
        if stages.edit_request is not None:
            lines = stages.edit_request(lines)
        if is_handshake:
            lines += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        self._edited = lines
        # A trusted proxy may name each request itself.
        self._is_plain = fields.length == 0 and not self.is_trusted and not stages.judges(head)
        is_same = stages.keeps_host and head.authority
        self._prelude = stages.prelude(head, head.authority, lines) if is_same else None

    def _forget_head(self) -> None:
        """It is too long to be kept for a comparison with the next."""
        self._lane = self._prelude = None
        self._lines = self._edited = b""

    def _lines_for(self, fields: RequestFields, authority: bytes) -> bytes:
        scheme = self.listener.scheme
        subject = b"" if self.agreement is None else self.agreement.subject
        return hygiene.request_lines(fields, authority, self.peer, scheme, self.is_trusted, subject)
