"""What traffic meets: listeners, pools, backends and routes, as frozen values.

Durations are float seconds, sizes are bytes; 0 means *no limit* where a limit may be absent.
The defaults are those of the configuration file.
"""

from dataclasses import dataclass, field
from typing import Literal

from veloflux.core.model.address import Address
from veloflux.core.model.policies import Compression, Cors, Mirror, RateLimit
from veloflux.core.model.resilience import (
    CircuitBreaker,
    OutlierDetection,
    Retries,
    StickySessions,
)
from veloflux.core.model.tls import BackendTls, ListenerTls

Protocol = Literal["http", "tcp"]
Algorithm = Literal[
    "round_robin",
    "weighted_round_robin",
    "least_conn",
    "random",
    "power_of_two",
    "peak_ewma",
    "ip_hash",
    "consistent_hash",
]
ProxyProtocol = Literal["v1", "v2"]
BackendProtocol = Literal["http1", "h2"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener grants its clients."""

    max_connections: int = 10_000
    max_connections_per_ip: int = 0
    max_headers: int = 100
    max_header_bytes: int = 32 * 1024
    max_target_bytes: int = 8 * 1024
    max_body_bytes: int = 10 * 1024 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    min_body_rate: int = 240
    keepalive_timeout_s: float = 60.0
    write_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class SniRoute:
    """Where TLS connections for a host go; `host` is exact or `*.suffix`."""

    host: str
    pool: str


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that clients connect to; `pool` is where a tcp listener's connections go.

    With `sni`, it relays TLS unopened, by the host that is asked for: `pool` is for all others,
    None to refuse them.

    With `proxy_protocol`, each connection begins with a PROXY header that names the client.
    `allow` and `deny` are networks; who is in `deny`, or not in an `allow` that is not empty, is
    turned away. With `h2c`, clients may speak HTTP/2 in clear text, and begin with it.
    """

    name: str
    address: Address
    protocol: Protocol = "http"
    pool: str | None = None
    sni: tuple[SniRoute, ...] = ()
    tls: ListenerTls | None = None
    proxy_protocol: bool = False
    h2c: bool = False
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Backend:
    """One server of a pool; its address is its identity there.

    `max_connections` bounds the requests or relayed connections it works on, for all workers.
    """

    address: Address
    weight: int = 1
    max_connections: int = 0
    backup: bool = False
    enabled: bool = True
    tls: BackendTls | None = None
    labels: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """An active check; `expected_status` holds inclusive (low, high) ranges."""

    type: Literal["http", "tcp"] = "http"
    path: str = "/health"
    interval_s: float = 5.0
    timeout_s: float = 2.0
    rise: int = 2
    fall: int = 3
    expected_status: tuple[tuple[int, int], ...] = ((200, 399),)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines towards a backend; `total_s` covers the whole request with all its attempts, 0 for
    none; `queue_s` the wait until a backend may take it, 0 to wait for none."""

    connect_s: float = 3.0
    first_byte_s: float = 30.0
    idle_s: float = 30.0
    total_s: float = 0.0
    queue_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Idle connections kept to each backend, by each worker."""

    max_idle: int = 256
    idle_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Pool:
    """Backends that serve the same thing, and how one of them is chosen.

    `hash_on` is what the hashing algorithms look at: `client_ip`, `path`, `header:Name` or
    `cookie:Name`. When less than `panic_percent` of the backends are healthy, health is no longer
    asked for. `protocol` is what its backends speak to HTTP listeners' requests, `proxy_protocol`
    the version of the header that they get.
    """

    name: str
    backends: tuple[Backend, ...]
    algorithm: Algorithm = "round_robin"
    hash_on: str = "client_ip"
    sticky_sessions: StickySessions | None = None
    health_check: HealthCheck | None = None
    outlier_detection: OutlierDetection | None = OutlierDetection()
    panic_percent: int = 0
    slow_start_s: float = 0.0
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    circuit_breaker: CircuitBreaker | None = None
    keepalive: Keepalive = Keepalive()
    proxy_protocol: ProxyProtocol | None = None
    protocol: BackendProtocol = "http1"


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Edits in the order remove, set, add; names and values are valid field text."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that sends the client elsewhere; `to` ending in `/` gets the request's path."""

    to: str
    status: int = 308


@dataclass(frozen=True, slots=True)
class Share:
    """A pool's weight among a route's pools."""

    pool: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Route:
    """Which requests, and what becomes of them: exactly one of `pools` and `redirect` is set.

    `host` is exact, `*.suffix` or `*`. `path_prefix` matches whole path segments: `/api` matches
    `/api` and `/api/x`, not `/apix`.
    """

    id: str
    host: str = "*"
    path_prefix: str = "/"
    methods: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    pools: tuple[Share, ...] = ()
    strip_prefix: bool = False
    preserve_host: bool = True
    request_headers: HeaderEdits = HeaderEdits()
    response_headers: HeaderEdits = HeaderEdits()
    redirect: Redirect | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    rate_limit: RateLimit | None = None
    max_body_bytes: int | None = None
    websocket: bool = True
    security_headers: bool = False
    cors: Cors | None = None
    mirror: Mirror | None = None
    compression: Compression | None = None


@dataclass(frozen=True, slots=True)
class BackendNetworks:
    """Where backends may be: nowhere in `deny`, and in `allow` alone if that is not empty."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::254/128",
        "0.0.0.0/8",
        "::/128",
        "224.0.0.0/4",
        "ff00::/8",
    )


BACKEND_NETWORKS = BackendNetworks()


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Where access lines go: `path` None is standard output."""

    path: str | None = None
    format: Literal["json", "combined"] = "json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a worker needs to know; immutable. `version` counts what was tried with workers,
    `revision` is the number that people know the configuration by: the same with renewed files.

    `workers` is how many processes share each listener's `max_connections`; `access_log` None
    means that none is written. `secret` signs what clients bring back; it is the node's, and no
    part of its configuration. With `tracing`, requests that belong to no trace begin one. At
    `own_addresses`, where the daemon is administered, there is no backend.
    """

    version: int
    listeners: tuple[Listener, ...]
    pools: tuple[Pool, ...]
    routes: tuple[Route, ...]
    access_log: AccessLog | None = AccessLog()
    workers: int = 1
    tracing: bool = False
    secret: bytes = field(default=b"", repr=False)
    revision: int = 0
    backend_networks: BackendNetworks = BACKEND_NETWORKS
    own_addresses: tuple[Address, ...] = ()
