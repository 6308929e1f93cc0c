"""Which channels there are, and what each shows.

What is streamed is what the API would answer at that moment, from the same services.
"""

from collections.abc import Callable, Collection, Iterator

import msgspec

from veloflux.config.written import Document
from veloflux.control.observatory import Observatory
from veloflux.control.services import overview
from veloflux.control.services.feed import Event, Scope, Told, Topic
from veloflux.control.services.status import Status
from veloflux.control.services.tail import Filter


def topics(observatory: Observatory, document: Callable[[], Document]) -> tuple[Topic, ...]:
    """Make the channels; `document` gives the configuration in force."""
    status = observatory.status
    return (
        _backends(observatory, document),
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


def _backends(observatory: Observatory, document: Callable[[], Document]) -> Topic:
    async def rows(scope: Scope) -> object:
        found = await observatory.backends(document())
        return await observatory.in_thread(lambda: found.rows(scope.pool))

    def states() -> dict[str, str]:
        found = observatory.status.backends()
        return {f"{pool} {address}": state for pool, address, state in found}

    def tell(changed: Collection[str], scope: Scope) -> Iterator[Event]:
        now = states()
        for key in sorted(changed):
            pool, address = key.split(" ")
            if scope.pool in (None, pool):
                row = {"pool": pool, "address": address, "state": now.get(key, "removed")}
                yield Event("backend_status_update", key, row)

    return Topic("backends", "backends", "pools:read", 5.0, rows, states, tell)


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
