"""Analytics over minutes, hours, restarts and faults."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.control.services.analytics.tallies import tally
from tests.control.store.memory import MemoryStore
from veloflux.control.services.analytics.analytics import Analytics
from veloflux.control.services.analytics.archive import KEEP_HOURS_S, KEEP_MINUTES_S
from veloflux.control.services.analytics.query import Report
from veloflux.control.store.store import StoreError

WALL = 1_800_000_000.0  # an hour's beginning


def at_once(work: Callable[[], Any]) -> Deferred[Any]:
    return succeed(work())


class AnalyticsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.offset = WALL
        self.begin()

    def begin(self) -> None:
        self.analytics = Analytics(
            self.clock, self.store, lambda: self.offset + self.clock.seconds(), at_once
        )
        self.successResultOf(self.analytics.start())

    def stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.analytics.stop()))

    def ask(self, count: int = 1, **options: Any) -> None:
        self.analytics.series.merge(1, tally(count=count, **options))

    def wait(self, seconds: int) -> None:
        """Second by second; where it is long, with a daemon that has ten times as much to do."""
        step = 1 if seconds <= 120 else 10
        for _ in range(seconds // step):
            self.clock.advance(step)

    def report(self, period: Any = "1h", group_by: Any = "route") -> Report:
        coroutine = self.analytics.report(period, group_by)
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def requests(self, period: Any = "1h") -> int:
        found = self.report(period)
        self.assertEqual(sum(each.requests for each in found.series), found.totals.requests)
        self.assertEqual(sum(each.requests for each in found.groups), found.totals.requests)
        return found.totals.requests

    def test_says_what_there_was(self) -> None:
        self.ask(6, seconds=0.0081)
        self.ask(2, route="slow", seconds=0.3, status=502)
        self.wait(90)
        self.ask(2)
        self.wait(1)
        found = self.report()
        self.assertEqual((found.totals.requests, found.totals.errors), (10, 2))
        self.assertEqual(found.totals.error_rate, 0.2)
        self.assertEqual(found.totals.avg_response_time, 66.86)
        self.assertLess(abs(found.totals.p50_response_time - 9), 1.1)
        self.assertLess(abs(found.totals.p99_response_time - 300), 16)
        self.assertEqual([each.requests for each in found.series[-2:]], [8, 2])
        self.assertEqual(len(found.series), 60)
        self.assertEqual(
            [(each.name, each.requests) for each in found.groups], [("app", 8), ("slow", 2)]
        )
        self.assertEqual(found.groups[0].series[-2:], (6, 2))
        self.assertEqual([each.name for each in found.top.failing_routes], ["slow"])
        self.assertEqual(
            [(each.name, each.requests) for each in self.report(group_by="status").groups],
            [("200", 8), ("502", 2)],
        )

    def test_every_period_sees_the_same_traffic(self) -> None:
        for _ in range(5):
            self.ask(3)
            self.wait(30 * 60)
        self.ask(1)
        self.wait(1)
        self.assertEqual(self.requests("1h"), 4)
        for period in ("24h", "7d", "30d"):
            self.assertEqual(self.requests(period), 16)
        self.assertEqual(len(self.store.logs["analytics.hour"]), 2)

    def test_a_stop_loses_nothing(self) -> None:
        self.ask(5)
        self.wait(25)
        self.ask(2)
        self.stop()
        self.clock.advance(10.0)
        self.begin()
        self.ask(1)
        self.wait(60)
        found = self.report()
        self.assertEqual(found.totals.requests, 8)
        self.assertEqual([each.requests for each in found.series[-2:]], [8, 0])
        self.assertLessEqual(max(each.measured_s for each in found.series), 51.0)

    def test_a_kill_loses_ten_seconds_at_most(self) -> None:
        self.ask(5)
        self.wait(20)
        self.ask(2)
        self.wait(9)
        self.clock.calls.clear()
        self.begin()
        self.assertEqual(self.requests(), 5)

    def test_a_minute_of_long_ago_is_kept_for_what_it_was(self) -> None:
        self.ask(5)
        self.wait(20)
        self.stop()
        self.clock.advance(3 * 3600.0)
        self.begin()
        self.wait(10)
        self.assertEqual(self.requests("1h"), 0)
        self.assertEqual(self.requests("24h"), 5)
        self.wait(3600)
        self.assertEqual(self.requests("7d"), 5)

    def test_hours_are_added_up_once_over_restarts(self) -> None:
        for _ in range(4):
            self.ask(2)
            self.wait(40 * 60)
            self.stop()
            self.begin()
        self.wait(3600)
        self.assertEqual(self.requests("7d"), 8)
        at = [record.at for record in self.store.logs["analytics.hour"]]
        self.assertEqual(at, sorted(set(at)))

    def test_what_cannot_be_stored_waits(self) -> None:
        self.ask(5)
        self.store.fault = StoreError("the disk is full")
        self.wait(150)
        self.ask(1)
        self.store.fault = None
        self.wait(10)
        self.assertEqual(self.requests(), 6)
        self.stop()
        self.begin()
        self.assertEqual(self.requests(), 6)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_a_store_that_comes_late_is_not_overwritten(self) -> None:
        self.ask(5)
        self.wait(10)
        self.stop()
        self.store.fault = StoreError("locked")
        self.begin()
        self.ask(1)
        self.wait(11)
        self.store.fault = None
        self.wait(10)
        self.assertEqual(self.requests(), 6)

    def test_a_clock_that_is_set_loses_nothing(self) -> None:
        for jump in (0.0, 5 * 3600.0, -3 * 3600.0, 60.0):
            self.offset += jump
            self.ask(1)
            self.wait(1000)
        self.offset += 4 * 3600.0
        self.wait(4000)
        self.assertEqual(self.requests("24h"), 4)
        self.assertEqual(self.requests("7d"), 4)

    def test_forgets_what_is_old(self) -> None:
        self.ask(1)
        self.wait(3700)
        self.clock.advance(KEEP_MINUTES_S)
        self.wait(40)
        old = [each for each in self.store.logs["analytics.minute"] if each.at < WALL + 3600]
        self.assertEqual(old, [])
        self.assertEqual(self.requests("7d"), 1)
        self.clock.advance(KEEP_HOURS_S)
        self.wait(40)
        old = [each for each in self.store.logs["analytics.hour"] if each.at < WALL + 3600]
        self.assertEqual(old, [])

    def test_the_last_seconds_are_at_hand(self) -> None:
        for _ in range(30):
            self.ask(2)
            self.wait(1)
        self.assertEqual(self.analytics.last(10).total.requests, 20)
        self.assertEqual(self.analytics.last(100).total.requests, 60)

    def test_writes_by_the_minute_not_by_the_second(self) -> None:
        self.wait(600)
        self.assertEqual(len(self.store.logs["analytics.minute"]), 10)
