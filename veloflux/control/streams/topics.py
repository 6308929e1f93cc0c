"""Which channels there are, and what each shows.

What is streamed is what the API would answer at that moment, from the same services.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import msgspec

from veloflux.config.written import Document
from veloflux.control.observatory import Observatory
from veloflux.control.services import overview
from veloflux.control.services.feed import Event, Scope, Told, Topic
from veloflux.control.services.status import Status
from veloflux.control.services.tail import Filter


class Channel(NamedTuple):
    """Who may watch it, how often all of it is sent, and what it shows, in Markdown."""

    permission: str | None
    period_s: float
    shows: str


CHANNELS = {
    "backends": Channel(
        "pools:read",
        5.0,
        "Every backend, as `GET /api/backends` answers. When the state of one changes,"
        " `backend_status_update` with its `pool`, `address` and new `state`, `removed` for one"
        " that is gone.",
    ),
    "metrics": Channel("metrics:read", 2.0, "The figures of this moment, as `GET /api/metrics`."),
    "status": Channel(None, 10.0, "The daemon, as `GET /api/status`; at once when it changes."),
    "health": Channel(None, 15.0, "Whether it is well, as `GET /api/health`; at once, too."),
    "logs": Channel(
        "logs:read",
        60.0,
        "The access log as it is written: `lines` as objects, and how many more were `dropped`."
        " Each worker sends 200 a second at most. Every period an empty one, as a sign of life.",
    ),
}


def topics(observatory: Observatory, document: Callable[[], Document]) -> tuple[Topic, ...]:
    """Make the channels; `document` gives the configuration in force."""
    status = observatory.status
    return (
        _backends(observatory, document),
        _topic("metrics", lambda scope: _metrics(observatory)),
        _status(status),
        _topic("health", lambda scope: status.health(), pulse=lambda: {"": status.condition()}),
        _topic(
            "logs",
            lambda scope: _lines([], 0),
            follow=lambda scope, tell: _tail(observatory, scope, tell),
        ),
    )


def _topic(name: str, read: Callable[[Scope], object], **more: Any) -> Topic:
    channel = CHANNELS[name]
    return Topic(name, name, channel.permission, channel.period_s, read, **more)


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

    return _topic("backends", rows, pulse=states, tell=tell)


def _metrics(observatory: Observatory) -> object:
    return overview.overview(
        observatory.status, observatory.analytics, observatory.host, observatory.wall()
    )


def _status(status: Status) -> Topic:
    return _topic(
        "status",
        lambda scope: status.details(),
        # But for what changes by itself, such as an uptime.
        pulse=lambda: {
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
