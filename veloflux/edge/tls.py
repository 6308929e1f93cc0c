"""TLS between a connection's socket and its protocol: a transport for what is above it.

OpenSSL works on memory; what it makes goes to the transport below at once, in one write, and one
read from there is told as one. Twisted's own TLS does not know half-closed connections, says
goodbye also where a connection is cut, which would make a cut answer look whole, and waits for the
other's goodbye before it closes: see docs/decisions/0004-tls-transport.md.
"""

from typing import Any

from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from veloflux.edge.transport import is_clear, unsent

# What one record holds (RFC 8446 section 5.1), and more than what any adds to it.
_RECORD = 1 << 14
_ADDED = 64
_READ_BYTES = 1 << 15
_HEADER = 5
_APPLICATION_DATA = 23


@implementer(IHalfCloseableProtocol)
class Tls(Protocol):
    """The protocol of `transport`, and the transport of `protocol`, which there is when the
    handshake is through: `established` makes it. What goes wrong is told by `failed`, once."""

    transport: Any
    protocol: Any = None
    connected: Any

    # Something has come while there is no protocol.
    has_begun = False
    _is_ending = False
    _is_torn = False
    _has_heard_goodbye = False
    # Bytes that the record being received still lacks; -1 when that is not known.
    _lacking = 0

    def __init__(self, tls: SSL.Connection) -> None:
        self.tls = tls

    def established(self) -> None:
        """The handshake is through: give `protocol` a transport."""
        raise NotImplementedError

    def failed(self, problem: Exception | None) -> None:
        """The handshake failed, or what came later was no TLS; None when the other end is gone
        without a goodbye. `protocol`, if there is one, is told by `connectionLost`."""
        raise NotImplementedError

    # From below

    def connectionMade(self) -> None:
        self._shake()

    def dataReceived(self, data: bytes) -> None:
        if self.protocol is None:
            if not self._is_ending:
                self._begin(data)
            return
        self.tls.bio_write(data)
        if self._is_one_record(data):
            self._read_one()
        else:
            self._read()

    def readConnectionLost(self) -> None:
        if self._has_heard_goodbye:
            # The other end may still be read to; but not when that is over as well.
            if self._is_ending:
                self.transport.loseConnection()
        elif self._is_ending:
            self.transport.loseConnection()
        else:
            self._tear(None)

    def writeConnectionLost(self) -> None:
        if hasattr(self.protocol, "writeConnectionLost"):
            self.protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        self._is_ending = True
        if self.protocol is not None:
            if self._is_torn:
                reason = Failure(error.ConnectionLost())
            self.protocol.connectionLost(reason)

    # From above

    def write(self, data: bytes) -> None:
        if self._is_ending or not data:
            return
        try:
            sent = self.tls.send(data)
            while sent < len(data):
                sent += self.tls.send(memoryview(data)[sent:])
        except SSL.Error as problem:
            self._tear(problem)
            return
        self._flush(len(data) + _ADDED * (2 + len(data) // _RECORD))

    def writeSequence(self, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self, *_: Any) -> None:
        self._say_goodbye()
        self.transport.loseConnection()

    def loseWriteConnection(self) -> None:
        self._say_goodbye()
        self.transport.loseWriteConnection()

    def abortConnection(self) -> None:
        """Without a goodbye: what was written is not whole."""
        self._is_ending = True
        self.transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.loseConnection()

    def getPeer(self) -> Any:
        return self.transport.getPeer()

    def getHost(self) -> Any:
        return self.transport.getHost()

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.transport.setTcpNoDelay(enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.transport.setTcpKeepAlive(enabled)

    @property
    def socket(self) -> Any:
        return getattr(self.transport, "socket", None)

    @property
    def is_clear(self) -> bool:
        return is_clear(self.transport)

    @property
    def unsent(self) -> int:
        return unsent(self.transport)

    # Within

    def _begin(self, data: bytes) -> None:
        self.has_begun = True
        self._is_one_record(data)
        self.tls.bio_write(data)
        self._shake()
        if self.protocol is not None and self.connected:
            # The first request may have come with the end of the handshake.
            self._read()

    def _shake(self) -> None:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
        except SSL.Error as problem:
            # An alert says why.
            self._flush()
            self._is_ending = True
            self.failed(problem)
            self.transport.loseConnection()
        else:
            self._flush()
            self.established()

    def _is_one_record(self, data: bytes) -> bool:
        """Whether `data` is exactly one record, so that there is no need to ask for another."""
        at = self._lacking
        size = len(data)
        if at == 0 and size > _HEADER and data[0] == _APPLICATION_DATA:
            at = _HEADER + (data[3] << 8 | data[4])
            if at == size:
                return True
        if at >= 0:
            while at + _HEADER <= size:
                at += _HEADER + (data[at + 3] << 8 | data[at + 4])
            # Where a header is cut in two, the rest of the connection is read the other way.
            self._lacking = at - size if at >= size else -1
        return False

    def _read_one(self) -> None:
        try:
            data = self.tls.recv(_READ_BYTES)
        except SSL.Error:
            # It was a message of TLS itself, or the end.
            self._read()
            return
        self.protocol.dataReceived(data)

    def _read(self) -> None:
        """Hand on all that has come, at once: who is told may want no more for now."""
        pieces: list[bytes] = []
        problem: Exception | None = None
        try:
            while True:
                pieces.append(self.tls.recv(_READ_BYTES))
        except SSL.WantReadError:
            # It may have asked for an answer.
            self._flush()
        except SSL.ZeroReturnError:
            self._has_heard_goodbye = True
        except SSL.Error as error:
            problem = error
        if pieces:
            self.protocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if not self.connected:
            return
        if problem is not None:
            self._flush()
            self._tear(problem)
        elif self._has_heard_goodbye:
            finished = getattr(self.protocol, "readConnectionLost", self.loseConnection)
            finished()

    def _flush(self, size: int = _READ_BYTES) -> None:
        """Send what OpenSSL has for the other end, `size` bytes at a time."""
        try:
            wire = self.tls.bio_read(size)
            while len(wire) == size:
                self.transport.write(wire)
                wire = self.tls.bio_read(size)
        except SSL.WantReadError:
            return
        self.transport.write(wire)

    def _say_goodbye(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            if self.protocol is not None:
                try:
                    self.tls.shutdown()
                except SSL.Error:
                    return
                self._flush()

    def _tear(self, problem: Exception | None) -> None:
        """The other end can no longer be trusted to have said all, or to hear more."""
        if not self._is_torn:
            self._is_torn = self._is_ending = True
            self.failed(problem)
            self.transport.abortConnection()
