"""Active health checks, made once per node: when each backend is checked, and what came out.

A backend's first check follows its configuration at once, its second after a random part of the
interval: so neither the backends of a pool nor the nodes of a cluster are checked in step. A check
never begins before the one before it has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from veloflux.core.model.address import Address
from veloflux.core.model.tls import BackendTls
from veloflux.core.model.traffic import BackendProtocol, HealthCheck, ProxyProtocol, Snapshot
from veloflux.core.policy.health import Health, State
from veloflux.core.wire.preface import own_preface
from veloflux.edge.trust import Trust, Trusts
from veloflux.fleet.check import Check, Verdict

# The first checks of many backends are spread over so much time for each.
_SPACING_S = 0.002

# A backend of a pool, how it is checked, the PROXY header it wants, and its TLS.


class Key(NamedTuple):
    """What a probe depends on: another of any is another probe."""

    pool: str
    address: Address
    check: HealthCheck
    proxy_protocol: ProxyProtocol | None
    tls: BackendTls | None
    protocol: BackendProtocol


class OnChange(Protocol):
    """Hears that a backend, named by its address's text, became healthy or unhealthy."""

    def __call__(self, pool: str, backend: str, healthy: bool, /) -> None: ...


class OnResult(Protocol):
    """Hears of every check that ended, and how long it took."""

    def __call__(self, pool: str, backend: str, ok: bool, took_s: float, /) -> None: ...


@dataclass(slots=True)
class Counts:
    """Checks since the start, those that failed for a reason of our own left out."""

    total: int = 0
    successful: int = 0

    @property
    def failed(self) -> int:
        return self.total - self.successful


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a checked backend: how long ago its last check ended and how long that took,
    None before the first; and for how long it has been in its state."""

    state: State
    ended_ago_s: float | None
    took_s: float | None
    since_s: float


class Probes:
    """Checks the backends of the present snapshot."""

    def __init__(
        self, reactor: Any, on_change: OnChange, on_result: OnResult, luck: Callable[[], float]
    ) -> None:
        self._reactor = reactor
        self._on_change = on_change
        self._on_result = on_result
        self._luck = luck
        self._probes: dict[Key, _Probe] = {}
        self._trusts = Trusts()
        self.counts = Counts()

    def configure(self, snapshot: Snapshot) -> None:
        """Check the enabled backends of this snapshot.

        Those whose address and check are as before keep their state and their rhythm. A backend
        that is no longer checked counts as usable.
        """
        wanted: list[Key] = [
            Key(
                pool.name,
                backend.address,
                pool.health_check,
                pool.proxy_protocol,
                backend.tls,
                pool.protocol,
            )
            for pool in snapshot.pools
            if pool.health_check is not None
            for backend in pool.backends
            if backend.enabled
        ]
        checked = {key[:2] for key in wanted}
        gone = self._probes.keys() - wanted
        lessened = {key.pool for key in gone}
        known = {
            (pool.name, backend.address)
            for pool in snapshot.pools
            if pool.name in lessened
            for backend in pool.backends
        }
        for key in gone:
            probe = self._probes.pop(key)
            probe.stop()
            if not probe.health.is_usable and key[:2] in known - checked:
                # Nobody will ever find it healthy again.
                self._on_change(key.pool, str(key.address), True)
        new = [key for key in wanted if key not in self._probes]
        for key in new:
            spread = min(key.check.interval_s, _SPACING_S * len(new))
            self._probes[key] = _Probe(
                self._reactor,
                key,
                spread,
                self._luck,
                self._on_change,
                self._ended,
                self._trusts.of(key.tls, key.address, key.protocol),
            )
        self._trusts.retain((key.tls, key.protocol) for key in self._probes)

    def states(self) -> dict[tuple[str, str], State]:
        """The state of every checked backend, by pool and the text of its address."""
        return {
            (pool, str(address)): probe.health.state
            for (pool, address, *_), probe in self._probes.items()
        }

    def reports(self) -> dict[tuple[str, str], Report]:
        """More of every checked backend, in the same way."""
        now = self._reactor.seconds()
        return {
            (pool, str(address)): probe.report(now)
            for (pool, address, *_), probe in self._probes.items()
        }

    def stop(self) -> None:
        """Check nothing any more."""
        for probe in self._probes.values():
            probe.stop()
        self._probes.clear()

    def _ended(self, key: Key, ok: bool, took_s: float) -> None:
        self.counts.total += 1
        self.counts.successful += ok
        self._on_result(key.pool, str(key.address), ok, took_s)


class _Probe:
    """One backend's checks, one after the other."""

    _log = Logger(namespace="veloflux.health")

    def __init__(
        self,
        reactor: Any,
        key: Key,
        spread_s: float,
        luck: Callable[[], float],
        on_change: OnChange,
        on_end: Callable[[Key, bool, float], None],
        trust: Trust | None,
    ) -> None:
        self.health = Health(key.check.rise, key.check.fall)
        self._reactor = reactor
        self._key = key
        self._trust = trust
        self._luck = luck
        self._on_change = on_change
        self._on_end = on_end
        self._began = 0.0
        self._turned_at: float = reactor.seconds()
        self._last: tuple[float, float] | None = None
        self._is_first = True
        self._is_hindered = False
        self._check: Check | None = None
        self._timer: IDelayedCall = reactor.callLater(luck() * spread_s, self._begin)

    def stop(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        if self._check is not None:
            self._check.stop()

    def report(self, now: float) -> Report:
        ended, took = (None, None) if self._last is None else self._last
        ago = None if ended is None else now - ended
        return Report(self.health.state, ago, took, now - self._turned_at)

    def _begin(self) -> None:
        if self._check is not None:
            self._check.stop()  # its verdict is given, but the backend has not closed yet
        self._began = self._reactor.seconds()
        key, version = self._key, self._key.proxy_protocol
        # A check is on nobody's behalf.
        preface = b"" if version is None else own_preface(version)
        self._check = Check(
            self._reactor, key.address, key.check, self._end, preface, self._trust, key.protocol
        )

    def _end(self, verdict: Verdict) -> None:
        took = self._reactor.seconds() - self._began
        pause = self._key.check.interval_s
        if self._is_first:
            self._is_first = False
            pause *= self._luck()
        self._timer = self._reactor.callLater(max(0.0, pause - took), self._begin)
        if verdict.ok is None:
            self._hindered(verdict.reason)
            return
        self._is_hindered = False
        self._last = self._began + took, took
        self._on_end(self._key, verdict.ok, took)
        if self.health.observe(verdict.ok):
            self._turned_at = self._began + took
            self._turned(verdict)

    def _hindered(self, reason: str) -> None:
        if not self._is_hindered:
            self._is_hindered = True
            self._log.error("cannot check backends, they stay as they are: {reason}", reason=reason)

    def _turned(self, verdict: Verdict) -> None:
        (pool, address, *_), healthy = self._key, self.health.is_usable
        if healthy:
            self._log.info(
                "backend {backend} of pool {pool} is healthy: {reason}",
                event="BackendUp", pool=pool, backend=str(address), reason=verdict.reason,
            )  # fmt: skip
        else:
            self._log.warn(
                "backend {backend} of pool {pool} is unhealthy: {reason}",
                event="BackendDown", pool=pool, backend=str(address), reason=verdict.reason,
            )  # fmt: skip
        self._on_change(pool, str(address), healthy)
