"""Backends' names, looked up once for many connections.

An answer is good for REFRESH_S, and is then used while a new one is sought: a resolver that is slow
or down must not take working backends with it, for KEEP_S at least. What was not found is sought
again after RETRY_S, and whoever asks at the same time shares one lookup.

The system's resolver blocks, for half a minute when its servers do not answer. It runs in threads
that nothing else needs and that nobody waits for at the end.
"""

import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from veloflux.core.policy.reach import Reach

REFRESH_S = 10.0
KEEP_S = 600.0
RETRY_S = 1.0
MAX_ADDRESSES = 32
_MAX_NAMES = 4096
# Lookups at once, of different names.
_THREADS = 16

LookUp = Callable[[str, int], Deferred[list[IAddress]]]
"""Finds a name's addresses, with this port; fails with OSError when there are none."""


@dataclass(slots=True)
class _Name:
    """What is known of one name and port."""

    addresses: list[IAddress] = field(default_factory=list)
    use_until: float = 0.0
    ask_at: float = 0.0
    is_asked_for: bool = False
    is_lost: bool = False
    is_refused: bool = False
    waiting: list[IResolutionReceiver] = field(default_factory=list)


@implementer(IHostResolution)
class _Resolution:
    """One request; nobody in Twisted cancels it, and others may share its lookup."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Let it come and be ignored."""


@implementer(IHostnameResolver)
class RememberedNames:
    """For a reactor's `installNameResolver`; `now` gives monotonic seconds."""

    _log = Logger()

    def __init__(self, look_up: LookUp, now: Callable[[], float]) -> None:
        # Where connections may go; None: anywhere.
        self.reach: Reach | None = None
        self._look_up = look_up
        self._now = now
        self._names: dict[tuple[str, int], _Name] = {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See IHostnameResolver. Answers carry the port asked for, so it is part of the key."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        name = self._name(hostName, portNumber)
        now = self._now()
        if now >= name.ask_at and not name.is_asked_for:
            self._ask(name, hostName, portNumber)
        is_known = name.addresses and now < name.use_until
        if is_known or not name.is_asked_for:
            self._deliver(name.addresses if is_known else (), resolutionReceiver, name, hostName)
        else:
            name.waiting.append(resolutionReceiver)
        return resolution

    def _name(self, host: str, port: int) -> _Name:
        name = self._names.get((host, port))
        if name is None:
            if len(self._names) >= _MAX_NAMES:
                del self._names[next(iter(self._names))]
            name = self._names[host, port] = _Name()
        return name

    def _ask(self, name: _Name, host: str, port: int) -> None:
        name.is_asked_for = True
        self._look_up(host, port).addBoth(self._answered, name, host)

    def _answered(self, result: list[IAddress] | Failure, name: _Name, host: str) -> None:
        now = self._now()
        name.is_asked_for = False
        if isinstance(result, Failure) or not result:
            name.ask_at = now + RETRY_S
            self._lost(name, host, result)
        else:
            name.addresses = result[:MAX_ADDRESSES]
            name.use_until = now + KEEP_S
            name.ask_at = now + REFRESH_S
            self._found(name, host)
        waiting, name.waiting = name.waiting, []
        for receiver in waiting:
            found = name.addresses if now < name.use_until else ()
            self._deliver(found, receiver, name, host)

    def _lost(self, name: _Name, host: str, why: object) -> None:
        if not name.is_lost:
            name.is_lost = True
            self._log.warn(
                "the name {host} cannot be resolved: {why}; {kept} last addresses are used for now",
                host=host,
                why=why.getErrorMessage() if isinstance(why, Failure) else "it has no addresses",
                kept=len(name.addresses) or "no",
            )

    def _found(self, name: _Name, host: str) -> None:
        if name.is_lost:
            name.is_lost = False
            self._log.info("the name {host} can be resolved again", host=host)

    def _deliver(
        self, addresses: Sequence[IAddress], receiver: IResolutionReceiver, name: _Name, host: str
    ) -> None:
        """Give those that may be used, at each time: what a name leads to changes."""
        refused = []
        for address in addresses:
            assert isinstance(address, IPv4Address | IPv6Address)
            if self.reach is None or self.reach.admits_ip(address.host, address.port):
                receiver.addressResolved(address)
            else:
                refused.append(address.host)
        if refused and not name.is_refused:
            self._log.error(
                "the name {host} leads to {refused}, where no backend may be; see "
                "admin.backend_networks",
                host=host,
                refused=", ".join(refused),
            )
        name.is_refused = bool(refused)
        receiver.resolutionComplete()


class _Thread(Thread):
    """One that a process does not wait for when it ends."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named, daemon=True)

    def run(self) -> None:
        # Signals are for the main thread, which no longer wants them at the very end.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        super().run()


class _Threads(ThreadPool):
    threadFactory = _Thread


def install(reactor: Any) -> RememberedNames:
    """Make a reactor look names up by the system's resolver, and remember them."""
    threads = _Threads(0, _THREADS, "names")
    threads.start()

    def look_up(host: str, port: int) -> Deferred[list[IAddress]]:
        return deferToThreadPool(reactor, threads, _addresses, host, port)

    remembered = RememberedNames(look_up, reactor.seconds)
    reactor.installNameResolver(remembered)
    return remembered


def _addresses(host: str, port: int) -> list[IAddress]:
    """Ask the system; raises OSError."""
    found: list[IAddress] = []
    for family, _, _, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if family == socket.AF_INET:
            found.append(IPv4Address("TCP", *where))
        elif family == socket.AF_INET6:
            found.append(IPv6Address("TCP", *where))
    return found
