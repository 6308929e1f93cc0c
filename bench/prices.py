"""What each policy is measured with: one at a time, beside the same route without it.

Every row is the plain configuration with one thing more. What a price is compared with is named in
`against`; that is a row of this table, too.
"""

from dataclasses import dataclass

from bench.load import Wrk

# A browser's page of another origin, and a client that takes compressed answers.
FOREIGN = "Origin: https://app.example.org"
PACKED = "Accept-Encoding: gzip, zstd"
GZIP = "Accept-Encoding: gzip"


@dataclass(frozen=True, slots=True)
class Price:
    """One policy: lines for the configuration, each of which may be empty, and how it is asked."""

    label: str
    against: str = "plain"
    pool: str = ""
    backend: str = ""
    hosts: tuple[str, str] = ("127.0.0.1", "127.0.0.2")
    route: str = ""
    listener: str = ""
    load: Wrk | None = None


JSON = Wrk("/json", headers=(GZIP,))
JSON_ZSTD = Wrk("/json", headers=("Accept-Encoding: zstd",))
CLOSED = Wrk(keepalive=False)
PACK = "compression: {}"

# Two backends, and no outlier detection: it is on by default, and has its own row.
PRICES = {
    "plain": Price("plain route, round robin of two", against=""),
    "outlier": Price("outlier detection (the default)", pool="outlier_detection: {}"),
    "least-conn": Price("least_conn", pool="algorithm: least_conn"),
    "power-of-two": Price("power_of_two", pool="algorithm: power_of_two"),
    "peak-ewma": Price("peak_ewma", pool="algorithm: peak_ewma"),
    "consistent-hash": Price("consistent_hash on client_ip", pool="algorithm: consistent_hash"),
    "sticky-first": Price("sticky session, no cookie yet", pool="sticky_sessions: {}"),
    "sticky": Price(
        "sticky session, cookie brought",
        pool="sticky_sessions: {}",
        load=Wrk(is_returning=True),
    ),
    "rate-limit": Price(
        "rate limit by client_ip",
        route="rate_limit: {requests_per_second: 1000000, burst: 1000000}",
    ),
    "access": Price("access list of the route", route="allow: [10.0.0.0/8, 127.0.0.0/8]"),
    "edits": Price(
        "header edits, both ways",
        route="request_headers: {set: {X-Asked: a}, remove: [X-Gone]}\n"
        "    response_headers: {set: {X-Told: b}, remove: [Server]}",
    ),
    "cors": Price(
        "cors, asked by a foreign page",
        route="cors: {origins: ['https://app.example.org']}",
        load=Wrk(headers=(FOREIGN,)),
    ),
    "compression-small": Price(
        "compression, answer too small", route=PACK, load=Wrk(headers=(PACKED,))
    ),
    "mirror": Price("mirror, all requests", route="mirror: {pool: copies, percent: 100}"),
    "max-connections": Price("max_connections, never reached", backend=", max_connections: 1000"),
    "queue": Price("max_connections 8, so that most wait", backend=", max_connections: 8"),
    "breaker": Price("circuit breaker", pool="circuit_breaker: {error_percent: 50}"),
    "plain-json": Price("plain, 10 KB of JSON", against="", load=JSON),
    "compression-gzip": Price("10 KB of JSON as gzip", "plain-json", route=PACK, load=JSON),
    "compression-zstd": Price("10 KB of JSON as zstd", "plain-json", route=PACK, load=JSON_ZSTD),
    "plain-connect": Price("plain, a connection each", against="", load=CLOSED),
    "proxy-in": Price(
        "PROXY header from the client",
        "plain-connect",
        listener="proxy_protocol: true",
        load=Wrk(keepalive=False, is_prefaced=True),
    ),
    "proxy-out": Price(
        "PROXY header to the backend",
        "plain-connect",
        pool="proxy_protocol: v1",
        hosts=("127.0.0.3", "127.0.0.4"),
        load=CLOSED,
    ),
}

CONFIGURATION = """
workers: 1
data_dir: $folder/var
admin: {address: "127.0.0.1:$admin"}
listeners:
  - address: 127.0.0.1:$port
    LISTENER
pools:
  - name: app
    backends:
BACKENDS
    POOL
  - {name: copies, backends: [{address: "127.0.0.1:$origin"}], outlier_detection: null}
routes:
  - pool: app
    ROUTE
logging:
  access: null
"""


def configuration(price: Price) -> str:
    """A configuration with that policy, for bench.peers."""
    pool = price.pool
    if not pool.startswith("outlier_detection"):
        pool += "\n    outlier_detection: null"
    backends = [f'      - {{address: "{host}:$origin"{price.backend}}}' for host in price.hosts]
    words = {"LISTENER": price.listener, "BACKENDS": "\n".join(backends), "ROUTE": price.route}
    text = CONFIGURATION.replace("POOL", pool)
    for word, lines in words.items():
        text = text.replace(word, lines)
    return text
