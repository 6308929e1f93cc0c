"""Times as they are written: RFC 3339, in UTC."""

from datetime import UTC, datetime


def moment(at: float) -> datetime:
    """A Unix time as one with its zone."""
    return datetime.fromtimestamp(at, UTC)
