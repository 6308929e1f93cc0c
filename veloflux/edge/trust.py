"""TLS towards a backend: who it must prove to be, and the connection that has it do so.

The chain and the name (RFC 9525) are verified by OpenSSL before a byte of a request is sent. A
PROXY header goes before TLS, as its specification has it.
"""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from twisted.internet.error import TimeoutError as TooLateError
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.flow import exchange
from veloflux.core.model.address import Address
from veloflux.core.model.tls import BackendTls
from veloflux.core.model.traffic import BackendProtocol
from veloflux.edge.context import client_context, present, trust, words
from veloflux.edge.tls import Tls

# What OpenSSL says of a good certificate that is for another host, or another address
# (X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of <openssl/x509_vfy.h>).
_ANOTHER = (62, 64)
# What is offered to a backend, and must be agreed on; HTTP/1.1 is what is spoken without a word.
_ALPN = {"h2": "h2"}
_Key = tuple[BackendTls, BackendProtocol]


class RefusedError(Exception):
    """The handshake with a backend failed; `failure` is what that means for a request."""

    def __init__(self, failure: exchange.Failure, why: str) -> None:
        self.failure = failure
        super().__init__(why)


class Trust:
    """What one backend must prove: to be `name`, where `context` has it verified. An address is
    verified and not sent (RFC 6066 section 3); an empty name is nobody's. And to agree on `alpn`,
    unless that is None."""

    def __init__(self, context: ssl.SSLContext, name: str, alpn: str | None = None) -> None:
        self.context = context
        self.name = name
        self.alpn = alpn


class Trusts:
    """All backends'; those that differ in their names alone share a context, since reading the
    system's authorities takes some milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[_Key, ssl.SSLContext] = {}

    def prepare(self, model: BackendTls, protocol: BackendProtocol) -> None:
        """Make what `of` will need. Raises ValueError for what OpenSSL does not take."""
        key = _key(model, protocol)
        if key not in self._contexts:
            try:
                self._contexts[key] = _context(model, _ALPN.get(protocol))
            except ssl.SSLError as problem:
                why = f"OpenSSL does not take a certificate: {words(problem)}"
                raise ValueError(why) from None

    def of(
        self, model: BackendTls | None, address: Address, protocol: BackendProtocol = "http1"
    ) -> Trust | None:
        """A backend's that speaks `protocol`; None in clear text. Raises ValueError as `prepare`
        does."""
        if model is None:
            return None
        self.prepare(model, protocol)
        name = model.server_name or ("" if address.path else address.host)
        return Trust(self._contexts[_key(model, protocol)], name, _ALPN.get(protocol))

    def retain(self, models: Iterable[tuple[BackendTls | None, BackendProtocol]]) -> None:
        """Let go of all others."""
        wanted = {_key(model, protocol) for model, protocol in models if model is not None}
        for key in self._contexts.keys() - wanted:
            del self._contexts[key]


def _key(model: BackendTls, protocol: BackendProtocol) -> _Key:
    return replace(model, server_name=None), protocol


def _context(model: BackendTls, alpn: str | None) -> ssl.SSLContext:
    context = client_context()
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    if model.cert is not None and model.key is not None:
        present(context, model.cert, model.key)
    if model.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif model.ca is None:
        context.set_default_verify_paths()
    else:
        trust(context, model.ca)
    return context


class Securing(ClientFactory):
    """Between a connection being made and `factory`, which builds its protocol when the handshake
    is through, and hears by `clientConnectionFailed` when it is not, within `timeout_s` of now."""

    noisy = False

    def __init__(
        self, reactor: Any, factory: Any, trust: Trust, timeout_s: float, preface: bytes
    ) -> None:
        self.trust = trust
        self.preface = preface
        self._factory: Any = factory
        self._made: SecuredBackend | None = None
        self._too_late: IDelayedCall = reactor.callLater(timeout_s, self._expire)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if self._factory is None:
            return None
        self._made = SecuredBackend(self, addr)
        return self._made

    def clientConnectionFailed(self, connector: Any, reason: TwistedFailure) -> None:
        self.refused(reason)

    def refused(self, reason: TwistedFailure) -> None:
        """There will be no connection."""
        factory = self._let_go()
        if factory is not None:
            factory.clientConnectionFailed(None, reason)

    def agreed(self, addr: IAddress | None) -> Any:
        """The protocol for a connection whose handshake is through; None when nobody wants it."""
        factory = self._let_go()
        return None if factory is None else factory.buildProtocol(addr)

    def _let_go(self) -> Any:
        if self._too_late.active():
            self._too_late.cancel()
        self._made = None
        factory, self._factory = self._factory, None
        return factory

    def _expire(self) -> None:
        made = self._made
        self.refused(TwistedFailure(TooLateError()))
        if made is not None:
            made.abortConnection()


class SecuredBackend(Tls):
    """The client's end of a connection to a backend."""

    def __init__(self, securing: Securing, addr: IAddress | None) -> None:
        super().__init__(securing.trust.context, name=securing.trust.name or None)
        self._securing = securing
        self._addr = addr

    def connectionMade(self) -> None:
        no_delay: Callable[[bool], None] | None = getattr(self.transport, "setTcpNoDelay", None)
        if no_delay is not None and self._addr is not None and hasattr(self._addr, "port"):
            # The end of the handshake and the request are two writes.
            no_delay(True)
        if self._securing.preface:
            self.transport.write(self._securing.preface)
        super().connectionMade()

    def established(self) -> None:
        alpn = self._securing.trust.alpn
        if alpn is not None and self.tls.selected_alpn_protocol() != alpn:
            refusal = RefusedError(exchange.TLS_FAILED, f"TLS: it does not speak {alpn}")
            self._securing.refused(TwistedFailure(refusal))
            self.abortConnection()
            return
        protocol = self._securing.agreed(self._addr)
        if protocol is None:
            self.abortConnection()
            return
        self.protocol = protocol
        protocol.makeConnection(self)

    def failed(self, problem: Exception | None) -> None:
        failure, why = exchange.TLS_FAILED, "TLS: it closed the connection"
        if isinstance(problem, ssl.SSLCertVerificationError):
            failure, why = exchange.UNTRUSTED, f"TLS: {words(problem)}"
            if problem.verify_code in _ANOTHER:
                why = f"its certificate is not for {self._securing.trust.name}"
        elif problem is not None:
            why = f"TLS: {words(problem)}"
        self._securing.refused(TwistedFailure(RefusedError(failure, why)))

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        if self.protocol is None:
            self.failed(None)
        super().connectionLost(reason)
