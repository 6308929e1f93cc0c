"""Backends' names, looked up once for many connections.

An answer is used for REFRESH_S. When the resolver fails, the last good answer is used for
KEEP_S more: a resolver that is down must not take working backends with it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

REFRESH_S = 10.0
KEEP_S = 600.0
_MAX_NAMES = 4096
_MAX_ADDRESSES = 32


@implementer(IHostnameResolver)
class RememberedNames:
    """A resolver before another, for the reactor's `installNameResolver`."""

    def __init__(self, resolver: IHostnameResolver, now: Callable[[], float]) -> None:
        self._resolver = resolver
        self._now = now
        self._known: dict[str, tuple[float, list[IAddress]]] = {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """See IHostnameResolver. Answers carry the port asked for, so it is part of the key."""
        key = f"{hostName}:{portNumber}"
        looked_up, addresses = self._known.get(key, (float("-inf"), []))
        age = self._now() - looked_up
        if age < REFRESH_S:
            resolution = _Remembered(hostName)
            resolutionReceiver.resolutionBegan(resolution)
            _deliver(addresses, resolutionReceiver)
            return resolution
        receiver = _Collector(self, key, resolutionReceiver, addresses if age < KEEP_S else [])
        return self._resolver.resolveHostName(
            receiver, hostName, portNumber, addressTypes, transportSemantics
        )

    def remember(self, key: str, addresses: list[IAddress]) -> None:
        if len(self._known) >= _MAX_NAMES:
            del self._known[next(iter(self._known))]
        self._known[key] = (self._now(), addresses)


@implementer(IHostResolution)
class _Remembered:
    """The IHostResolution of an answer that was known."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Nothing is under way."""


@implementer(IResolutionReceiver)
class _Collector:
    """Hears the real resolver's answer, and falls back on the last good one."""

    def __init__(
        self,
        names: RememberedNames,
        key: str,
        receiver: IResolutionReceiver,
        last_good: list[IAddress],
    ) -> None:
        self._names = names
        self._key = key
        self._receiver = receiver
        self._last_good = last_good
        self._found: list[IAddress] = []

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: IAddress) -> None:
        if len(self._found) < _MAX_ADDRESSES:
            self._found.append(address)

    def resolutionComplete(self) -> None:
        if self._found:
            self._names.remember(self._key, self._found)
        _deliver(self._found or self._last_good, self._receiver)


def _deliver(addresses: list[IAddress], receiver: IResolutionReceiver) -> None:
    for address in addresses:
        receiver.addressResolved(address)
    receiver.resolutionComplete()
