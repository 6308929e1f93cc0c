"""TLS between a connection's socket and its protocol: a transport for what is above it.

OpenSSL works on memory; what it makes goes to the transport below at once, in one write, and one
read from there is told as one. Twisted's own TLS does not know half-closed connections, says
goodbye also where a connection is cut, which would make a cut answer look whole, and waits for the
other's goodbye before it closes: see docs/decisions/0007-standard-ssl.md.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from veloflux.edge.transport import unsent

# What one record holds (RFC 8446 section 5.1).
_RECORD = 1 << 14


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

    def __init__(
        self, context: ssl.SSLContext, *, is_server: bool = False, name: str | None = None
    ) -> None:
        """`name` is whom a client asks for, and verifies if the context has it do so."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: Any = context.wrap_bio(self._incoming, self._outgoing, is_server, name)
        # What `tls` would call, which is all that it does.
        inner: Any = getattr(self.tls, "_sslobj", self.tls)
        self._decrypt: Callable[[int], bytes] = inner.read
        self._encrypt: Callable[[bytes | memoryview], int] = inner.write

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
        self._incoming.write(data)
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
            sent = self._encrypt(data)
            while sent < len(data):
                sent += self._encrypt(memoryview(data)[sent:])
        except ssl.SSLError as problem:
            self._tear(problem)
            return
        self.transport.write(self._outgoing.read())

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
        return getattr(self.transport, "is_clear", False)

    @property
    def unsent(self) -> int:
        return unsent(self.transport)

    # Within

    def _begin(self, data: bytes) -> None:
        self.has_begun = True
        self._incoming.write(data)
        self._shake()
        if self.protocol is not None and self.connected:
            # The first request may have come with the end of the handshake.
            self._read()

    def _shake(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as problem:
            # An alert says why.
            self._flush()
            self._is_ending = True
            self.failed(problem)
            self.transport.loseConnection()
        else:
            self._flush()
            self.established()

    def _read(self) -> None:
        """Hand on all that has come, at once: who is told may want no more for now."""
        incoming, decrypt = self._incoming, self._decrypt
        data = b""
        problem: ssl.SSLError | None = None
        is_over = False
        try:
            data = piece = decrypt(_RECORD)
            # OpenSSL takes no more than the record that it reads, and hands out all of that.
            while incoming.pending and piece:
                piece = decrypt(_RECORD)
                data += piece
            is_over = not piece
        except ssl.SSLWantReadError:
            # It may have asked for an answer.
            self._flush()
        except ssl.SSLZeroReturnError:
            is_over = True
        except ssl.SSLError as error:
            problem = error
        if data:
            self.protocol.dataReceived(data)
        if problem is not None:
            if self.connected:
                self._flush()
                self._tear(problem)
        elif is_over and not self._has_heard_goodbye:
            self._has_heard_goodbye = True
            if self.connected:
                finished = getattr(self.protocol, "readConnectionLost", self.loseConnection)
                finished()

    def _flush(self) -> None:
        """Send what OpenSSL has for the other end."""
        if self._outgoing.pending:
            self.transport.write(self._outgoing.read())

    def _say_goodbye(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            if self.protocol is not None:
                # It says goodbye, and then misses the other's.
                with suppress(ssl.SSLError):
                    self.tls.unwrap()
                self._flush()

    def _tear(self, problem: Exception | None) -> None:
        """The other end can no longer be trusted to have said all, or to hear more."""
        if not self._is_torn:
            self._is_torn = self._is_ending = True
            self.failed(problem)
            self.transport.abortConnection()
