"""How a pool holds when its backends misbehave, as frozen values.

Durations are float seconds; 0 means *off* or *no limit* where that may be. The defaults are those
of the configuration file.
"""

from dataclasses import dataclass
from typing import Literal

Cause = Literal["connect_failure", "refused", "reset_before_response"]


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """When real traffic takes a backend out for a while.

    So many failures in a row eject, or a success rate that is `success_rate_margin` percentage
    points below its peers' over an `interval_s` with at least `min_requests` of its own. Each
    ejection of the same backend is twice as long as the one before.
    """

    consecutive_failures: int = 5
    interval_s: float = 10.0
    success_rate_margin: int = 20
    min_requests: int = 20
    base_ejection_s: float = 10.0
    max_ejection_s: float = 300.0
    max_ejected_percent: int = 50


@dataclass(frozen=True, slots=True)
class Retries:
    """Which failures are tried again, and how many of them may be.

    `attempts` are those after the first. `budget_percent` of the pool's recent requests may be
    retries, and `min_per_second` always. `statuses` are answers that count as failures.
    """

    attempts: int = 1
    budget_percent: int = 20
    min_per_second: int = 3
    on: tuple[Cause, ...] = ("connect_failure", "refused", "reset_before_response")
    statuses: tuple[int, ...] = ()
    backoff_s: float = 0.025
    max_backoff_s: float = 0.25


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """What a pool refuses at once, because it has too much to do or fails too often.

    `error_percent` of at least `min_requests` within `window_s` opens it for `open_s`; then
    `probes` requests at a time try whether it may close.
    """

    max_connections: int = 1024
    max_pending: int = 256
    max_requests: int = 0
    error_percent: int = 0
    min_requests: int = 20
    window_s: float = 10.0
    open_s: float = 5.0
    probes: int = 3


@dataclass(frozen=True, slots=True)
class StickySessions:
    """The cookie that brings a client back to the backend it had."""

    cookie: str = "veloflux"
    ttl_s: float = 3600.0
