"""Connections in clear text that may speak either version of HTTP: the first bytes say which (RFC
9113 section 3.3, prior knowledge)."""

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.wire.http2.frames import PREFACE
from veloflux.core.wire.preface import Preface
from veloflux.edge.downstream import Downstream
from veloflux.edge.http2.connection import Http2
from veloflux.edge.preface import Prefaced

# No method of HTTP/1.1 begins so, and no more is needed to tell.
_TELLING = PREFACE[:4]


class Knock(Prefaced):
    """Waits for the first bytes of one connection, and hands the connection on."""

    # What a PROXY header said of the connection, and who sent it.
    preface: Preface | None = None
    sender = ""

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        if self._buffer.startswith(_TELLING):
            self._speak(Http2(self.listener, self.peer))
        elif not _TELLING.startswith(self._buffer):
            self._speak(Downstream(self.listener, self.peer))

    def _speak(self, protocol: Http2 | Downstream) -> None:
        protocol.preface = self.preface
        protocol.sender = self.sender
        self._become(protocol, self._buffer)

    def expire(self, now: float) -> None:
        # Who only connects ahead of its requests breaks no rule.
        self.transport.abortConnection()

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        self._leave()
