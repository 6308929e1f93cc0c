"""Live data: who is sent what, and when."""

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.feed import (
    KEPT,
    KEPT_BYTES,
    MANY,
    MAX_GROUPS,
    SLICE_S,
    TICK_S,
    Event,
    Feed,
    FullError,
    Item,
    Scope,
    Topic,
)


class Watcher:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def take(self, item: Item) -> None:
        self.items.append(item)

    def read(self) -> list[Any]:
        """What came since the last time, decoded."""
        found = [msgspec.json.decode(item.payload) for item in self.items]
        self.items.clear()
        return found

    def types(self) -> list[str]:
        return [each["type"] for each in self.read()]


class Case(SynchronousTestCase):
    """A feed of a topic that tells of objects, and of one that sends all of it again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.states = {"a": "healthy", "b": "healthy"}
        self.condition = "healthy"
        self.reads = 0
        self.tell: Callable[[Event], None] | None = None
        self.feed = Feed(
            [
                Topic(
                    "backends",
                    "backends",
                    "pools:read",
                    5.0,
                    self._rows,
                    lambda: dict(self.states),
                    lambda keys, scope: [
                        Event("backend_status_update", key, {key: self.states.get(key)})
                        for key in sorted(keys)
                        if scope.pool in (None, key)
                    ],
                ),
                Topic(
                    "status",
                    "status",
                    None,
                    10.0,
                    lambda scope: {"status": self.condition},
                    lambda: {"": self.condition},
                ),
                Topic("logs", "logs", None, 60.0, lambda scope: [], follow=self._follow),
            ],
            self.clock,
            lambda: 1e9 + self.clock.seconds(),
        )
        self.watcher = Watcher()

    def _rows(self, scope: Scope) -> list[str]:
        self.reads += 1
        return [name for name in self.states if scope.pool in (None, name)]

    def _follow(self, scope: Scope, tell: Callable[[Event], None]) -> Callable[[], None]:
        self.tell = tell

        def end() -> None:
            self.tell = None

        return end

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on in small steps."""
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            self.clock.advance(0)


class Watching(Case):
    def test_sends_all_of_a_topic_at_once(self) -> None:
        self.feed.watch(self.watcher, "backends")
        self.assertEqual(
            self.watcher.read(),
            [
                {
                    "type": "backends",
                    "channel": "backends",
                    "data": ["a", "b"],
                    "timestamp": "2001-09-09T01:46:40Z",
                    "seq": 0,
                }
            ],
        )

    def test_sends_all_of_it_again_every_period(self) -> None:
        self.feed.watch(self.watcher, "backends")
        self.watcher.read()
        self.pass_time(4.75)
        self.assertEqual(self.watcher.types(), [])
        self.pass_time(0.25)
        self.assertEqual(self.watcher.types(), ["backends"])
        self.pass_time(5)
        self.assertEqual([each["seq"] for each in self.watcher.read()], [2])

    def test_keeps_a_period_within_its_bounds(self) -> None:
        self.feed.watch(self.watcher, "status", period_s=0.001)
        self.watcher.read()
        self.pass_time(3)
        self.assertEqual(self.watcher.types(), ["status"] * 3)
        self.feed.watch(self.watcher, "status", period_s=1e9)
        self.watcher.read()
        self.pass_time(60)
        self.assertEqual(self.watcher.types(), ["status"])

    def test_tells_what_changed_within_a_tick(self) -> None:
        self.feed.watch(self.watcher, "backends")
        self.watcher.read()
        self.states["b"] = "unhealthy"
        self.pass_time(TICK_S)
        [told] = self.watcher.read()
        self.assertEqual(
            (told["type"], told["data"]), ("backend_status_update", {"b": "unhealthy"})
        )

    def test_tells_what_is_gone(self) -> None:
        self.feed.watch(self.watcher, "backends")
        self.watcher.read()
        del self.states["a"]
        self.pass_time(TICK_S)
        self.assertEqual([each["data"] for each in self.watcher.read()], [{"a": None}])

    def test_sends_all_again_when_very_much_changed(self) -> None:
        self.feed.watch(self.watcher, "backends")
        self.watcher.read()
        self.states |= {str(n): "healthy" for n in range(MANY + 1)}
        self.pass_time(TICK_S)
        self.assertEqual(self.watcher.types(), ["backends"])

    def test_sends_all_when_a_topic_cannot_tell_what_changed(self) -> None:
        self.feed.watch(self.watcher, "status")
        self.watcher.read()
        self.condition = "degraded"
        self.pass_time(TICK_S)
        self.assertEqual([each["data"] for each in self.watcher.read()], [{"status": "degraded"}])

    def test_tells_each_watcher_its_own_part(self) -> None:
        other = Watcher()
        self.feed.watch(self.watcher, "backends", Scope(pool="a"))
        self.feed.watch(other, "backends", Scope(pool="b"))
        self.assertEqual([each["data"] for each in self.watcher.read()], [["a"]])
        other.read()
        self.states["a"] = "ejected"
        self.pass_time(TICK_S)
        self.assertEqual(self.watcher.types(), ["backend_status_update"])
        self.assertEqual(other.types(), [])

    def test_makes_what_it_sends_once_for_all_who_watch_alike(self) -> None:
        crowd = [Watcher() for _ in range(100)]
        for watcher in crowd:
            self.feed.watch(watcher, "backends")
            watcher.read()
        self.reads = 0
        self.pass_time(5)
        for _ in range(10):
            self.clock.advance(SLICE_S)
        self.assertEqual(self.reads, 1)
        self.assertEqual({tuple(watcher.types()) for watcher in crowd}, {("backends",)})

    def test_serves_a_crowd_a_part_at_a_time(self) -> None:
        """However many they are, nobody waits for long, and nothing piles up."""
        crowd = [Watcher() for _ in range(3000)]
        for watcher in crowd:
            self.feed.watch(watcher, "status")
            watcher.read()
        counts = []
        for _ in range(4):
            self.feed.force(["status"])
            for _ in range(250):
                before = sum(len(watcher.items) for watcher in crowd[::100])
                self.clock.advance(SLICE_S)
                counts.append(sum(len(watcher.items) for watcher in crowd[::100]) - before)
        self.assertLess(max(counts), 3)
        for watcher in crowd:
            self.assertEqual([each["seq"] for each in watcher.read()], [1, 2, 3, 4])

    def test_watches_a_topic_once_for_each(self) -> None:
        self.feed.watch(self.watcher, "backends")
        self.feed.watch(self.watcher, "backends", Scope(pool="a"))
        self.watcher.read()
        self.pass_time(5)
        self.assertEqual([each["data"] for each in self.watcher.read()], [["a"]])

    def test_is_in_so_many_different_ways(self) -> None:
        """W4: each way is read for itself, so nobody makes the daemon read without end."""
        crowd = [Watcher() for _ in range(MAX_GROUPS)]
        for number, watcher in enumerate(crowd):
            self.feed.watch(watcher, "status", period_s=1 + number / MAX_GROUPS)
        self.assertRaises(FullError, self.feed.watch, self.watcher, "status", Scope("x"))
        self.assertEqual(len(self.feed), MAX_GROUPS)
        self.feed.watch(self.watcher, "status", period_s=1)
        self.feed.watch(self.watcher, "status")
        for gone in (self.watcher, crowd[7]):
            self.feed.leave(gone)
        self.feed.watch(Watcher(), "status", Scope("x"))

    def test_knows_no_other_topic(self) -> None:
        self.assertRaises(KeyError, self.feed.watch, self.watcher, "billing")
        self.assertEqual(len(self.feed), 0)


