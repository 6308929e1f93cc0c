"""Sections about how a pool holds when its backends misbehave."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from veloflux.config.fields import Duration, DurationOrNone
from veloflux.config.header_fields import Token
from veloflux.config.section import Section, option
from veloflux.core.model.resilience import Cause

_MOST = 1_000_000


def _failed(status: int) -> int:
    """Check a status that another attempt may better; raises ValueError."""
    if status != 429 and not 500 <= status <= 599:
        raise ValueError(
            f"{status} is no failure of a backend; write statuses from 500 to 599, or 429"
        )
    return status


_FAILED_SCHEMA = WithJsonSchema(
    {"type": "integer", "minimum": 429, "maximum": 599, "not": {"minimum": 430, "maximum": 499}}
)


def yes_is_defaults(value: object) -> object:
    """Let `true` stand for a mapping without keys, and `false` for null."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


def or_boolean(schema: dict[str, Any]) -> None:
    """Say so in the JSON Schema."""
    schema["anyOf"].append({"type": "boolean"})


class OutlierDetection(Section):
    """Takes a backend out for a while when real traffic fails on it."""

    consecutive_failures: int = option(5, "Failures in a row that eject.", ge=1, le=10_000)
    interval: Annotated[Duration, Field(ge=0.1)] = option(
        "10s", "From one comparison of the backends' success rates to the next."
    )
    success_rate_margin: int = option(
        20,
        "Percentage points by which a success rate must be worse than that of the other backends "
        "to eject; 100: only failures in a row do.",
        ge=1,
        le=100,
    )
    min_requests: int = option(
        20, "Requests in an interval without which a backend is not compared.", ge=1, le=_MOST
    )
    base_ejection: Duration = option(
        "10s", "The first ejection; each one after it is twice as long."
    )
    max_ejection: Duration = option("5m", "The longest ejection.")
    max_ejected_percent: int = option(
        50,
        "Of the pool's backends, out at the same time; one always may be, unless it is the last, "
        "or this is 0.",
        ge=0,
        le=100,
    )


class Retries(Section):
    """Tries another backend when one fails before its answer has begun.

    A request whose bytes a backend has seen is sent again only if its method is idempotent, or it
    has an `Idempotency-Key`.
    """

    attempts: int = option(1, "Further attempts after the first; 0: none.", ge=0, le=10)
    budget_percent: int = option(
        20, "Of the pool's recent requests, that may be tried again.", ge=0, le=100
    )
    min_per_second: int = option(
        3,
        "Retries that are granted whatever `budget_percent` says. Workers share what that is in "
        "ten seconds, in whole ones: where there are more workers than that, each has none.",
        ge=0,
        le=10_000,
    )
    on: list[Cause] = option(
        ["connect_failure", "refused", "reset_before_response"],
        "Failures that are tried again.",
        max_length=10,
    )
    statuses: list[Annotated[int, AfterValidator(_failed), _FAILED_SCHEMA]] = option(
        [], "Answers that count as failures, such as `[502, 503]`: 500 to 599, or 429.",
        max_length=101,
    )  # fmt: skip
    backoff: DurationOrNone = option(
        "25ms", "Before another attempt at most; twice that before the next. 0s: none."
    )
    max_backoff: DurationOrNone = option("250ms", "Before any attempt, at most.")


class CircuitBreaker(Section):
    """Refuses at once what a pool cannot take, or would only fail."""

    max_connections: int = option(1024, "Connections to the pool; 0: no limit.", ge=0, le=_MOST)
    max_pending: int = option(256, "Requests that wait for a backend; 0: none may.", ge=0, le=_MOST)
    max_requests: int = option(0, "Requests at the same time; 0: no limit.", ge=0, le=_MOST)
    error_percent: int = option(
        0, "Failures among the requests of a `window` that open it; 0: none do.", ge=0, le=100
    )
    min_requests: int = option(
        20,
        "Requests in a `window` without which it does not open; each worker counts its own.",
        ge=1,
        le=_MOST,
    )
    window: Duration = option("10s", "How far back failures count.")
    open: Duration = option("5s", "How long it stays open before probes try the pool again.")
    probes: int = option(3, "Requests at a time that try it.", ge=1, le=1000)


class StickySessions(Section):
    """Sends a client back to the backend it had, by a signed cookie."""

    cookie: Token = option("veloflux", "The name of the cookie.")
    ttl: Annotated[Duration, Field(ge=1.0)] = option("1h", "How long it is good.")


# What most pools have: one for all of them.
NO_OUTLIER_OPTIONS = OutlierDetection()
NO_RETRY_OPTIONS = Retries()
