"""Keeps minutes and hours in the store, so that they outlive the daemon.

Every ten seconds one commit appends the minutes that are over and writes the one under way in
place of what was there, so a daemon that is killed loses what it counted since: ten seconds. One
that is stopped loses nothing. When an hour is over, its minutes are added up and appended to the
hours, in the commit that notes up to which minute that was done; so each is counted once whatever
happens in between.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.logger import Logger

from veloflux.control.services.analytics.bucket import Bucket, decode, encode
from veloflux.control.services.analytics.series import MINUTES, Series
from veloflux.control.store.store import (
    MAX_ITEMS,
    Append,
    ConflictError,
    Document,
    Put,
    Record,
    Store,
    StoreError,
)

HOUR_S = 3600
HOUR_NAMES = 100
KEEP_MINUTES_S = 48 * 3600.0
KEEP_HOURS_S = 90 * 24 * 3600.0
# Minutes that wait while the store cannot be written.
_WAITING = 120
_MINUTES, _HOURS = "analytics.minute", "analytics.hour"
_KIND, _OPEN, _ROLLED = "analytics", "open", "rolled"


class _Rolled(msgspec.Struct):
    """The number of the last minute that is part of an hour."""

    number: int = 0


class InThread(Protocol):
    """Does work that takes a while where it keeps nobody waiting."""

    def __call__(self, work: Callable[[], list[Bucket]], /) -> Awaitable[list[Bucket]]: ...


class Archive:
    """Writes what `series` counts, and reads it again. `wall` gives Unix time.

    One thing at a time: whoever reads sees either none or all of what is being written.
    """

    _log = Logger()

    def __init__(
        self, store: Store, series: Series, wall: Callable[[], float], in_thread: InThread
    ) -> None:
        self._store = store
        self._series = series
        self._wall = wall
        self._in_thread = in_thread
        self._waiting: deque[Bucket] = deque(maxlen=_WAITING)
        self._lock = DeferredLock()
        self._is_failing = False
        self._has_resumed = False

    def close(self, minute: Bucket) -> None:
        """Take a minute that is over, to be written with the next."""
        self._waiting.append(minute)

    def save(self) -> Deferred[None]:
        """Write what is new; when it cannot be, it waits for the next time."""
        return self._lock.run(lambda: ensureDeferred(self._save()))

    def roll(self) -> Deferred[None]:
        """Add up the minutes of the hours that are over, and forget what is old."""
        return self._lock.run(lambda: ensureDeferred(self._roll()))

    def minutes(self, since: float) -> Deferred[list[Bucket]]:
        """The minutes that began at `since` or later, that under way last; raises StoreError."""
        return self._lock.run(lambda: ensureDeferred(self._read_minutes(since)))

    def hours(self, since: float) -> Deferred[list[Bucket]]:
        """The hours from `since` on, and after them the minutes that are part of none yet; raises
        StoreError."""
        return self._lock.run(lambda: ensureDeferred(self._read_hours(since)))

    async def _resume(self) -> None:
        """Go on where the daemon before has stopped."""
        found = await self._store.get(_KIND, _OPEN)
        if found is not None:
            minute = decode(found.body)
            if minute.length_s and not self._series.resume(minute):
                self._waiting.append(minute)
        since = self._wall() - MINUTES * 60
        for record in await self._store.records(_MINUTES, since=since):
            self._series.remember(decode(record.body))

    async def _save(self) -> None:
        try:
            if not self._has_resumed:
                # Before anything is written in its place.
                await self._resume()
                self._has_resumed = True
            closed = list(self._waiting)
            open_minute = Put(_KIND, _OPEN, encode(self._series.minute))
            appended = [Append(_MINUTES, minute.at, encode(minute)) for minute in closed]
            await self._store.commit(*appended, open_minute)
        except StoreError as error:
            if not self._is_failing:
                self._is_failing = True
                self._log.error("analytics cannot be stored, they wait: {error}", error=error)
            return
        self._is_failing = False
        for minute in closed:
            # While they were written, new ones may have pushed old ones out.
            if self._waiting and self._waiting[0] is minute:
                self._waiting.popleft()

    async def _roll(self) -> None:
        try:
            while await self._roll_some():
                pass
            now = self._wall()
            await self._store.trim(_MINUTES, now - KEEP_MINUTES_S)
            await self._store.trim(_HOURS, now - KEEP_HOURS_S)
        except StoreError as error:
            self._log.error("hours cannot be added up, they wait: {error}", error=error)

    async def _roll_some(self) -> bool:
        """Whether there was something to add up."""
        rolled, document = await self._rolled()
        records = await self._store.records(_MINUTES, after=rolled.number)
        this_hour = _hour(self._wall())
        ready: list[Record] = []
        for record in records:
            if _hour(record.at) == this_hour:
                break
            ready.append(record)
        if not ready:
            return False
        hours = await self._in_thread(lambda: add_up(map(_bucket, ready)))
        done = msgspec.json.encode(_Rolled(ready[-1].number))
        expected = document.version if document is not None else 0
        try:
            await self._store.commit(
                *(Append(_HOURS, hour.at, encode(hour)) for hour in hours),
                Put(_KIND, _ROLLED, done, expected),
            )
        except ConflictError:
            return False  # somebody else has done it
        return True

    async def _rolled(self) -> tuple[_Rolled, Document | None]:
        document = await self._store.get(_KIND, _ROLLED)
        if document is None:
            return _Rolled(), None
        return msgspec.json.decode(document.body, type=_Rolled), document

    async def _read_minutes(self, since: float) -> list[Bucket]:
        return await self._decode(await self._all(_MINUTES, since=since), since)

    async def _read_hours(self, since: float) -> list[Bucket]:
        hours = await self._all(_HOURS, since=since)
        rolled, _ = await self._rolled()
        minutes = await self._all(_MINUTES, after=rolled.number, since=since)
        return await self._decode([*hours, *minutes], since)

    async def _decode(self, records: Sequence[Record], since: float) -> list[Bucket]:
        # That under way goes on, so it is copied; so are those that wait, for they are not stored.
        unwritten = [encode(each) for each in (*self._waiting, self._series.minute)]

        def read() -> list[Bucket]:
            found = [_bucket(record) for record in records]
            return found + [each for each in map(decode, unwritten) if each.at >= since]

        return await self._in_thread(read)

    async def _all(self, log: str, *, since: float, after: int = 0) -> list[Record]:
        found: list[Record] = []
        while True:
            page = await self._store.records(log, since=since, after=after)
            found.extend(page)
            if len(page) < MAX_ITEMS:
                return found
            after = page[-1].number


def add_up(minutes: Iterable[Bucket]) -> list[Bucket]:
    """One bucket for each hour that minutes began in, in the order of their first minutes."""
    hours: dict[int, Bucket] = {}
    for minute in minutes:
        at = _hour(minute.at)
        hours.setdefault(at, Bucket(at)).add(minute)
    for hour in hours.values():
        hour.cap(HOUR_NAMES)
    return list(hours.values())


def _hour(at: float) -> int:
    return int(at) // HOUR_S * HOUR_S


def _bucket(record: Record) -> Bucket:
    return decode(record.body)
