"""A listener at run time: who may connect, what its connections are given, what was counted."""

import json
from collections import Counter
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from veloflux.core.model import metrics
from veloflux.core.model.traffic import Listener as ListenerModel
from veloflux.edge.downstream import Downstream
from veloflux.edge.relay import Relay
from veloflux.edge.tally import Counted, increase

if TYPE_CHECKING:
    from veloflux.edge.plane import Plane

# Seconds between two lines in the log that say the same.
_SILENT_S = 60.0


def networks(model: ListenerModel) -> list[IPv4Network | IPv6Network]:
    """Of its trusted proxies. Raises ValueError for what is none."""
    return [ip_network(network) for network in model.trusted_proxies]


class Listener(Factory):
    """Builds a protocol per accepted connection; lives as long as its address is configured."""

    noisy = False
    _log = Logger()
    _silent_until = 0.0

    def __init__(self, model: ListenerModel, plane: "Plane") -> None:
        self.plane = plane
        self.connections: set[Any] = set()
        self.accepted = 0
        self._taken = 0
        self.rejected: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.bytes_in = 0
        self.bytes_out = 0
        self._per_address: Counter[str] = Counter()
        self.configure(model, 1)

    def configure(self, model: ListenerModel, workers: int) -> None:
        """Take a new configuration; connections that are open keep what they were given.

        `workers` is how many processes share `max_connections`; each takes its part.
        """
        self.model = model
        self._max_connections = -(-model.limits.max_connections // workers)
        self.name = model.name
        self.text = json.dumps(model.name)
        is_http = model.protocol == "http"
        self.scheme = b"http" if is_http else b"tcp"
        # By the minor version of a request, for the log.
        self.protocols = ("HTTP/1.0", "HTTP/1.1") if is_http else ("TCP", "TCP")
        self.limits = model.limits
        self._trusted = networks(model)

    @property
    def is_draining(self) -> bool:
        return self.plane.is_draining

    def trusts(self, address: str) -> bool:
        """Whether `address` belongs to a proxy whose word on its clients is believed."""
        if not self._trusted:
            return False
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)

    def count_error(self, protocol: str, kind: str) -> None:
        self.errors[protocol, kind] += 1

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        peer: str = getattr(addr, "host", "") or "unix:"
        reason = self._why_not(peer)
        if reason is not None:
            self.rejected[reason] += 1
            return None
        self.accepted += 1
        if self.model.protocol == "tcp":
            return Relay(self, peer)
        return Downstream(self, peer)

    def refused(self, count: int) -> None:
        """Count clients for whom there was no descriptor; say so, but not for each of them."""
        self.rejected["descriptors"] += count
        now = self.plane.deadlines.now()
        if now >= self._silent_until:
            self._silent_until = now + _SILENT_S
            self._log.warn(
                "no descriptor is left, so clients of listener {name} are refused; raise the limit "
                "(LimitNOFILE, ulimit -n) or lower max_connections",
                name=self.name,
            )

    def _why_not(self, peer: str) -> str | None:
        if self.plane.descriptors >= self.plane.max_descriptors:
            self.refused(0)
            return "descriptors"
        if 0 < self._max_connections <= len(self.connections):
            return "max_connections"
        if 0 < self.limits.max_connections_per_ip <= self._per_address[peer]:
            return "max_connections_per_ip"
        return None

    def take(self) -> Counted:
        """What was counted since the last time."""
        name = self.name
        yield from increase(metrics.CONNECTIONS_ACCEPTED, (name,), self.accepted - self._taken)
        self._taken = self.accepted
        for reason, count in self.rejected.items():
            yield from increase(metrics.CONNECTIONS_REJECTED, (name, reason), count)
        for (protocol, kind), count in self.errors.items():
            yield from increase(metrics.PROTOCOL_ERRORS, (name, protocol, kind), count)
        yield from increase(metrics.TCP_BYTES, (name, "in"), self.bytes_in)
        yield from increase(metrics.TCP_BYTES, (name, "out"), self.bytes_out)
        self.rejected.clear()
        self.errors.clear()
        self.bytes_in = self.bytes_out = 0

    def join(self, connection: Any) -> None:
        self.plane.descriptors += connection.descriptors
        self.connections.add(connection)
        self._per_address[connection.peer] += 1

    def leave(self, connection: Any) -> None:
        self.plane.descriptors -= connection.descriptors
        self.connections.discard(connection)
        self._per_address[connection.peer] -= 1
        if not self._per_address[connection.peer]:
            del self._per_address[connection.peer]
