"""What the daemon says of itself: its log, its alerts, its parts, the machine, the cluster."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from veloflux.control.api.endpoint import SIGNED_IN, Asked, Endpoint
from veloflux.control.api.input import Input, Moment
from veloflux.control.api.parts import Seconds
from veloflux.control.services import components
from veloflux.control.services.alerts.alerts import Alert
from veloflux.control.services.alerts.conditions import Severity
from veloflux.control.services.cluster import Cluster, cluster
from veloflux.control.services.components import Health
from veloflux.control.services.errors import UnavailableError
from veloflux.control.services.host import Description
from veloflux.control.services.journal import Entry, Level
from veloflux.control.services.moments import moment
from veloflux.control.services.rest import Progress


class LogQuery(Input):
    """Which events."""

    level: Literal["debug", "info", "warn", "warning", "error", "critical"] = Field(
        "debug", description="This level and those above it."
    )
    limit: int = Field(100, ge=1, le=1000, description="How many, of the newest.")
    search: str = Field(
        "", max_length=200, description="In the message or the source, whatever the case."
    )
    since: Moment | None = Field(None, description="Logged then or later.")


class AlertQuery(Input):
    """Which alerts."""

    resolved: bool | None = Field(None, description="Only those that are over, or that last.")
    limit: int = Field(100, ge=1, le=600, description="How many; those that last come first.")


class Draining(Input):
    """How to drain."""

    deadline: Seconds | None = Field(
        None, description="What has not ended after so long is cut; null: as when it is stopped."
    )


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event; `source` is a part of the program, or a worker."""

    id: str
    timestamp: datetime
    level: Level
    message: str
    source: str
    metadata: dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class AlertEntry:
    """Something that is or was wrong, since `timestamp`."""

    id: str
    title: str
    message: str
    severity: Severity
    timestamp: datetime
    resolved: bool
    source: str
    updated_at: datetime
    resolved_at: datetime | None


def logs(asked: Asked, query: LogQuery) -> list[LogEntry]:
    """List what the daemon and its workers have logged, the newest first.

    As far as `log_level` lets it be logged; the last 5,000 events are kept, also over a restart.
    """
    level: Level = "warn" if query.level == "warning" else query.level
    since = query.since.timestamp() if query.since is not None else 0.0
    journal = asked.services.observatory.journal
    return [log_entry(each) for each in journal.entries(level, query.limit, query.search, since)]


def alerts(asked: Asked, query: AlertQuery) -> list[AlertEntry]:
    """List the alerts: first those that last, then those that are over, each the newest first."""
    found = asked.services.observatory.alerts.all()
    if query.resolved is not None:
        found = [alert for alert in found if alert.is_resolved == query.resolved]
    return [alert_entry(alert) for alert in found[: query.limit]]


def info(asked: Asked) -> Description:
    """Describe what the daemon runs on: versions, the machine, its limits."""
    found = asked.services.observatory.description
    if found is None:
        raise UnavailableError("The daemon is still starting.")
    return found


def health(asked: Asked) -> Health:
    """Tell which parts of the daemon work."""
    found = asked.services.observatory
    return components.health(found.status, found.watch)


def nodes(asked: Asked) -> Cluster:
    """List the nodes; this one is alone, and leads itself."""
    found = asked.services.observatory
    return cluster(found.status, found.address, found.wall())


async def drain(asked: Asked, body: Draining | None) -> Progress:
    """Take no more traffic, until that is cancelled.

    New connections are refused at once. Requests, WebSockets and relayed connections go on until
    the deadline; idle connections are told to close. The admin API goes on answering, but changes
    of the configuration are refused meanwhile.
    """
    rest = asked.services.rest
    await rest.begin(None if body is None else body.deadline)
    return rest.progress()


def get_drain(asked: Asked) -> Progress:
    """Show whether the daemon takes traffic, and how far a drain is."""
    return asked.services.rest.progress()


async def cancel_drain(asked: Asked) -> Progress:
    """Take traffic again, at the same addresses.

    It answers when fresh workers serve. Connections that have not ended yet still have until the
    deadline.
    """
    await asked.services.rest.cancel()
    return asked.services.rest.progress()


def log_entry(entry: Entry) -> LogEntry:
    """An event as it is told."""
    return LogEntry(
        entry.id,
        moment(entry.timestamp),
        entry.level,
        entry.message,
        entry.source,
        entry.metadata,
    )


def alert_entry(alert: Alert) -> AlertEntry:
    """An alert as it is told."""
    return AlertEntry(
        id=alert.id,
        title=alert.title,
        message=alert.message,
        severity=alert.severity,
        timestamp=moment(alert.timestamp),
        resolved=alert.is_resolved,
        source=alert.source,
        updated_at=moment(alert.updated_at),
        resolved_at=moment(alert.resolved_at) if alert.is_resolved else None,
    )


ROWS = (
    Endpoint("GET", "/api/status/health", SIGNED_IN, health),
    Endpoint("GET", "/api/system/logs", "logs:read", logs),
    Endpoint("GET", "/api/system/alerts", "metrics:read", alerts),
    Endpoint("GET", "/api/system/info", SIGNED_IN, info, problems=(503,)),
    Endpoint("POST", "/api/system/drain", "system:admin", drain, problems=(409,)),
    Endpoint("GET", "/api/system/drain", "system:admin", get_drain),
    Endpoint("DELETE", "/api/system/drain", "system:admin", cancel_drain, problems=(409, 503)),
    Endpoint("GET", "/api/cluster", "cluster:read", nodes),
    Endpoint("GET", "/api/cluster/info", "cluster:read", nodes),
)
