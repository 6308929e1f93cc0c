"""A listener at run time: who may connect, what its connections are given, what was counted."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from veloflux.core.model import metrics
from veloflux.core.model.traffic import Listener as ListenerModel
from veloflux.core.policy.access import Access, Networks, access, plain
from veloflux.core.policy.limit import client_key
from veloflux.core.policy.server_name import ByName
from veloflux.edge import handshake
from veloflux.edge.downstream import Downstream
from veloflux.edge.greeting import Greeted
from veloflux.edge.handshake import Secured
from veloflux.edge.http2.connection import Http2
from veloflux.edge.http2.knock import Knock
from veloflux.edge.preface import Prefaced
from veloflux.edge.reception import Book
from veloflux.edge.relay import Relay
from veloflux.edge.tally import Counted, gauge, increase
from veloflux.edge.terms import Agreement, Terms

if TYPE_CHECKING:
    from veloflux.edge.plane import Plane

# Seconds between two lines in the log that say the same.
_SILENT_S = 60.0
# Seconds that idle clients of a removed listener have for one more request, which tells them to go.
REMOVED_S = 5.0


def networks(model: ListenerModel) -> tuple[Networks, Access | None]:
    """Of its trusted proxies, and of who may connect. Raises ValueError for what is none."""
    return Networks(model.trusted_proxies), access(model.allow, model.deny)


class Listener(Factory):
    """Builds a protocol per accepted connection; lives as long as its address is configured."""

    noisy = False
    _log = Logger()
    _silent_until = 0.0
    # Nothing is configured at its address any more, or something else is.
    is_removed = False
    terms: Terms | None = None

    def __init__(self, model: ListenerModel, plane: "Plane") -> None:
        self.plane = plane
        # Whether clients are asked to go elsewhere with their next request.
        self.is_draining = plane.is_draining
        # Those under way, the oldest first.
        self.handshakes: dict[Secured, None] = {}
        self.connections: set[Any] = set()
        self.accepted = 0
        self._taken = 0
        self.rejected: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.bytes_in = 0
        self.bytes_out = 0
        self._per_client: dict[str | bytes, int] = {}
        self.configure(model, 1, None)

    def configure(self, model: ListenerModel, workers: int, secrecy: Terms | None) -> None:
        """Take a new configuration; connections that are open keep what they were given.

        `workers` is how many processes share `max_connections`; each takes its part. `secrecy` is
        for its TLS, None in clear text.
        """
        self.model = model
        self.terms = secrecy
        self._max_connections = -(-model.limits.max_connections // workers)
        self.name = model.name
        self.text = json.dumps(model.name)
        is_http = model.protocol == "http"
        self.scheme = (b"http" if model.tls is None else b"https") if is_http else b"tcp"
        self.limits = model.limits
        rules = [(rule.host, rule.pool) for rule in model.sni]
        self.by_name = ByName(rules, model.pool) if rules else None
        self._trusted, self._access = networks(model)
        self._book: Book = {}

    def remove(self) -> None:
        """Accept nobody more; who is there has some seconds for one more request."""
        self.is_removed = True
        self.drain(REMOVED_S)

    def drain(self, patience_s: float = 0.0) -> None:
        """Ask every client to go elsewhere; those that are idle have so long for one more request,
        which tells them."""
        self.is_draining = True
        for connection in list(self.connections):
            connection.drain(patience_s)

    def trusts(self, address: str) -> bool:
        """Whether `address` belongs to a proxy whose word on its clients is believed."""
        if not self._trusted:
            return False
        ip = plain(address)
        return ip is not None and ip in self._trusted

    def count_error(self, protocol: str, kind: str) -> None:
        self.errors[protocol, kind] += 1

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        peer: str = getattr(addr, "host", "") or "unix:"
        is_prefaced = self.model.proxy_protocol
        reason = self._why_nobody()
        if reason is None:
            reason = self._why_no_word_of(peer) if is_prefaced else self._why_not(peer)
        if reason is not None:
            self.rejected[reason] += 1
            return None
        self.accepted += 1
        return Prefaced(self, peer) if is_prefaced else self._build(peer)

    def build_for(self, client: str) -> "Downstream | Knock | Relay | Secured | Greeted | None":
        """The protocol for a connection whose PROXY header names `client`; None when it is turned
        away after all."""
        reason = "removed" if self.is_removed else self._why_not(client)
        if reason is not None:
            self.rejected[reason] += 1
            return None
        return self._build(client)

    def _build(self, client: str) -> Downstream | Knock | Relay | Secured | Greeted:
        if self.by_name is not None:
            return Greeted(self, client)
        if self.terms is not None:
            return Secured(self, client)
        if self.model.protocol == "tcp":
            return Relay(self, client)
        if self.model.h2c:
            return Knock(self, client)
        downstream = Downstream(self, client)
        if not downstream.is_trusted:
            downstream.share(self._book)
        return downstream

    def build_secured(self, client: str, agreement: Agreement) -> Downstream | Http2 | Relay:
        """The protocol for a connection whose TLS handshake is through."""
        if agreement.alpn == b"h2":
            return Http2(self, client)
        return Relay(self, client) if self.model.protocol == "tcp" else Downstream(self, client)

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

    def _why_nobody(self) -> str | None:
        if self.plane.descriptors >= self.plane.max_descriptors:
            self.refused(0)
            return "descriptors"
        if 0 < self._max_connections <= len(self.connections):
            return "max_connections"
        return None

    def _why_no_word_of(self, peer: str) -> str | None:
        """Who may send a PROXY header: everybody where nobody is named. On a Unix socket the
        rights of its path have judged (S27)."""
        if not self._trusted or peer == "unix:" or self.trusts(peer):
            return None
        return "untrusted"

    def _why_not(self, client: str) -> str | None:
        if self._access is not None and not self._access.admits(client):
            return "denied"
        if 0 < self.limits.max_connections_per_ip <= self._per_client.get(_who(client), 0):
            return "max_connections_per_ip"
        handshakes = self.handshakes
        if len(handshakes) >= handshake.MOST and not next(iter(handshakes)).make_room():
            return "handshakes"
        return None

    def take(self) -> Counted:
        """What was counted since the last time, and who is there now."""
        name = self.name
        yield from increase(metrics.CONNECTIONS_ACCEPTED, (name,), self.accepted - self._taken)
        self._taken = self.accepted
        for reason, count in self.rejected.items():
            yield from increase(metrics.CONNECTIONS_REJECTED, (name, reason), count)
        for (protocol, kind), count in self.errors.items():
            yield from increase(metrics.PROTOCOL_ERRORS, (name, protocol, kind), count)
        yield gauge(metrics.CONNECTIONS, ("downstream", name), len(self.connections))
        yield from increase(metrics.TCP_BYTES, (name, "in"), self.bytes_in)
        yield from increase(metrics.TCP_BYTES, (name, "out"), self.bytes_out)
        self.rejected.clear()
        self.errors.clear()
        self.bytes_in = self.bytes_out = 0

    def join(self, connection: Any) -> None:
        self.plane.descriptors += connection.descriptors
        self.connections.add(connection)
        who = _who(connection.peer)
        self._per_client[who] = self._per_client.get(who, 0) + 1

    def leave(self, connection: Any) -> None:
        self.plane.descriptors -= connection.descriptors
        self.connections.discard(connection)
        who = _who(connection.peer)
        left = self._per_client[who] - 1
        if left:
            self._per_client[who] = left
        else:
            del self._per_client[who]


def _who(address: str) -> str | bytes:
    """Whose connections count together: those of an IPv4 address, and of the /64 of an IPv6 one."""
    return client_key(address) if ":" in address else address
