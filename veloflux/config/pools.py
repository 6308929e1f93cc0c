"""Sections about backends and how one is chosen."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from veloflux.config.fields import (
    BackendAddress,
    Duration,
    DurationOrNone,
    Labels,
    Name,
    written,
)
from veloflux.config.http_fields import CheckTarget, StatusRanges
from veloflux.config.policies import keyed
from veloflux.config.resilience import (
    NO_OUTLIER_OPTIONS,
    NO_RETRY_OPTIONS,
    CircuitBreaker,
    OutlierDetection,
    Retries,
    StickySessions,
    or_boolean,
    yes_is_defaults,
)
from veloflux.config.section import Section, option
from veloflux.config.tls import BackendTls
from veloflux.config.wording import quote, suggest

ALGORITHMS = (
    "round_robin",
    "weighted_round_robin",
    "least_conn",
    "random",
    "power_of_two",
    "peak_ewma",
    "ip_hash",
    "consistent_hash",
    "adaptive",
    "predictive_least_conn",
    "geo_proximity",
)
# As they are called elsewhere.
ALIASES = {"least_connections": "least_conn", "wrr": "weighted_round_robin", "p2c": "power_of_two"}


def _algorithm(value: object) -> str:
    """Return an algorithm's own name; raises ValueError."""
    name = written(value, "round_robin")
    name = ALIASES.get(name, name)
    if name not in ALGORITHMS:
        raise ValueError(
            f"no algorithm is called {quote(name)}; {suggest(name, [*ALGORITHMS, *ALIASES])}"
        )
    return name


def _hash_source(value: str) -> str:
    return keyed(value, ("client_ip", "path"))


Algorithm = Annotated[
    str,
    BeforeValidator(_algorithm),
    WithJsonSchema({"type": "string", "enum": [*ALGORITHMS, *ALIASES]}),
]
HashSource = Annotated[str, AfterValidator(_hash_source)]


class Backend(Section):
    """One server of a pool; its address is its identity there."""

    address: BackendAddress = Field(
        description="Where it is reached.", examples=["127.0.0.1:9001", "unix:/run/app.sock"]
    )
    weight: int = option(
        1, "Its share, for algorithms that weigh; 0: only clients that stick to it.", ge=0, le=1000
    )
    max_connections: int = option(
        0,
        "Requests, or relayed connections, it works on at the same time, of all workers; 0: no "
        "limit.",
        ge=0,
        le=1_000_000,
    )
    backup: bool = option(False, "Only used while no other backend of the pool can be.")
    enabled: bool = option(True, "Whether it gets traffic.")
    tls: BackendTls | None = option(None, "null: clear text.")
    labels: Labels = option({}, "Region, zone, version, anything.", examples=[{"zone": "a"}])


class HealthCheck(Section):
    """Asks each backend regularly whether it is well; one that is not gets no traffic."""

    type: Literal["http", "tcp"] = option(
        "http", "`http`: a GET that must be answered well; `tcp`: a connection that must open."
    )
    path: CheckTarget = option("/health", "What is asked for, with `type: http`.")
    interval: Annotated[Duration, Field(ge=0.01)] = option("5s", "From one check to the next.")
    timeout: Duration = option("2s", "For one check to succeed.")
    rise: int = option(2, "Successes in a row that make a backend healthy.", ge=1, le=100)
    fall: int = option(3, "Failures in a row that make it unhealthy.", ge=1, le=100)
    expected_status: StatusRanges = option(
        "200-399", "Statuses that are a success: codes and ranges, separated by commas."
    )


class Timeouts(Section):
    """How long a backend is waited for."""

    connect: Duration = option("3s", "For a connection to open.")
    first_byte: Duration = option("30s", "From a request sent to the head of its answer: 504.")
    idle: Duration = option("30s", "For an answer, or a relayed connection, to make no progress.")
    total: DurationOrNone = option("0s", "For the whole request; 0s: no limit.")
    queue: DurationOrNone = option("2s", "For a request to wait until a backend may take it.")


class Keepalive(Section):
    """Idle connections kept to each backend, by each worker."""

    max_idle: int = option(
        256,
        "How many; up to four times as many for a second after a burst; 0: none.",
        ge=0,
        le=100_000,
    )
    idle_timeout: Duration = option("60s", "How long.")


# Shared by all pools without any.
_NO_TIMEOUTS = Timeouts()
_NO_KEEPALIVE = Keepalive()


class Pool(Section):
    """Backends that serve the same thing."""

    name: Name = Field(description="Unique name.", examples=["app"])
    protocol: Literal["http1", "h2"] = option(
        "http1",
        "What its backends speak: `http1`, or `h2` for HTTP/2 (over TLS by ALPN, in clear text "
        "from the first byte), as gRPC needs it. A tcp listener relays whatever is spoken.",
    )
    algorithm: Algorithm = option(
        "round_robin",
        "How a backend is chosen. `least_connections`, `wrr` and `p2c` are accepted for "
        "`least_conn`, `weighted_round_robin` and `power_of_two`.",
    )
    hash_on: HashSource = option(
        "client_ip",
        "For the hashing algorithms: `client_ip`, `path`, `header:Name` or `cookie:Name`.",
    )
    sticky_sessions: Annotated[StickySessions | None, BeforeValidator(yes_is_defaults)] = option(
        None,
        "null: none; `{}` or `true`: with the defaults.",
        json_schema_extra=or_boolean,
    )
    backends: list[Backend] = option(
        [], "Each address once; without any, every request is answered 503.", max_length=10_000
    )
    health_check: HealthCheck | None = option(
        None, "null: none, every backend counts as healthy; `{}`: a check with the defaults."
    )
    outlier_detection: OutlierDetection | None = Field(
        default_factory=lambda: NO_OUTLIER_OPTIONS,
        description="Takes backends out that fail; null: none is.",
    )
    panic_percent: int = option(
        0,
        "With a smaller share of healthy backends than this, all of them get traffic; 0: never.",
        ge=0,
        le=100,
    )
    slow_start: DurationOrNone = option(
        "0s", "For a backend that comes back to reach its full share; 0s: at once."
    )
    timeouts: Timeouts = Field(default_factory=lambda: _NO_TIMEOUTS, description="Deadlines.")
    retries: Retries = Field(
        default_factory=lambda: NO_RETRY_OPTIONS, description="Further attempts."
    )
    circuit_breaker: CircuitBreaker | None = option(None, "null: none; `{}`: with the defaults.")
    keepalive: Keepalive = Field(
        default_factory=lambda: _NO_KEEPALIVE, description="Kept connections."
    )
    proxy_protocol: Literal["v1", "v2"] | None = option(
        None,
        "Begin each connection with a PROXY header of this version; null: none. HTTP connections "
        "are then not shared by clients.",
    )
