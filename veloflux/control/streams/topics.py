"""Which channels there are, and what each shows.

What is streamed is what the API would answer at that moment, from the same services.
"""

from collections.abc import Callable

import msgspec

from veloflux.control.observatory import Observatory
from veloflux.control.services import overview
from veloflux.control.services.feed import Event, Scope, Told, Topic
from veloflux.control.services.status import Status
from veloflux.control.services.tail import Filter


def topics(observatory: Observatory) -> tuple[Topic, ...]:
    """Make the channels."""
    status = observatory.status
    return (
        Topic("metrics", "metrics", "metrics:read", 2.0, lambda scope: _metrics(observatory)),
        _status(status),
        Topic(
            "health",
            "health",
            None,
            15.0,
            lambda scope: status.health(),
            lambda: {"": status.condition()},
        ),
        Topic(
            "logs",
            "logs",
            "logs:read",
            60.0,
            lambda scope: _lines([], 0),
            follow=lambda scope, tell: _tail(observatory, scope, tell),
        ),
    )


def _metrics(observatory: Observatory) -> object:
    return overview.overview(
        observatory.status, observatory.analytics, observatory.host, observatory.wall()
    )


def _status(status: Status) -> Topic:
    return Topic(
        "status",
        "status",
        None,
        10.0,
        lambda scope: status.details(),
        # But for what changes by itself, such as an uptime.
        lambda: {
            "": (
                status.condition(),
                status.in_force.snapshot.version,
                status.fleet.is_draining,
                tuple((each.pid, each.state) for each in status.fleet.status()),
            )
        },
    )


def _tail(observatory: Observatory, scope: Scope, tell: Told) -> Callable[[], None]:
    """Tell the access log's lines as workers send them."""

    def hand_on() -> None:
        tell(Event("logs", "", _lines(*subscription.take())))

    subscription = observatory.tail.subscribe(Filter(pool=scope.pool or ""), hand_on)
    return subscription.close


def _lines(lines: list[str], dropped: int) -> object:
    """Lines of the log, which are JSON already, and how many are missing among them."""
    return {"lines": [msgspec.Raw(line.encode()) for line in lines], "dropped": dropped}
