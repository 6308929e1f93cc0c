"""The analytics of this daemon: counts, keeps and answers."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from veloflux.control.services.analytics.archive import HOUR_S, Archive
from veloflux.control.services.analytics.bucket import Bucket, Cell, Kind
from veloflux.control.services.analytics.query import PERIODS, Period, Report, beginning, report
from veloflux.control.services.analytics.series import SECONDS, Series
from veloflux.control.services.errors import UnavailableError
from veloflux.control.store.store import Store, StoreError

SAVE_S = 10
# After its end, so that the minute that ended with the hour is stored.
_ROLL_AFTER_S = 30

_T = TypeVar("_T")


class Analytics:
    """Ticks once a second from `start` to `stop`. `wall` gives Unix time."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: Store,
        wall: Callable[[], float],
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        self.series = Series(clock.seconds(), wall())
        self._clock = clock
        self._wall = wall
        self._in_thread = in_thread
        self._archive = Archive(store, self.series, wall, in_thread)
        self._ticks = 0
        self._rolled: int | None = None
        self._tick = LoopingCall(self._second)
        self._tick.clock = clock

    def start(self) -> Deferred[None]:
        """Go on where the daemon before has stopped; fires when that is read."""
        self._tick.start(1.0, now=False)
        return self._archive.save()

    async def stop(self) -> None:
        """Store the rest."""
        if self._tick.running:
            self._tick.stop()
            self._count()
        await self._archive.save()

    async def report(self, period: Period, group_by: Kind) -> Report:
        """What traffic was like; raises UnavailableError."""
        now = self._wall()
        since = beginning(period, now)
        read = self._archive.hours if PERIODS[period][1] >= HOUR_S else self._archive.minutes
        try:
            buckets = await read(since)
        except StoreError as error:
            raise UnavailableError(f"What was counted cannot be read: {error}") from None
        result: Report = await self._in_thread(lambda: report(buckets, period, group_by, now))
        return result

    def last(self, seconds: int) -> Bucket:
        """All that happened in about so many seconds until now, at most 15 minutes; by name in the
        last one alone."""
        found = Bucket(int(self._wall()) - seconds)
        for second in reversed(self.series.seconds):
            if found.length_s >= seconds:
                break
            found.add(second)
        return found

    def total(self, seconds: int) -> Cell:
        """Of about so many seconds until now, six hours at most; before a restart, too."""
        if seconds <= SECONDS:
            return self.last(seconds).total
        found = Cell()
        since = self._wall() - seconds
        for minute in (*self.series.minutes, self.series.minute):
            if minute.at >= since:
                found.add(minute.total)
        return found

    def _second(self) -> None:
        self._count()
        self._clock.callLater(0, self.series.trim)
        self._ticks += 1
        if self._ticks % SAVE_S == 0:
            self._archive.save().addErrback(self._failed)
        hour = int(self._wall() - _ROLL_AFTER_S) // HOUR_S
        if hour != self._rolled:
            # Once at the start, for the hours that nobody was there.
            self._rolled = hour
            self._archive.roll().addErrback(self._failed)

    def _count(self) -> None:
        over = self.series.tick(self._clock.seconds(), self._wall())
        if over is not None:
            self._archive.close(over)

    def _failed(self, failure: Any) -> None:
        self._log.failure("keeping analytics failed", failure)