class Reading(SynchronousTestCase):
    """A topic that takes a while to be read."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[str]] = []
        topic = Topic("slow", "slow", None, 1.0, self._read)
        self.feed = Feed([topic], self.clock, lambda: 1e9)
        self.addCleanup(self.feed.stop)
        self.watcher = Watcher()
        self.feed.watch(self.watcher, "slow")

    async def _read(self, scope: Scope) -> str:
        answer: Deferred[str] = Deferred()
        self.asked.append(answer)
        return await answer

    def test_is_waited_for(self) -> None:
        self.assertEqual(self.watcher.types(), [])
        self.asked[0].callback("all")
        self.assertEqual([each["data"] for each in self.watcher.read()], ["all"])

    def test_is_not_begun_again_meanwhile(self) -> None:
        self.asked[0].callback("all")
        self.watcher.read()
        self.clock.pump([TICK_S] * 20)
        self.assertEqual(len(self.asked), 2)
        self.asked[1].callback("more")
        self.clock.pump([TICK_S] * 4)
        self.assertEqual([each["seq"] for each in self.watcher.read()], [1])
        self.assertEqual(len(self.asked), 3)

    def test_ends_with_nobody_there(self) -> None:
        self.clock.pump([TICK_S] * 4)
        self.feed.leave(self.watcher)
        for answer in self.asked:
            answer.callback("late")
        self.assertEqual(self.watcher.items, [])

    def test_that_fails_is_tried_again(self) -> None:
        self.asked[0].errback(RuntimeError("no answer"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.pump([TICK_S] * 4)
        self.asked[1].errback(RuntimeError("no answer"))
        self.flushLoggedErrors(RuntimeError)
        self.clock.pump([TICK_S] * 4)
        self.asked[2].callback("all")
        self.assertEqual([each["data"] for each in self.watcher.read()], ["all"])


class Leaving(Case):
    def test_sends_nothing_more(self) -> None:
        self.feed.watch(self.watcher, "backends")
        self.feed.watch(self.watcher, "status")
        self.feed.leave(self.watcher, "backends")
        self.watcher.read()
        self.pass_time(10)
        self.assertEqual(self.watcher.types(), ["status"])
        self.feed.leave(self.watcher)
        self.pass_time(10)
        self.assertEqual(self.watcher.types(), [])

    def test_sends_nothing_that_was_on_its_way(self) -> None:
        crowd = [Watcher() for _ in range(60)]
        for watcher in crowd:
            self.feed.watch(watcher, "status")
            watcher.read()
        self.feed.force(["status"])
        self.feed.leave(crowd[-1])
        self.pass_time(TICK_S)
        self.clock.advance(SLICE_S)
        self.assertEqual(crowd[-1].items, [])
        self.assertEqual(len(crowd[-2].items), 1)

    def test_keeps_no_timer_without_watchers(self) -> None:
        self.feed.watch(self.watcher, "status")
        self.feed.leave(self.watcher)
        self.pass_time(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_leaves_nothing_behind(self) -> None:
        self.feed.watch(self.watcher, "logs")
        self.feed.watch(self.watcher, "status")
        self.feed.stop()
        self.assertIsNone(self.tell)
        self.assertEqual((len(self.feed), self.clock.getDelayedCalls()), (0, []))


class Following(Case):
    def test_tells_events_as_they_happen(self) -> None:
        self.feed.watch(self.watcher, "logs")
        self.watcher.read()
        assert self.tell is not None
        self.tell(Event("log", "", "one"))
        self.tell(Event("log", "", "two"))
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual([each["data"] for each in self.watcher.read()], ["one", "two"])

    def test_stops_when_nobody_watches(self) -> None:
        other = Watcher()
        self.feed.watch(self.watcher, "logs")
        self.feed.watch(other, "logs")
        self.feed.leave(self.watcher)
        self.assertIsNotNone(self.tell)
        self.feed.leave(other)
        self.assertIsNone(self.tell)


class Steering(Case):
    def test_sends_nothing_of_a_paused_topic(self) -> None:
        self.feed.watch(self.watcher, "status")
        self.feed.watch(self.watcher, "logs")
        self.watcher.read()
        self.feed.pause(["status", "logs"])
        self.condition = "degraded"
        assert self.tell is not None
        self.tell(Event("log", "", "unheard"))
        self.pass_time(20)
        self.assertEqual(self.watcher.types(), [])

    def test_sends_all_when_it_goes_on(self) -> None:
        self.feed.watch(self.watcher, "status")
        self.feed.pause(["status"])
        self.watcher.read()
        self.feed.resume(["status", "backends"])
        self.assertEqual(self.watcher.types(), ["status"])
        self.assertEqual(self.feed.paused, set())

    def test_sends_at_once_what_is_forced_and_says_so(self) -> None:
        self.feed.watch(self.watcher, "status")
        self.watcher.read()
        self.feed.force(["status", "backends"])
        [sent] = self.watcher.read()
        self.assertEqual((sent["type"], sent["forced"], sent["seq"]), ("status", True, 1))


class Resync(Case):
    def test_sends_what_was_missed(self) -> None:
        self.feed.watch(self.watcher, "backends")
        for state in ("unhealthy", "healthy", "ejected"):
            self.states["a"] = state
            self.pass_time(TICK_S)
        self.watcher.read()
        self.feed.resync(self.watcher, "backends", 1)
        self.assertEqual([each["seq"] for each in self.watcher.read()], [2, 3])
        self.feed.resync(self.watcher, "backends", 3)
        self.assertEqual(self.watcher.read(), [])

    def test_sends_all_when_that_is_too_long_ago(self) -> None:
        self.feed.watch(self.watcher, "backends")
        for number in range(KEPT + 2):
            self.states["a"] = str(number)
            self.pass_time(TICK_S)
        self.watcher.read()
        for seq in (0, 1, -1, 10**6):
            self.feed.resync(self.watcher, "backends", seq)
            self.assertEqual(self.watcher.types(), ["backends"], seq)

    def test_keeps_so_many_bytes_at_most(self) -> None:
        """A large configuration's state is megabytes, every few seconds."""
        self.states = {"a" * (KEPT_BYTES // 3): "healthy"}
        self.feed.watch(self.watcher, "backends")
        for _ in range(4):
            self.feed.force(["backends"])
        self.watcher.read()
        self.feed.resync(self.watcher, "backends", 2)
        self.assertEqual([each["seq"] for each in self.watcher.read()], [3, 4])
        self.feed.resync(self.watcher, "backends", 1)
        self.assertEqual([each["seq"] for each in self.watcher.read()], [4])
        self.states = {"a" * KEPT_BYTES: "healthy"}
        self.feed.force(["backends"])
        self.watcher.read()
        self.feed.resync(self.watcher, "backends", 4)
        self.assertEqual([each["seq"] for each in self.watcher.read()], [5])

    def test_is_for_what_is_watched(self) -> None:
        self.assertRaises(KeyError, self.feed.resync, self.watcher, "backends", 0)
