"""Connections to backends, by Twisted's own means on whatever reactor there is."""

from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import ClientFactory

from veloflux.core.model.address import Address


def dial(reactor: Any, address: Address, factory: ClientFactory, timeout_s: float) -> None:
    """Connect `factory` to `address`; it hears of a failure by `clientConnectionFailed`."""
    if address.path:
        reactor.connectUNIX(address.path, factory, timeout_s)
    elif isIPAddress(address.host) or isIPv6Address(address.host):
        reactor.connectTCP(address.host, address.port, factory, timeout_s)
    else:
        # Tries a name's addresses of both families, the next soon after the one before (RFC 8305).
        endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout_s)
        endpoint.connect(factory).addErrback(
            lambda failure: factory.clientConnectionFailed(None, failure)  # type: ignore[arg-type]  # no connector of ours
        )
