"""Who watches what, and what they are sent: live data, said without sockets.

A watcher gets all of a topic at once, then what changes, at most four times a second, and all of it
again every period. What is sent is read and written once for all who watch alike, and handed to a
few watchers at a time: a thousand of them hold nothing up.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

# How often changes are looked for, and so how often they are told.
TICK_S = 0.25
# The bounds of the period that a watcher may ask for.
MIN_PERIOD_S, MAX_PERIOD_S = 1.0, 60.0
# When more objects than this change at once, all of the topic says it shorter.
MANY = 100
# What was sent, kept for watchers that missed some of it: so many, of so many bytes in all.
KEPT, KEPT_BYTES = 64, 1 << 19
# Different ways to watch, each of which is read and kept for itself; there is always room for who
# asks for no filter and no period.
MAX_GROUPS = 128
# Watchers that are served in one turn, how long until the next one, and the part of all who wait
# that is served in it when they are many: a burst would hold traffic up where processors are few.
SLICE, SLICE_S, PART = 25, 0.005, 50

_log = Logger()


class FullError(Exception):
    """There are too many different ways in which something is watched."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of a topic; `tenant_id` None is for the platform's own people."""

    pool: str | None = None
    tenant_id: str | None = None


class Event(NamedTuple):
    """One thing to tell; `key` names the object whose latest state it is, empty if it is none's."""

    type: str
    key: str
    data: object


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a watcher reads; `seq` grows by one with what is sent to all who watch alike."""

    type: str
    channel: str
    data: msgspec.Raw
    timestamp: datetime
    seq: int
    forced: bool = False
    skipped: int = 0


@dataclass(slots=True, eq=False)
class Item:
    """An envelope on its way to many; `frame` is for whoever writes it to keep its own form."""

    envelope: Envelope
    key: str
    payload: bytes
    frame: Any = None

    @classmethod
    def of(cls, envelope: Envelope, key: str) -> "Item":
        return cls(envelope, key, msgspec.json.encode(envelope))

    def after(self, skipped: int) -> bytes:
        """The payload, saying how many states before it were left out."""
        if not skipped:
            return self.payload
        return msgspec.json.encode(msgspec.structs.replace(self.envelope, skipped=skipped))


class Watcher(Protocol):
    """Somebody who is sent things."""

    def take(self, item: Item, /) -> None:
        """Send it, or keep it until there is room."""


Told = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Topic:
    """One channel.

    `read` gives all of it, as the API would answer at that moment, at once or when it is known,
    which is sent as a `type`. When a value of `pulse` changes, `tell` says what has become of the
    objects of those keys; without it all is sent again. `follow` begins to tell each event as it
    happens and returns what ends that.
    """

    name: str
    type: str
    permission: str | None
    period_s: float
    read: Callable[[Scope], object | Awaitable[object]]
    pulse: Callable[[], Mapping[str, Hashable]] = dict
    tell: Callable[[Collection[str], Scope], Iterable[Event]] | None = None
    follow: Callable[[Scope, Told], Callable[[], None]] | None = None


@dataclass(slots=True, eq=False)
class _Group:
    """Those who watch alike."""

    topic: Topic
    scope: Scope
    period_s: float
    due: float
    seq: int = 0
    watchers: dict[Watcher, None] = field(default_factory=dict)
    kept: deque[Item] = field(default_factory=deque)
    kept_bytes: int = 0
    end: Callable[[], None] | None = None
    is_reading: bool = False

    def keep(self, item: Item) -> None:
        self.kept.append(item)
        self.kept_bytes += len(item.payload)
        while len(self.kept) > KEPT or self.kept_bytes > KEPT_BYTES:
            self.kept_bytes -= len(self.kept.popleft().payload)


class Feed:
    """All topics and their watchers; `clock` gives monotonic seconds, `now` Unix time."""

    def __init__(
        self, topics: Iterable[Topic], clock: IReactorTime, now: Callable[[], float]
    ) -> None:
        self.topics = {topic.name: topic for topic in topics}
        self.paused: set[str] = set()
        self._clock = clock
        self._now = now
        self._groups: dict[tuple[str, Scope, float], _Group] = {}
        self._of: dict[Watcher, dict[str, _Group]] = {}
        self._pulses: dict[str, Mapping[str, Hashable]] = {}
        self._outgoing: deque[tuple[Item, _Group, deque[Watcher]]] = deque()
        self._tick_call: IDelayedCall | None = None
        self._slice_call: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many watch anything."""
        return len(self._of)

    def watch(
        self,
        watcher: Watcher,
        name: str,
        scope: Scope = Scope(),  # it is frozen
        period_s: float | None = None,
    ) -> None:
        """Send this watcher all of a topic, and what becomes of it, in place of what it watched of
        the topic before. Raises KeyError for a topic that does not exist, and FullError when too
        many are watched each in another way."""
        topic = self.topics[name]
        self.leave(watcher, name)
        period_s = topic.period_s if period_s is None else period_s
        period_s = min(max(period_s, MIN_PERIOD_S), MAX_PERIOD_S)
        group = self._group(topic, scope, period_s)
        group.watchers[watcher] = None
        self._of.setdefault(watcher, {})[name] = group
        self._read_for(watcher, group)
        if self._tick_call is None:
            self._tick_call = self._clock.callLater(TICK_S, self._tick)

    def leave(self, watcher: Watcher, name: str | None = None) -> None:
        """Send this watcher no more of a topic, or of any."""
        watched = self._of.get(watcher, {})
        for each in [name] if name is not None else list(watched):
            group = watched.pop(each, None)
            if group is not None:
                del group.watchers[watcher]
                self._end_if_empty(group)
        if not watched:
            self._of.pop(watcher, None)

    def resync(self, watcher: Watcher, name: str, seq: int) -> None:
        """Send what came after `seq`, or all of the topic if that is no longer known. Raises
        KeyError for a topic that this one does not watch."""
        group = self._of.get(watcher, {})[name]
        missed = [item for item in group.kept if item.envelope.seq > seq]
        if 0 <= seq <= group.seq and len(missed) == group.seq - seq:
            for item in missed:
                watcher.take(item)
        else:
            self._read_for(watcher, group)

    def pause(self, names: Iterable[str]) -> None:
        """Send nothing of these topics to anybody."""
        self.paused.update(names)

    def resume(self, names: Iterable[str]) -> None:
        """Send them again, and all of each at once."""
        resumed = self.paused.intersection(names)
        self.paused -= resumed
        for group in self._watched(resumed):
            self._send_all(group)

    def force(self, names: Collection[str]) -> None:
        """Send all of these topics now, paused or not."""
        for group in self._watched(names):
            self._send_all(group, forced=True)

    def stop(self) -> None:
        """Send nothing any more."""
        for watcher in list(self._of):
            self.leave(watcher)
        for call in (self._tick_call, self._slice_call):
            if call is not None and call.active():
                call.cancel()
        self._outgoing.clear()

    def _group(self, topic: Topic, scope: Scope, period_s: float) -> _Group:
        key = topic.name, scope, period_s
        group = self._groups.get(key)
        if group is None:
            is_plain = scope.pool is None and period_s == topic.period_s
            if len(self._groups) >= MAX_GROUPS and not is_plain:
                raise FullError
            due = self._clock.seconds() + period_s
            group = self._groups[key] = _Group(topic, scope, period_s, due)
            self._pulses.setdefault(topic.name, topic.pulse())
            if topic.follow is not None:
                group.end = topic.follow(scope, lambda event: self._follow(group, event))
        return group

    def _end_if_empty(self, group: _Group) -> None:
        if group.watchers:
            return
        del self._groups[group.topic.name, group.scope, group.period_s]
        if group.end is not None:
            group.end()
        if not self._watched({group.topic.name}):
            del self._pulses[group.topic.name]

    def _watched(self, names: Collection[str]) -> list[_Group]:
        return [group for group in self._groups.values() if group.topic.name in names]

    def _tick(self) -> None:
        self._tick_call = self._clock.callLater(TICK_S, self._tick) if self._groups else None
        now = self._clock.seconds()
        for name in [name for name in self._pulses if name not in self.paused]:
            topic, pulse = self.topics[name], self.topics[name].pulse()
            changed = _changed(self._pulses[name], pulse)
            self._pulses[name] = pulse
            for group in self._watched({name}):
                if now >= group.due or (changed and (not topic.tell or len(changed) > MANY)):
                    self._send_all(group)
                elif changed and topic.tell:
                    for event in topic.tell(changed, group.scope):
                        self._send(group, self._next(group, event))

    def _follow(self, group: _Group, event: Event) -> None:
        if group.topic.name not in self.paused:
            self._send(group, self._next(group, event))

    def _read_for(self, watcher: Watcher, group: _Group) -> None:
        """Give all of it to one watcher that has just come, as the last that was sent."""

        def give(event: Event) -> None:
            if watcher in group.watchers:
                watcher.take(self._item(group, event))

        self._read(group, give)

    def _send_all(self, group: _Group, *, forced: bool = False) -> None:
        """Give all of it to everybody; who is waited for is not asked again meanwhile."""
        group.due = self._clock.seconds() + group.period_s
        if group.is_reading and not forced:
            return
        group.is_reading = True

        def give(event: Event) -> None:
            group.is_reading = False
            if group.watchers:
                self._send(group, self._next(group, event, forced=forced))

        self._read(group, give)

    def _read(self, group: _Group, give: Told) -> None:
        topic = group.topic

        def known(data: object) -> None:
            give(Event(topic.type, topic.name, data))

        def unknown(failure: Failure) -> None:
            group.is_reading = False
            _log.failure("the channel {name} cannot be read", failure, name=topic.name)

        read = maybeDeferred(topic.read, group.scope)
        read.addCallbacks(known, unknown)

    def _next(self, group: _Group, event: Event, *, forced: bool = False) -> Item:
        group.seq += 1
        item = self._item(group, event, forced=forced)
        group.keep(item)
        return item

    def _item(self, group: _Group, event: Event, *, forced: bool = False) -> Item:
        data = msgspec.Raw(msgspec.json.encode(event.data))
        at = datetime.fromtimestamp(self._now(), UTC)
        name = group.topic.name
        key = event.key and f"{name}/{event.key}"
        return Item.of(Envelope(event.type, name, data, at, group.seq, forced), key)

    def _send(self, group: _Group, item: Item) -> None:
        """Give it to all who watch now, whoever leaves meanwhile excepted, in the order sent."""
        self._outgoing.append((item, group, deque(group.watchers)))
        if self._slice_call is None:
            self._slice()

    def _slice(self) -> None:
        self._slice_call = None
        waiting = sum(len(watchers) for _, _, watchers in self._outgoing)
        left = max(SLICE, waiting // PART)
        while left and self._outgoing:
            item, group, watchers = self._outgoing[0]
            for watcher in list(islice(watchers, left)):
                watchers.popleft()
                left -= 1
                if watcher in group.watchers:
                    watcher.take(item)
            if not watchers:
                self._outgoing.popleft()
                item.frame = None  # what is kept is there once
        if self._outgoing:
            self._slice_call = self._clock.callLater(SLICE_S, self._slice)


def _changed(before: Mapping[str, Hashable], after: Mapping[str, Hashable]) -> set[str]:
    if before == after:
        return set()
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
