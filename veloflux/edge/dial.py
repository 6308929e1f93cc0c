"""Connections to backends, by Twisted's own means on whatever reactor there is."""

import errno
from typing import Any

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.flow import exchange
from veloflux.core.model.address import Address
from veloflux.edge.trust import RefusedError, Securing, Trust

# What this machine ran out of, as opposed to what the backend refused.
_OUT_OF = frozenset((errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS))


def dial(
    reactor: Any,
    address: Address,
    factory: ClientFactory,
    timeout_s: float,
    trust: Trust | None = None,
    preface: bytes = b"",
) -> None:
    """Connect `factory` to `address`; it hears of a failure by `clientConnectionFailed`.

    With `trust`, over TLS, with `preface` before it; in clear text the protocol writes its own.
    """
    if trust is not None:
        factory = Securing(reactor, factory, trust, timeout_s, preface)
    if address.path:
        reactor.connectUNIX(address.path, factory, timeout_s)
    elif isIPAddress(address.host) or isIPv6Address(address.host):
        reactor.connectTCP(address.host, address.port, factory, timeout_s)
    else:
        # Tries a name's addresses of both families, the next soon after the one before (RFC 8305).
        endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout_s)
        attempt: Any = endpoint.connect(factory)
        # A lookup has no end of its own, and each address may take as long as one may take.
        attempt.addTimeout(timeout_s, reactor)
        attempt.addErrback(lambda failure: factory.clientConnectionFailed(None, failure))  # type: ignore[arg-type]  # an endpoint has no connector


def failure_of(reason: TwistedFailure) -> exchange.Failure:
    """What a failed connection attempt means."""
    if isinstance(reason.value, RefusedError):
        return reason.value.failure
    if reason.check(error.TimeoutError, error.ConnectingCancelledError):
        return exchange.CONNECT_TIMEOUT
    if reason.check(error.DNSLookupError):
        return exchange.UNRESOLVED
    cause: Any = reason.value
    number = getattr(cause, "osError", None) or getattr(cause, "errno", None)
    return exchange.EXHAUSTED if number in _OUT_OF else exchange.REFUSED
