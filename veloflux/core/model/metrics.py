"""Every metric family, once: its name, kind, labels and meaning; and the samples that travel.

Names follow the Prometheus rules: base units, `_total` on counters, and no label value that a
client chooses. Workers send samples up; the control plane sums them over workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

# Seconds; from a fast local answer to a stuck one.
LATENCY_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
# What workers count latencies by: the R10 series of preferred numbers (ISO 3), in which all of the
# above are: each bound is a quarter over the one before, and the counts fold into those above.
LATENCY_BOUNDS = (
    *(
        round(10.0**decade * step, 7)
        for decade in range(-4, 1)
        for step in (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
    ),
    *(10.0, 12.5, 16.0, 20.0, 25.0, 30.0, 40.0, 50.0, 63.0, 80.0, 100.0),
)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family; `labels` are names, in the order that samples carry their values.

    `bounds` are what a histogram is counted by, when that is finer than its `buckets`, which are
    among them.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()


HTTP_REQUESTS = Family(
    "veloflux_http_requests_total",
    "counter",
    "HTTP requests answered.",
    ("route", "code_class", "method"),
)
HTTP_DURATION = Family(
    "veloflux_http_request_duration_seconds",
    "histogram",
    "From a request's head read to its answer's last byte handed to the system.",
    ("route",),
    LATENCY_BUCKETS,
    LATENCY_BOUNDS,
)
HTTP_BYTES = Family(
    "veloflux_http_bytes_total",
    "counter",
    "Bytes of HTTP bodies, from clients (in) and to clients (out).",
    ("route", "direction"),
)
HTTP_RESPONSES = Family(
    "veloflux_http_responses_total",
    "counter",
    "HTTP requests answered, by status; 0 for those that got no answer.",
    ("status",),
)
MIRRORED_REQUESTS = Family(
    "veloflux_mirrored_requests_total",
    "counter",
    "Copies of requests for a route's mirror: sent and answered, failed, or dropped unsent.",
    ("route", "result"),
)
RATELIMIT_DECISIONS = Family(
    "veloflux_ratelimit_decisions_total",
    "counter",
    "Requests that a route's rate limit let through (allowed) or answered with 429 (limited).",
    ("route", "decision"),
)
UPSTREAM_REQUESTS = Family(
    "veloflux_upstream_requests_total",
    "counter",
    "Requests a backend answered, or failed to (code_class none).",
    ("pool", "backend", "code_class"),
)
UPSTREAM_DURATION = Family(
    "veloflux_upstream_request_duration_seconds",
    "histogram",
    "From a request sent to its backend to the head of the answer.",
    ("pool", "backend"),
    LATENCY_BUCKETS,
    LATENCY_BOUNDS,
)
UPSTREAM_RETRIES = Family(
    "veloflux_upstream_retries_total",
    "counter",
    "Further attempts, by what went wrong with the one before.",
    ("pool", "reason"),
)
UPSTREAM_INFLIGHT = Family(
    "veloflux_upstream_inflight",
    "gauge",
    "Requests or TCP connections a backend is working on.",
    ("pool", "backend"),
)
UPSTREAM_STATE = Family(
    "veloflux_upstream_state",
    "gauge",
    "1 for the state a backend is in: healthy, unhealthy, unknown, ejected, draining or disabled.",
    ("pool", "backend", "state"),
)
UPSTREAM_EJECTIONS = Family(
    "veloflux_upstream_ejections_total",
    "counter",
    "Times that a backend was taken out because real traffic failed on it.",
    ("pool", "backend", "reason"),
)
UPSTREAM_QUEUE = Family(
    "veloflux_upstream_queue_length", "gauge", "Requests that wait for a backend.", ("pool",)
)
UPSTREAM_BREAKER = Family(
    "veloflux_upstream_circuit_open",
    "gauge",
    "Workers whose circuit breaker for the pool does not let all requests through.",
    ("pool",),
)
RETRY_BUDGET_EXHAUSTED = Family(
    "veloflux_upstream_retry_budget_exhausted_total",
    "counter",
    "Retries that were not made because the pool's budget was spent.",
    ("pool",),
)
HEALTH_CHECK_DURATION = Family(
    "veloflux_upstream_health_check_duration_seconds",
    "histogram",
    "How long active health checks took.",
    ("pool", "backend"),
    LATENCY_BUCKETS,
)
CONNECTIONS = Family(
    "veloflux_connections",
    "gauge",
    "Open connections, from clients (downstream, by listener) and to backends (upstream).",
    ("side", "listener"),
)
CONNECTIONS_REJECTED = Family(
    "veloflux_connections_rejected_total",
    "counter",
    "Connections closed before their first byte, by reason.",
    ("listener", "reason"),
)
CONNECTIONS_ACCEPTED = Family(
    "veloflux_connections_accepted_total",
    "counter",
    "Connections accepted.",
    ("listener",),
)
TCP_BYTES = Family(
    "veloflux_tcp_bytes_total",
    "counter",
    "Bytes relayed by TCP listeners, from clients (in) and to clients (out).",
    ("listener", "direction"),
)
PROTOCOL_ERRORS = Family(
    "veloflux_protocol_errors_total",
    "counter",
    "Malformed or abusive input, by kind.",
    ("listener", "protocol", "kind"),
)
ACCESS_LOG_DROPPED = Family(
    "veloflux_access_log_dropped_total",
    "counter",
    "Access-log lines dropped because their destination was too slow or failed.",
)
REACTOR_LAG = Family(
    "veloflux_reactor_lag_seconds",
    "histogram",
    "How late a worker's loop came to a timer, sampled several times a second.",
    (),
    LAG_BUCKETS,
)
CONTROL_LAG = Family(
    "veloflux_control_reactor_lag_seconds",
    "histogram",
    "The same of the daemon's own loop, which checks backends and answers the admin API.",
    (),
    LAG_BUCKETS,
)
CERTIFICATE_EXPIRY = Family(
    "veloflux_certificate_expiry_timestamp_seconds",
    "gauge",
    "Until when a listener's certificate is good, in Unix time, by the first of its names.",
    ("sni",),
)
STORE_DURATION = Family(
    "veloflux_store_operation_duration_seconds",
    "histogram",
    "How long operations of the store took, with the wait for their turn.",
    ("operation",),
    LATENCY_BUCKETS,
)
STORE_ERRORS = Family(
    "veloflux_store_errors_total", "counter", "Operations of the store that failed.", ("operation",)
)
ALERTS = Family("veloflux_alerts", "gauge", "Alerts that last.", ("severity",))
ADMIN_REQUESTS = Family(
    "veloflux_admin_requests_total",
    "counter",
    "Requests that the admin API answered.",
    ("method", "code_class"),
)
CONFIG_INFO = Family(
    "veloflux_config_info", "gauge", "1, for the configuration in force.", ("version", "hash")
)
CONFIG_RELOAD_SUCCESS = Family(
    "veloflux_config_last_reload_success", "gauge", "1 when the last reload was applied, else 0."
)
CONFIG_RELOAD_TIME = Family(
    "veloflux_config_last_reload_timestamp_seconds",
    "gauge",
    "When the configuration was last applied, in Unix time.",
)
WORKERS = Family("veloflux_workers", "gauge", "Worker processes that serve.")
WORKER_RESTARTS = Family(
    "veloflux_worker_restarts_total", "counter", "Worker processes replaced after they died."
)
BUILD_INFO = Family(
    "veloflux_build_info",
    "gauge",
    "1, for the versions in use.",
    ("version", "python", "twisted", "openssl"),
)
METRICS_DROPPED = Family(
    "veloflux_metrics_dropped_series_total",
    "counter",
    "Samples counted as `other`, because their family has as many series as it may.",
    ("family",),
)
PROCESS_CPU = Family(
    "process_cpu_seconds_total", "counter", "CPU time of the daemon and its workers."
)
PROCESS_MEMORY = Family(
    "process_resident_memory_bytes", "gauge", "Resident memory of the daemon and its workers."
)
PROCESS_FDS = Family("process_open_fds", "gauge", "Open descriptors of the daemon and its workers.")
PROCESS_START = Family(
    "process_start_time_seconds", "gauge", "When the daemon started, in Unix time."
)

FAMILIES: tuple[Family, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Family)
)


# Named tuples, since workers make very many of these: a frozen dataclass takes thrice as long.


class Sample(NamedTuple):
    """A counter's increase since the last tally, or a gauge's present value."""

    family: str
    labels: tuple[str, ...]
    value: float


class Distribution(NamedTuple):
    """A histogram's increase: the counts of those buckets that have any, by the bucket's place (not
    cumulative, the last is +Inf), and the sum. Of half a hundred buckets few do, in one second of
    one of ten thousand routes."""

    family: str
    labels: tuple[str, ...]
    counts: dict[int, int]
    sum: float


def sparse(counts: Sequence[int]) -> dict[int, int]:
    """The counts that are not zero, by their places."""
    return {place: count for place, count in enumerate(counts) if count}


@dataclass(frozen=True, slots=True)
class Tally:
    """What one worker counted since it last reported."""

    samples: tuple[Sample, ...] = field(default=())
    distributions: tuple[Distribution, ...] = field(default=())
