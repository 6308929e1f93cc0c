"""A TCP listener's connection: relayed to one backend of its pool, unread, half-close respected."""

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from veloflux.core.flow.exchange import Failure
from veloflux.core.model.traffic import ProxyProtocol
from veloflux.core.wire.preface import Preface
from veloflux.edge.backend import Backend
from veloflux.edge.carrier import Carrier
from veloflux.edge.outcome import Outcome
from veloflux.edge.preface import preface_of
from veloflux.edge.terms import Agreement
from veloflux.edge.tunnel import Tunnel

if TYPE_CHECKING:
    from veloflux.edge.listener import Listener


@implementer(IHalfCloseableProtocol)
class Relay(Protocol, Carrier, Outcome):
    """The client's side; nothing is read from it before its backend is there."""

    transport: Any
    # Its backend's too, which it has for as long as it lives.
    descriptors = 2
    protocols = ("TCP", "TCP")

    tunnel: Tunnel | None = None
    takes_idle = False
    # The client's last word came with the end of its handshake, before there is a backend.
    _is_through = False
    text = ""
    # What a PROXY header said of the connection, and who sent it.
    preface: Preface | None = None
    sender = ""
    # What came of its TLS handshake; None in clear text.
    agreement: Agreement | None = None
    _early = b""

    def __init__(self, listener: "Listener", peer: str, pool: str | None = None) -> None:
        """`pool` is where it goes; None for where its listener's connections go."""
        self.listener = listener
        self._wanted = pool
        self.plane = listener.plane
        self.peer = self.client = peer

    def connectionMade(self) -> None:
        self.listener.join(self)
        self.transport.pauseProducing()
        wanted = self._wanted or self.listener.model.pool
        assert wanted is not None
        self.pool = self.plane.pools[wanted]
        self.started = self.plane.deadlines.now()
        self.carry(self.started)

    def dataReceived(self, data: bytes) -> None:
        """What came with a PROXY header or the end of a handshake, before there is a backend."""
        self._early += data

    def build(self, backend: Backend, is_wanted: bool) -> "RelayUpstream":
        return RelayUpstream(self if is_wanted else None)

    def couple(self, upstream: "RelayUpstream") -> None:
        """The backend is there: couple the two."""
        self._dialling = None
        self.sent_at = self.plane.deadlines.now()
        self.works(self.sent_at)
        early, self._early = self._early, b""
        if early:
            # Before there is a tunnel, whose own way to the socket is shorter.
            upstream.transport.write(early)
        tunnel = Tunnel(
            self.transport,
            upstream.transport,
            self.plane.deadlines,
            idle_s=self.pool.timeouts.idle_s,
            write_timeout_s=self.listener.limits.write_timeout_s,
            ended=self._ended,
        )
        tunnel.bytes_in = len(early)
        self.tunnel = upstream.tunnel = tunnel
        self.dataReceived = tunnel.from_client  # type: ignore[method-assign]  # no question per read
        upstream.dataReceived = tunnel.from_backend  # type: ignore[method-assign]  # no question per read
        if self._is_through:
            tunnel.client_finished()
        self.transport.resumeProducing()

    def gave_up(self, failure: Failure) -> None:
        self.error = failure.reason
        self._record(failure.termination)
        self.transport.abortConnection()

    def abandon(self) -> None:
        """The process goes now."""
        if self.tunnel is not None:
            self.tunnel.abort("PD")
        else:
            self.transport.abortConnection()

    def preface_for(self, version: ProxyProtocol) -> bytes:
        return preface_of(self, version)

    def drain(self, patience_s: float = 0.0) -> None:
        """The process is going, or the listener; a relayed connection ends when its ends say so."""

    def readConnectionLost(self) -> None:
        if self.tunnel is not None:
            self.tunnel.client_finished()
        else:
            self._is_through = True

    def writeConnectionLost(self) -> None:
        """Our half-close went out; the client may still send."""

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        self.listener.leave(self)
        if self.tunnel is not None:
            self.tunnel.lost("CD")
        elif self.backend is not None or self._place is not None:
            termination = "CC" if self._place is None else "CQ"
            self.leave_queue()
            self.forget_dialling()
            self.leave_backend(None)
            self._record(termination)

    def _ended(self, termination: str) -> None:
        self.leave_backend(None)
        self._record(termination)

    def _record(self, termination: str) -> None:
        if self.tunnel is not None:
            self.bytes_in, self.bytes_out = self.tunnel.bytes_in, self.tunnel.bytes_out
        self.request_id = self.plane.next_id()
        self.downstream = self
        self.plane.record_relayed(self, self.plane.deadlines.now(), termination)
        del self.downstream


@implementer(IHalfCloseableProtocol)
class RelayUpstream(Protocol):
    """The backend's side."""

    transport: Any

    tunnel: Tunnel | None = None

    def __init__(self, relay: Relay | None) -> None:
        self._relay = relay

    def connectionMade(self) -> None:
        relay, self._relay = self._relay, None
        if relay is None:
            self.transport.loseConnection()
            return
        backend, version = relay.backend, relay.pool.proxy_protocol
        assert backend is not None
        backend.tune(self.transport)
        if version is not None and backend.trust is None:
            # Over TLS it has gone before that.
            self.transport.write(relay.preface_for(version))
        relay.couple(self)

    def readConnectionLost(self) -> None:
        if self.tunnel is not None:
            self.tunnel.backend_finished()

    def writeConnectionLost(self) -> None:
        """Our half-close went out; the backend may still send."""

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        if self.tunnel is not None:
            self.tunnel.lost("SD")
