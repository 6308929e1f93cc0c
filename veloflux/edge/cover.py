"""Any factory's protocols over TLS: for a listener that is none of the data plane's."""

import ssl
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from veloflux.edge.context import words
from veloflux.edge.terms import Terms
from veloflux.edge.tls import Tls

# Handshakes under way, and how long one may take.
MOST = 256
HANDSHAKE_S = 10.0

_log = Logger()


class Cover(Factory):
    """Builds what `inner` does, once a connection's handshake is through."""

    noisy = False

    def __init__(self, reactor: Any, inner: Any, terms: Terms) -> None:
        self.reactor = reactor
        self.inner = inner
        self.under_way = 0
        self.take(terms)

    def take(self, terms: Terms) -> None:
        """Use these for new connections. Their sessions are not resumed."""
        terms.give_no_tickets()
        self.terms = terms

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return None if self.under_way >= MOST else _Covered(self, addr)

    def startFactory(self) -> None:
        self.inner.doStart()

    def stopFactory(self) -> None:
        self.inner.doStop()


@implementer(ISSLTransport, IPushProducer)
class _Covered(Tls):
    _too_late: IDelayedCall | None = None

    def __init__(self, factory: Cover, addr: IAddress | None) -> None:
        super().__init__(factory.terms.context, is_server=True)
        self._factory = factory
        self._addr = addr

    def connectionMade(self) -> None:
        self._factory.under_way += 1
        self._too_late = self._factory.reactor.callLater(HANDSHAKE_S, self._expire)

    def established(self) -> None:
        self._leave()
        protocol = self._factory.inner.buildProtocol(self._addr)
        if protocol is None:
            self.abortConnection()
            return
        self.protocol = protocol
        protocol.makeConnection(self)

    def failed(self, problem: Exception | None) -> None:
        why = "it closed the connection" if problem is None else words(problem)
        _log.debug("no TLS with {peer}: {why}", peer=self.getPeer(), why=why)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._leave()
        super().connectionLost(reason)

    @property
    def disconnecting(self) -> bool:
        """Whether no more is to be read: Twisted's protocols of lines ask for it."""
        return self._is_ending

    def getTcpNoDelay(self) -> bool:
        return bool(self.transport.getTcpNoDelay())

    def getTcpKeepAlive(self) -> bool:
        return bool(self.transport.getTcpKeepAlive())

    def getPeerCertificate(self) -> bytes | None:
        """The client's, in DER."""
        tls: ssl.SSLObject = self.tls
        return tls.getpeercert(binary_form=True)

    def _expire(self) -> None:
        self._leave()
        self.abortConnection()

    def _leave(self) -> None:
        too_late, self._too_late = self._too_late, None
        if too_late is not None:
            self._factory.under_way -= 1
            if too_late.active():
                too_late.cancel()
