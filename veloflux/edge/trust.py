"""TLS towards a backend: who it must prove to be, and the connection that has it do so.

The chain is verified by OpenSSL, the name by service-identity (RFC 9525), before a byte of a
request is sent. A PROXY header goes before TLS, as its specification has it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.error import TimeoutError as TooLateError
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.flow import exchange
from veloflux.core.model.address import Address
from veloflux.core.model.tls import BackendTls
from veloflux.edge.terms import plain_context, present, trust, words
from veloflux.edge.tls import Tls


class RefusedError(Exception):
    """The handshake with a backend failed; `failure` is what that means for a request."""

    def __init__(self, failure: exchange.Failure, why: str) -> None:
        self.failure = failure
        super().__init__(why)


class Trust:
    """What one backend must prove."""

    def __init__(self, context: SSL.Context, name: str, *, is_verified: bool) -> None:
        self._context = context
        self._name = name
        self._is_verified = is_verified
        self._is_address = _is_address(name)

    def begin(self) -> SSL.Connection:
        """The client's end of a new connection."""
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        if self._name and not self._is_address:
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        return connection

    def verify(self, connection: SSL.Connection) -> None:
        """Raise RefusedError when the certificate shown is for another name."""
        if not self._is_verified:
            return
        verify = verify_ip_address if self._is_address else verify_hostname
        try:
            verify(connection, self._name)
        except (VerificationError, CertificateError, Warning):
            why = f"its certificate is not for {self._name}"
            raise RefusedError(exchange.UNTRUSTED, why) from None


class Trusts:
    """All backends'; those that differ in their names alone share a context, since reading the
    system's authorities takes some milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[BackendTls, SSL.Context] = {}

    def prepare(self, model: BackendTls) -> None:
        """Make what `of` will need. Raises ValueError for what OpenSSL does not take."""
        key = replace(model, server_name=None)
        if key not in self._contexts:
            try:
                self._contexts[key] = _context(model)
            except (SSL.Error, crypto.Error) as problem:
                why = f"OpenSSL does not take a certificate: {words(problem)}"
                raise ValueError(why) from None

    def of(self, model: BackendTls | None, address: Address) -> Trust | None:
        """A backend's; None in clear text. Raises ValueError as `prepare` does."""
        if model is None:
            return None
        self.prepare(model)
        name = model.server_name or ("" if address.path else address.host)
        context = self._contexts[replace(model, server_name=None)]
        return Trust(context, name, is_verified=not model.insecure_skip_verify)

    def retain(self, models: Iterable[BackendTls | None]) -> None:
        """Let go of all others."""
        wanted = {replace(model, server_name=None) for model in models if model is not None}
        for key in self._contexts.keys() - wanted:
            del self._contexts[key]


def _context(model: BackendTls) -> SSL.Context:
    context = plain_context()
    if model.cert is not None and model.key is not None:
        present(context, model.cert, model.key)
    if not model.insecure_skip_verify:
        if model.ca is None:
            context.set_default_verify_paths()
        else:
            trust(context, model.ca)
        context.set_verify(SSL.VERIFY_PEER)
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
        super().__init__(securing.trust.begin())
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
        try:
            self._securing.trust.verify(self.tls)
        except RefusedError as problem:
            self._securing.refused(TwistedFailure(problem))
            self.abortConnection()
            return
        protocol = self._securing.agreed(self._addr)
        if protocol is None:
            self.abortConnection()
            return
        self.protocol = protocol
        protocol.makeConnection(self)

    def failed(self, problem: Exception | None) -> None:
        why = "it closed the connection" if problem is None else words(problem)
        is_verdict = "certificate verify failed" in why
        failure = exchange.UNTRUSTED if is_verdict else exchange.TLS_FAILED
        self._securing.refused(TwistedFailure(RefusedError(failure, f"TLS: {why}")))

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        if self.protocol is None:
            self.failed(None)
        super().connectionLost(reason)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
