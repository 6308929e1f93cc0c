"""What the daemon and its workers have logged, for whoever asks or watches; also before a restart.

Events are taken wherever they are logged, in any thread, and written down once a second: so many
are kept in memory and in the store, and what there is no room for is counted and said. Nothing that
looks like a credential is kept.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, LogEvent, eventAsText
from zope.interface import implementer

from veloflux.control.store.store import MAX_ITEMS, Append, Store, StoreError

Level = Literal["debug", "info", "warn", "error", "critical"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warn", "error", "critical")

# What is kept, in memory and in the store.
KEPT = 5000
# Events that one second may bring, and how many of them are stored.
MAX_PENDING = 2000
MAX_STORED = 100
MAX_MESSAGE = 4000
_PERIOD_S = 1.0
_TRIM_EVERY = 600
_LOG = "system"
# Of an event's fields those that are words of ours, and never a secret.
_METADATA = ("event", "pool", "backend", "reason", "worker", "version", "address")
_SECRET = re.compile(
    r"(?i)((?:authorization|cookie)[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|digest)\s+)?"
    r"|(?:password|passwd|secret|token|api[_-]?key)(?:[\"']?\s*[:=]\s*[\"']|[:=]))[^\s\"',;&]+"
)
# Twisted adds it to the name of a module.
_CLASS = re.compile(r"\._?[A-Z]\w*$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Entry(msgspec.Struct, frozen=True):
    """One event; `timestamp` is Unix time, `source` the part of the program or the worker."""

    id: str
    timestamp: float
    level: Level
    message: str
    source: str
    metadata: dict[str, str | int | float | bool] = {}  # msgspec copies it


class _Event(msgspec.Struct, frozen=True):
    """An event that has no place among the others yet."""

    timestamp: float
    level: Level
    message: str
    source: str
    metadata: dict[str, str | int | float | bool]


@implementer(ILogObserver)
class Journal:
    """Hears events from `start` to `stop`. `wall` gives Unix time."""

    def __init__(self, clock: IReactorTime, store: Store, wall: Callable[[], float]) -> None:
        self._store = store
        self._wall = wall
        self._pending: deque[_Event] = deque()
        self._lost = 0
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._unstored: deque[Entry] = deque()
        self._unstorable = 0
        self._followers: dict[Callable[[list[Entry]], None], None] = {}
        self._prefix = f"{int(wall() * 1000):x}"
        self._count = 0
        self._turns = 0
        self._has_read = False
        self._is_storing = False
        self._turn = LoopingCall(self._write)
        self._turn.clock = clock

    def __call__(self, event: LogEvent) -> None:
        """Take an event, in whatever thread it is logged."""
        if len(self._pending) >= MAX_PENDING:
            self._lost += 1
            return
        self._pending.append(_event(event))

    def start(self) -> None:
        """Begin to write down what was heard; what was stored before comes first."""
        self._turn.start(_PERIOD_S, now=True)

    async def stop(self) -> None:
        """Store the rest."""
        if self._turn.running:
            self._turn.stop()
        self._write()
        await self._save()

    def entries(
        self, level: Level = "debug", limit: int = 100, search: str = "", since: float = 0.0
    ) -> list[Entry]:
        """The newest first: of that level or above, with `search` in the message or the source in
        whatever case, and logged at `since` or later."""
        self._take()
        return list(islice(self._found(level, search.casefold(), since), limit))

    def subscribe(self, tell: Callable[[list[Entry]], None]) -> Callable[[], None]:
        """Have `tell` told of new entries, oldest first; returns what ends that."""
        self._followers[tell] = None
        return lambda: self._followers.pop(tell, None)

    def _found(self, level: Level, search: str, since: float) -> Iterator[Entry]:
        levels = frozenset(LEVELS[LEVELS.index(level) :])
        for entry in reversed(self._entries):
            if entry.level not in levels or entry.timestamp < since:
                continue
            if not search or search in f"{entry.source} {entry.message}".casefold():
                yield entry

    def _write(self) -> None:
        self._turns += 1
        self._take()
        if not self._is_storing:
            self._is_storing = True
            ensureDeferred(self._save()).addBoth(self._saved)

    def _take(self) -> None:
        new = []
        while self._pending:
            new.append(self._entry(self._pending.popleft()))
        if self._lost:
            text = f"{self._lost} events were not kept: too many at once"
            self._lost = 0
            new.append(self._entry(_Event(self._wall(), "warn", text, __name__, {})))
        if not new:
            return
        self._entries.extend(new)
        self._unstored.extend(new)
        while len(self._unstored) > MAX_PENDING:
            self._unstored.popleft()
            self._unstorable += 1
        for tell in list(self._followers):
            tell(new)

    def _entry(self, event: _Event) -> Entry:
        self._count += 1
        return Entry(
            f"{self._prefix}-{self._count}",
            event.timestamp,
            event.level,
            event.message,
            event.source,
            event.metadata,
        )

    async def _save(self) -> None:
        """Store what is new. Trouble is told by whoever measures the store: an event about it would
        be one more to store."""
        try:
            if not self._has_read:
                await self._read()
            if self._unstorable:
                text = f"{self._unstorable} events were not stored"
                self._unstorable = 0
                self(_plain(self._wall(), text))
            batch = list(islice(self._unstored, MAX_STORED))
            if batch:
                await self._store.commit(
                    *(Append(_LOG, entry.timestamp, msgspec.json.encode(entry)) for entry in batch)
                )
                for entry in batch:
                    if self._unstored and self._unstored[0] is entry:
                        self._unstored.popleft()
            if self._turns % _TRIM_EVERY == 0:
                await self._trim()
        except StoreError:
            return

    def _saved(self, _: object) -> None:
        self._is_storing = False

    async def _read(self) -> None:
        """Put what was stored before in front of what was logged since."""
        found: list[Entry] = []
        before: int | None = None
        while len(found) < KEPT:
            page = await self._store.records(_LOG, before=before, is_newest_first=True)
            found.extend(msgspec.json.decode(record.body, type=Entry) for record in page)
            if len(page) < MAX_ITEMS:
                break
            before = page[-1].number
        self._has_read = True
        room = KEPT - len(self._entries)
        self._entries.extendleft(found[: max(room, 0)])

    async def _trim(self) -> None:
        newest = await self._store.records(_LOG, is_newest_first=True, limit=1)
        if newest and newest[0].number > KEPT:
            oldest = await self._store.records(_LOG, after=newest[0].number - KEPT, limit=1)
            if oldest:
                await self._store.trim(_LOG, oldest[0].at)


def clean(text: str) -> str:
    """A text without control characters and credentials, and not too long."""
    text = _SECRET.sub(r"\1[redacted]", text[:MAX_MESSAGE])
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _event(event: LogEvent) -> _Event:
    """What is kept of an event, as it is now: what it speaks of may change."""
    name = getattr(event.get("log_level"), "name", "")
    level: Level = name if name in LEVELS else "info"
    text = event.get("text") if "worker" in event and "text" in event else None
    if not isinstance(text, str):
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    metadata = {
        key: clean(value) if isinstance(value, str) else value
        for key in _METADATA
        if isinstance(value := event.get(key), (str, int, float, bool))
    }
    source = _CLASS.sub("", str(event.get("log_namespace") or event.get("system") or "-"))
    if "worker" in metadata:
        source = f"worker {metadata['worker']}"
    moment = event.get("log_time") or event.get("time") or 0.0
    return _Event(float(moment), level, clean(text), source, metadata)


def _plain(at: float, text: str) -> LogEvent:
    return {"log_time": at, "log_format": "{text}", "text": text, "log_namespace": __name__}
