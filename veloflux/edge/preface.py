"""Connections that begin with a PROXY header: the header is read here, before anything else is.

What is read later, HTTP or TCP (or TLS before them), gets the bytes behind the header and never
knows that there was one; it is told who the client is.
"""

from typing import TYPE_CHECKING, Any, Literal

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.preface import UNIX, Endpoint, Preface, read_preface, write_preface
from veloflux.edge.deadlines import Timed

if TYPE_CHECKING:
    from veloflux.edge.listener import Listener

# Seconds that a draining process, or a removed listener, gives to a header on its way.
_DRAIN_S = 1.0


class Prefaced(Protocol, Timed):
    """Waits for the header of one connection, and hands the connection on."""

    transport: Any
    descriptors = 1
    # By which errors are counted.
    protocol_name = "proxy"

    _buffer = b""
    _is_counted = False

    def __init__(self, listener: "Listener", peer: str) -> None:
        self.listener = listener
        self.peer = peer
        self._deadlines = listener.plane.deadlines

    def connectionMade(self) -> None:
        self.listener.join(self)
        self._is_counted = True
        timeout_s = self.listener.limits.header_timeout_s
        self._deadlines.arm(self, self._deadlines.now() + timeout_s)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        try:
            preface = read_preface(self._buffer)
        except ProtocolError as problem:
            self._refuse(problem.kind)
            return
        if preface is not None:
            self._hand_on(preface)

    def _hand_on(self, preface: Preface) -> None:
        self._leave()
        client = self.peer if preface.source is None else preface.source.host
        protocol = self.listener.build_for(client)
        if protocol is None:
            self._buffer = b""
            self.transport.abortConnection()
            return
        protocol.preface = preface
        protocol.sender = self.peer
        self._become(protocol, self._buffer[preface.length :])

    def _become(self, protocol: Any, data: bytes) -> None:
        """The connection is that protocol's from now on; `data` has come for it already."""
        self._leave()
        self._buffer = b""
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        if data:
            protocol.dataReceived(data)
        if self.listener.is_draining:
            protocol.drain()

    def _refuse(self, kind: str) -> None:
        self.listener.count_error(self.protocol_name, kind)
        self._buffer = b""
        self._deadlines.disarm(self)
        self.transport.abortConnection()

    def _leave(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self.listener.leave(self)
            self._deadlines.disarm(self)

    def expire(self, now: float) -> None:
        self._refuse("timeout")

    def drain(self, patience_s: float = 0.0) -> None:
        """The process is going, or the listener is: the header may be on its way."""
        until = self._deadlines.now() + max(_DRAIN_S, patience_s)
        if until < self.deadline:
            self._deadlines.arm(self, until)

    def abandon(self) -> None:
        """The process goes now."""
        self.transport.abortConnection()

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        if self._buffer:
            # Who sends nothing at all only looks whether somebody listens.
            self.listener.count_error(self.protocol_name, "truncated")
        self._leave()


def preface_of(downstream: Any, version: Literal["v1", "v2"]) -> bytes:
    """The header for a backend's connection that is made for the client of `downstream`.

    A client that a trusted proxy's X-Forwarded-For names has no port that is known here.
    """
    said = downstream.preface
    if said is not None and said.source is not None:
        source, destination = said.source, said.destination
    else:
        transport = downstream.transport
        source, destination = _endpoint(transport.getPeer()), _endpoint(transport.getHost())
    if downstream.client != source.host:
        source = Endpoint(downstream.client, 0)
    return write_preface(version, source, destination)


def _endpoint(address: Any) -> Endpoint:
    host = getattr(address, "host", "")
    return Endpoint(host, address.port) if host else UNIX
