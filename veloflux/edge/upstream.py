"""One HTTP/1.1 connection to a backend: dialled for a request, kept for the next ones."""

from typing import TYPE_CHECKING, Any

from twisted.internet import error
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from veloflux.core.wire.error import ProtocolError, bad_answer
from veloflux.core.wire.framing import Body, encode
from veloflux.core.wire.http1 import REMEMBERED, ResponseHead, read_response
from veloflux.core.wire.hygiene import VIAS
from veloflux.edge.backend import Backend
from veloflux.edge.deadlines import Deadlines, Timed
from veloflux.edge.transport import unsent
from veloflux.edge.tunnel import Tunnel

if TYPE_CHECKING:
    from veloflux.edge.bridge import Bridge
    from veloflux.edge.mirror import Copy

# Seconds for which a connection is kept that is one too many, and up to how many times as many as
# may stay: load comes in bursts, and to open another for the next costs more than the request.
_SURPLUS_S = 1.0
_SURPLUS = 4
# Interim answers to one request: RFC 9110 section 15.2 sets no bound, and a flood is of no use.
_MAX_INTERIM = 16


@implementer(IHalfCloseableProtocol)
class Upstream(Protocol, Timed):
    """Idle, or at work for one bridge; what arrives while it is idle condemns it.

    `has_served` tells a kept connection, which its backend may have closed unseen, from a new one.
    """

    transport: Any
    wire = "http1_upstream"
    vias = VIAS

    bridge: "Bridge | Copy | None" = None
    tunnel: Tunnel | None = None
    body: Body | None = None
    head: ResponseHead | None = None
    has_served = False
    is_answering = False
    _buffer = b""
    _interim = 0

    def __init__(
        self, backend: Backend, deadlines: Deadlines, bridge: "Bridge | Copy | None"
    ) -> None:
        self.backend = backend
        self.deadlines = deadlines
        self.bridge = bridge
        # It began with a PROXY header, so it is for one client's request and no other's.
        self.is_private = False

    def connectionMade(self) -> None:
        self.backend.connected(1)
        self.backend.tune(self.transport)
        now = self.deadlines.now()
        version = self.backend.pool.proxy_protocol
        if self.bridge is None:
            self.release(now)
        elif version is not None:
            self.is_private = True
            if self.backend.trust is None:
                # Over TLS it has gone before that.
                self.transport.write(self.bridge.preface_for(version))
            self.bridge.attached(self, now)
        else:
            self.bridge.attached(self, now)

    def dataReceived(self, data: bytes) -> None:
        bridge = self.bridge
        if bridge is None:
            self.abort()
            return
        if not self.is_answering:
            head = self.head
            if head is not None and not self._buffer and data.startswith(head.raw):
                # Most answers of a backend begin alike.
                self.is_answering = True
                bridge.answered(head, data[len(head.raw) :])
            else:
                self._read_head(bridge, data)
            return
        body = self.body
        assert body is not None
        try:
            payload = body.feed(data)
        except ProtocolError as problem:
            bridge.broken(problem)
            return
        self.deadlines.arm(self, self.deadlines.now() + self.backend.pool.timeouts.idle_s)
        bridge.answer_data(payload, body)

    def ask(
        self,
        prelude: bytes,
        request_id: bytes,
        more: bytes = b"",
        payload: bytes = b"",
        body: Body | None = None,
    ) -> None:
        """Send a request's head, of which `prelude` goes up to the value of X-Request-ID and `more`
        are further lines; and the first of its body, if `body` is its decoder."""
        wire = b"".join((prelude, request_id, b"\r\n", more, b"\r\n"))
        self.transport.write(wire if body is None else wire + self._coded(payload, body))

    def send_data(self, payload: bytes, body: Body) -> None:
        """More of the request's body; `body` is its decoder, done or not."""
        self.transport.write(self._coded(payload, body))

    def _coded(self, payload: bytes, body: Body) -> bytes:
        assert self.bridge is not None
        return encode(payload, body) if self.bridge.head.fields.length is None else payload

    @property
    def idle_s(self) -> float:
        """For how long an answer may make no progress."""
        return self.backend.pool.timeouts.idle_s

    @property
    def has_answered_nothing(self) -> bool:
        """Not a byte of an answer has come."""
        return not (self.is_answering or self._buffer or self._interim)

    def release(self, now: float) -> None:
        """The answer is through: keep the connection for another request, or close it."""
        backend = self.backend
        pool, idle = backend.pool, backend.idle
        self.bridge = None
        self.body = None
        self.has_served = True
        self.is_answering = False
        self._interim = 0
        count = len(idle)
        if self.is_private or backend.is_retired or count >= _SURPLUS * pool.max_idle:
            self.transport.loseConnection()
            return
        # The last is taken first: a load that stays uses those that are too many, one that sinks
        # loses them.
        idle[self] = None
        timeout_s = pool.idle_timeout_s if count < pool.max_idle else _SURPLUS_S
        self.deadlines.arm(self, now + timeout_s)

    def become_tunnel(self, tunnel: Tunnel) -> None:
        """From now on bytes go to `tunnel`, unread and without a question per read."""
        self.deadlines.disarm(self)
        self.bridge = None
        self.tunnel = tunnel
        self.dataReceived = tunnel.from_backend  # type: ignore[method-assign]  # no question per read

    def close(self) -> None:
        """End a connection whose last answer is through."""
        self.bridge = None
        self._forget()
        self.transport.loseConnection()

    def abort(self) -> None:
        """End the connection at once; its bridge is not told."""
        self.bridge = None
        self._forget()
        self.transport.abortConnection()

    def expire(self, now: float) -> None:
        if self.bridge is None:
            self.close()
        else:
            self.bridge.backend_timed_out()

    def readConnectionLost(self) -> None:
        if self.tunnel is not None:
            self.tunnel.backend_finished()
        else:
            self._lost(is_clean=True)
            if unsent(self.transport):
                # It has said all it wants to, and may never read this.
                self.transport.abortConnection()
            else:
                self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our own half-close went out; the backend may still send."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.backend.connected(-1)
        if self.tunnel is not None:
            self.tunnel.lost("SD")
        self._lost(is_clean=bool(reason.check(error.ConnectionDone)))

    def _lost(self, *, is_clean: bool) -> None:
        self._forget()
        bridge, self.bridge = self.bridge, None
        if bridge is not None:
            bridge.backend_lost(self, is_clean)

    def _forget(self) -> None:
        self.deadlines.disarm(self)
        self.backend.idle.pop(self, None)

    def _read_head(self, bridge: "Bridge | Copy", data: bytes) -> None:
        seen = len(self._buffer)
        buffer = self._buffer + data if seen else data
        self._buffer = b""
        while True:
            try:
                head = read_response(buffer, self.head, seen)
                if head is None:
                    self._buffer = buffer
                    return
                buffer = buffer[len(head.raw) :]
                seen = 0
                if head.status >= 200 or head.status == 101:
                    break
                self._interim += 1
                if self._interim > _MAX_INTERIM:
                    raise bad_answer("interim", "The backend sends interim answers without end.")
            except ProtocolError as problem:
                bridge.broken(problem)
                return
            bridge.interim(head)
        self.head = head if len(head.raw) <= REMEMBERED else None
        self.is_answering = True
        bridge.answered(head, buffer)
