"""The access log as it is written, for whoever watches.

Workers send lines only while somebody does, and so many a second at most: of more traffic it is a
sample, and says how many lines it leaves out. Filters are applied here, to what was sent.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

# What each worker sends at the most.
LINES_PER_S = 200
# Lines that wait for one who watches, and does not take them; the oldest go first.
WAITING = 1000


class Fleet(Protocol):
    """The worker processes."""

    def watch(self, lines_per_s: int) -> None:
        """Have every worker send so many lines a second; none with 0."""


class _Line(msgspec.Struct):
    """The fields of a line that a filter looks at."""

    status: int = 0
    listener: str = ""
    route: str = ""
    pool: str = ""
    backend: str = ""
    method: str = ""
    host: str = ""


_read = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines are wanted: those with these values, with a status in the range, and with `text`
    anywhere in them; what is empty is not asked for."""

    listener: str = ""
    route: str = ""
    pool: str = ""
    backend: str = ""
    method: str = ""
    host: str = ""
    min_status: int = 0
    max_status: int = 999
    text: str = ""

    def takes(self, text: str) -> bool:
        """Whether this line, as JSON, is wanted."""
        if self.text and self.text not in text:
            return False
        if self == _ALL:
            return True
        line = _read(text)
        if not self.min_status <= line.status <= self.max_status:
            return False
        wanted = ((getattr(self, name), getattr(line, name)) for name in _FIELDS)
        return all(not asked or asked == found for asked, found in wanted)


_ALL = Filter()
_FIELDS = ("listener", "route", "pool", "backend", "method", "host")


class Subscription:
    """What one who watches has not taken yet; `close` when nobody watches any more."""

    def __init__(
        self, wanted: Filter, on_new: Callable[[], None], on_close: Callable[["Subscription"], None]
    ) -> None:
        self._wanted = wanted
        self._on_new = on_new
        self._on_close = on_close
        self._lines: deque[str] = deque(maxlen=WAITING)
        self._dropped = 0

    def offer(self, lines: Iterable[str], dropped: int) -> None:
        """Take those that are wanted; `dropped` were not even sent."""
        new = [line for line in lines if self._wanted.takes(line)]
        lost = max(len(self._lines) + len(new) - WAITING, 0)
        self._lines.extend(new)
        self._dropped += dropped + lost
        if new or dropped:
            self._on_new()

    def take(self) -> tuple[list[str], int]:
        """The lines since the last call, as JSON objects, and how many are missing among them."""
        lines, dropped = list(self._lines), self._dropped
        self._lines.clear()
        self._dropped = 0
        return lines, dropped

    def close(self) -> None:
        self._on_close(self)


class Tail:
    """Hands lines to those who watch; `heard` is to be told of what workers send."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._subscriptions: dict[Subscription, None] = {}

    def subscribe(self, wanted: Filter, on_new: Callable[[], None]) -> Subscription:
        """Watch from now on; `on_new` is called when there is something to take."""
        subscription = Subscription(wanted, on_new, self._closed)
        if not self._subscriptions:
            self._fleet.watch(LINES_PER_S)
        self._subscriptions[subscription] = None
        return subscription

    def heard(self, worker: int, lines: Iterable[str], dropped: int) -> None:
        """Take what a worker sent."""
        lines = [line.rstrip("\n") for line in lines]
        for subscription in list(self._subscriptions):
            subscription.offer(lines, dropped)

    def _closed(self, subscription: Subscription) -> None:
        if self._subscriptions.pop(subscription, self) is None and not self._subscriptions:
            self._fleet.watch(0)
