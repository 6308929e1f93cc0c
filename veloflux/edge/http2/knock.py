"""Connections in clear text that may speak either version of HTTP: the first bytes say which (RFC
9113 section 3.3, prior knowledge)."""

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.wire.http2.frames import PREFACE
from veloflux.core.wire.preface import Preface
from veloflux.edge.deadlines import Timed
from veloflux.edge.downstream import Downstream
from veloflux.edge.http2.connection import Http2

if TYPE_CHECKING:
    from veloflux.edge.listener import Listener

# Seconds that a draining process gives to a connection that has not said anything yet.
_FIRST_REQUEST_S = 1.0
# No method of HTTP/1.1 begins so, and no more is needed to tell.
_TELLING = PREFACE[:4]


class Knock(Protocol, Timed):
    """Waits for the first bytes of one connection, and hands the connection on."""

    transport: Any
    descriptors = 1
    preface: Preface | None = None
    sender = ""

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
        if self._buffer.startswith(_TELLING):
            self._hand_on(Http2(self.listener, self.peer))
        elif not _TELLING.startswith(self._buffer):
            self._hand_on(Downstream(self.listener, self.peer))

    def _hand_on(self, protocol: Http2 | Downstream) -> None:
        self._leave()
        data, self._buffer = self._buffer, b""
        protocol.preface = self.preface
        protocol.sender = self.sender
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        protocol.dataReceived(data)
        if self.listener.is_draining:
            protocol.drain()

    def _leave(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self.listener.leave(self)
            self._deadlines.disarm(self)

    def expire(self, now: float) -> None:
        self.transport.abortConnection()

    def drain(self, patience_s: float = 0.0) -> None:
        """The process is going, or the listener: the first request may be on its way."""
        until = self._deadlines.now() + max(_FIRST_REQUEST_S, patience_s)
        if until < self.deadline:
            self._deadlines.arm(self, until)

    def abandon(self) -> None:
        """The process goes now."""
        self.transport.abortConnection()

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        self._leave()
