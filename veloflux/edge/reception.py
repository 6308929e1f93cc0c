"""From a request's head to the bridge that takes it, or the answer that refuses it: the same for
every version of HTTP.

A connection remembers what became of its last head, for most clients send the same again; and those
that begin a connection for each request, begin like the one before.
"""

from typing import TYPE_CHECKING, Any

from veloflux.core.flow import exchange
from veloflux.core.flow.quota import Quota
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


class Known:
    """What became of a head that came from one peer.

    `lines` are what a backend gets of its fields, `edited` what it gets by `lane`, the lane that
    took it, and `prelude` how the request begins for any backend there; None when it is not the
    same for all. In `version`, it may be sent again without a question.
    """

    __slots__ = ("edited", "head", "lane", "lines", "prelude", "version")

    def __init__(self, head: RequestHead | None = None, lines: bytes = b"") -> None:
        self.head = head
        self.lines = self.edited = lines
        self.lane: Lane | None = None
        self.prelude: bytes | None = None
        self.version = -1


# Peers, and what their last connections began with.
Book = dict[str, Known]
MOST_PEERS = 64
STRANGER = Known()


class Reception:
    """What a client's connection knows of its requests."""

    plane: "Plane"
    limits: Limits

    # Until the first answer is through.
    _book: Book | None = None
    # By the minor version.
    vias = hygiene.VIAS
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
        self._known = STRANGER

    def begin(self, side: Side, head: RequestHead) -> None:
        """Take a request, which is `side`'s."""
        now = self.plane.deadlines.now()
        known = self._known
        lane = known.lane
        if lane is None or head is not known.head or known.version != self.plane.version:
            self._admit(side, head, now)
            return
        side.deadline = NEVER
        side.bridge = bridge = Bridge(side, head, lane, self.plane.next_id(), now)
        bridge.start(lane.pool or lane.pick(self.plane.luck()), known.edited, known.prelude)

    def share(self, book: Book) -> None:
        """Begin with what is known of the peer, and tell of it; for connections that differ in
        nothing else."""
        self._book = book
        self._known = book.get(self.peer, STRANGER)

    def _admit(self, side: Side, head: RequestHead, now: float) -> None:
        """Find out what becomes of a request."""
        known = self._known
        if head is not known.head:
            known = self._meet(head, known)
            side.client, side.text = self.client, self.text
        fields = head.fields
        request_id = hygiene.request_id(fields) if self.is_trusted else None
        if request_id is None:
            request_id = self.plane.next_id()
        if self._is_misdirected(head):
            problem = exchange.misdirected(is_secure=self.agreement is not None)
            side.refuse(head, problem, request_id)
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
        if lane is not known.lane:
            self._prepare(known, head, lane, is_handshake=bridge.accept is not None)
        # A trusted proxy may name each request itself.
        if fields.length == 0 and not self.is_trusted and not stages.judges(head):
            known.version = self.plane.version
        if side.body is None:
            side.deadline = NEVER
        else:
            side.watch_body(self.limits.body_timeout_s, now)
        bridge.start(pool, known.edited, known.prelude)

    def _is_misdirected(self, head: RequestHead) -> bool:
        """Whether its client should not ask for that on this connection."""
        if self.agreement is None:
            # A trusted proxy may have ended TLS before us.
            return head.is_https and not self.is_trusted
        return not self.agreement.covers(head.host)

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

    def _meet(self, head: RequestHead, before: Known) -> Known:
        """Take note of a head that is not the one before."""
        fields = head.fields
        if before.head is not None and fields is before.head.fields:
            lines = before.lines
        else:
            lines = self._lines_for(fields, fields.authority)
            if self.is_trusted:
                self.client = hygiene.client_address(fields, self.peer, self.listener.trusts)
                self.text = ""
        known = Known(head, lines)
        if len(head.raw) > REMEMBERED:
            # It is too long to be kept for a comparison with the next.
            self._known = STRANGER
            return known
        self._known = known
        book = self._book
        if book is not None:
            if len(book) >= MOST_PEERS and self.peer not in book:
                del book[next(iter(book))]
            book[self.peer] = known
        return known

    def _prepare(self, known: Known, head: RequestHead, lane: Lane, *, is_handshake: bool) -> None:
        """Make what a backend gets of `head` by the lane that took it."""
        stages, lines = lane.stages, known.lines
        if head.authority != head.fields.authority:
            lines = self._lines_for(head.fields, head.authority)
        if head.method == b"OPTIONS":
            lines = exchange.one_hop_less(head, lines)
        if stages.edit_request is not None:
            lines = stages.edit_request(lines)
        if is_handshake:
            lines += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        known.lane = lane
        known.edited = lines
        is_same = stages.keeps_host and head.authority
        known.prelude = stages.prelude(head, head.authority, lines) if is_same else None

    def _lines_for(self, fields: RequestFields, authority: bytes) -> bytes:
        scheme = self.listener.scheme
        subject = b"" if self.agreement is None else self.agreement.subject
        via = self.vias[fields.minor]
        return hygiene.request_lines(
            fields, authority, self.peer, scheme, via, self.is_trusted, subject
        )
