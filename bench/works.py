"""The table of what is measured: each kind of work, who does it, and what is asked of VeloFlux."""

from dataclasses import dataclass
from typing import Literal

from bench.load import H2load, Load, Wrk
from bench.prices import PRICES

# The last is derived: what as many processors as workers could do, were the load not there. The
# busiest worker is the first whose processor is full, so it is requests per second of its time.
Unit = Literal["µs/request", "s/GB", "KB/connection", "p99 ms", "requests/s", "requests/s, derived"]


@dataclass(frozen=True, slots=True)
class Goal:
    """`who` needs at most `bound` times what `against` needs, or at most `bound` when that is None.

    For throughput, where more is better, it is at least, and no more is asked than `control`
    reaches on this machine: what its first peer does beside its second.
    """

    bound: float
    against: str | None
    who: str = "veloflux"
    control: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """`peers` are keys of bench.peers.PEERS, in the order in which they are shown.

    `load` None means idle connections. `cores_needed` is for a fair throughput: below it the
    proxy and the load take each other's time. `proxy_cores` 0 lets both use all processors. The
    load lasts `least_s` seconds at least.
    """

    title: str
    peers: tuple[str, ...]
    unit: Unit
    goal: Goal | None = None
    load: Load | None = None
    cores_needed: int = 2
    proxy_cores: int = 1
    least_s: int = 0


WORKS = {
    "http": Work(
        "HTTP/1.1 keep-alive, 100-byte answers, no access log",
        ("nginx", "haproxy", "twisted-web", "aiohttp", "floor", "veloflux"),
        "µs/request",
        Goal(1.5, "nginx"),
        Wrk(),
    ),
    "http-log": Work(
        "the same with access logs",
        ("nginx-log", "veloflux-log"),
        "µs/request",
        Goal(1.5, "nginx-log", "veloflux-log"),
        Wrk(),
    ),
    "connect": Work(
        "a new connection for each request",
        ("nginx", "haproxy", "veloflux"),
        "µs/request",
        Goal(2.0, "nginx"),
        Wrk(keepalive=False),
    ),
    "tls": Work(
        "TLS 1.3 keep-alive, 100-byte answers",
        ("nginx-tls", "veloflux-tls"),
        "µs/request",
        Goal(1.4, "nginx-tls", "veloflux-tls"),
        Wrk(is_secure=True),
    ),
    "tls-connect": Work(
        "a new connection and a full TLS 1.3 handshake for each request",
        ("nginx-tls", "veloflux-tls"),
        "µs/request",
        None,
        Wrk(keepalive=False, is_secure=True),
    ),
    "tls-1m": Work(
        "HTTP bodies of 1 MiB over TLS",
        ("nginx-tls", "veloflux-tls"),
        "s/GB",
        None,
        Wrk("/files/1m", connections=8, is_secure=True),
    ),
    "h2": Work(
        "HTTP/2 over TLS 1.3, one stream on each connection",
        ("nginx-h2", "veloflux-tls"),
        "µs/request",
        Goal(2.5, "nginx-h2", "veloflux-tls"),
        H2load(1),
    ),
    "h2-streams": Work(
        "HTTP/2 over TLS 1.3, ten streams on each connection",
        ("nginx-h2", "veloflux-tls"),
        "µs/request",
        Goal(2.5, "nginx-h2", "veloflux-tls"),
        H2load(10),
    ),
    "http-1m": Work(
        "HTTP bodies of 1 MiB",
        ("nginx", "haproxy", "veloflux"),
        "s/GB",
        Goal(0.5, "nginx"),
        Wrk("/files/1m", connections=8),
    ),
    "http-200m": Work(
        "HTTP bodies of 200 MB",
        ("nginx", "haproxy", "veloflux"),
        "s/GB",
        Goal(0.5, "nginx"),
        Wrk("/files/200m", connections=2),
    ),
    "tcp": Work(
        "TCP relay, 100-byte answers",
        ("haproxy-tcp", "veloflux-tcp"),
        "µs/request",
        None,
        Wrk(),
    ),
    "tcp-bulk": Work(
        "TCP relay, bulk",
        ("haproxy-splice", "veloflux-tcp"),
        "s/GB",
        Goal(1.0, "haproxy-splice", "veloflux-tcp"),
        Wrk("/files/200m", connections=2),
    ),
    "routes": Work(
        "10,000 routes in 1,000 hosts against one",
        ("veloflux-one-route", "veloflux-routes"),
        "µs/request",
        Goal(1.1, "veloflux-one-route", "veloflux-routes"),
        Wrk(many_routes=True),
    ),
    "swap": Work(
        "a new snapshot of 10,000 routes in 1,000 hosts under load, again and again",
        ("veloflux-quiet", "veloflux-swaps"),
        "p99 ms",
        Goal(2.0, "veloflux-quiet", "veloflux-swaps"),
        Wrk(many_routes=True),
        least_s=15,
    ),
    "tenants": Work(
        "one pool of 2,000 changed under load, again and again",
        ("veloflux-tenants-quiet", "veloflux-tenants"),
        "p99 ms",
        Goal(1.5, "veloflux-tenants-quiet", "veloflux-tenants"),
        Wrk(many_routes=True),
        least_s=15,
    ),
    "api": Work(
        "100 calls of the admin API a second, beside full load",
        ("veloflux-uncalled", "veloflux-called"),
        "p99 ms",
        Goal(1.25, "veloflux-uncalled", "veloflux-called"),
        Wrk(),
        # The admin API has a process of its own, which shares no processor with a worker by force.
        proxy_cores=0,
        least_s=10,
    ),
    "watched": Work(
        "1,000 watchers of the live metrics, under load",
        ("veloflux-unwatched", "veloflux-watched"),
        "p99 ms",
        Goal(1.1, "veloflux-unwatched", "veloflux-watched"),
        Wrk(),
        proxy_cores=0,
        least_s=15,
    ),
    "workers": Work(
        "two workers against one",
        ("veloflux", "veloflux-2"),
        "requests/s",
        Goal(1.8, "veloflux", "veloflux-2"),
        Wrk(),
        cores_needed=4,
        proxy_cores=2,
    ),
    "workers-derived": Work(
        "what two workers could do against one: derived from cost and how evenly it is spread",
        ("veloflux", "veloflux-2", "nginx", "nginx-2"),
        "requests/s, derived",
        Goal(1.8, "veloflux", "veloflux-2", ("nginx-2", "nginx")),
        Wrk(),
        # Two workers in turns on one processor would push each other's data out of its cache.
        proxy_cores=0,
    ),
    "policies": Work(
        "the price of each policy, one at a time",
        tuple(f"price-{key}" for key in PRICES),
        "µs/request",
        None,
        Wrk(),
    ),
    "idle": Work(
        "an idle keep-alive connection",
        ("nginx", "haproxy", "veloflux"),
        "KB/connection",
        Goal(4.0, None),
    ),
}
