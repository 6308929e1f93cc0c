"""What was logged, kept."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.control.store.memory import MemoryStore
from veloflux.control.services.journal import KEPT, MAX_PENDING, MAX_STORED, Entry, Journal
from veloflux.control.store.store import StoreError
from veloflux.logs import Relay

WALL = 1_800_000_000.0


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.begin()

    def begin(self) -> None:
        self.journal = Journal(self.clock, self.store, lambda: WALL + self.clock.seconds())
        self.journal.start()
        self.log = Logger("veloflux.test", observer=self.journal)

    def stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.journal.stop()))

    def messages(self, **wanted: Any) -> list[str]:
        return [entry.message for entry in self.journal.entries(**wanted)]

    def test_keeps_what_an_event_says(self) -> None:
        self.log.warn(
            "backend {backend} of {pool} is down", backend="a:1", pool="web", odd=object()
        )
        (entry,) = self.journal.entries()
        self.assertEqual(
            (entry.level, entry.message, entry.source, entry.metadata),
            (
                "warn",
                "backend a:1 of web is down",
                "veloflux.test",
                {"backend": "a:1", "pool": "web"},
            ),
        )

    def test_finds_the_newest_first_by_level_text_and_time(self) -> None:
        for level, text in (("info", "one"), ("error", "Two"), ("debug", "three"), ("warn", "two")):
            getattr(self.log, level)(text)
        self.assertEqual(self.messages(), ["two", "three", "Two", "one"])
        self.assertEqual(self.messages(level="warn"), ["two", "Two"])
        self.assertEqual(self.messages(search="tWo"), ["two", "Two"])
        self.assertEqual(self.messages(limit=1), ["two"])
        self.assertEqual(self.messages(since=self.journal.entries()[0].timestamp + 60), [])

    def test_a_workers_lines_are_the_workers(self) -> None:
        relay = Relay(3)
        relay._log = Logger("veloflux.logs", observer=self.journal)  # type: ignore[misc]
        relay.write(b"<3>it broke\n")
        (entry,) = self.journal.entries()
        self.assertEqual(
            (entry.source, entry.level, entry.message), ("worker 3", "error", "it broke")
        )

    def test_a_failure_has_its_traceback(self) -> None:
        self.log.failure("it failed", Failure(ValueError("odd")))
        (entry,) = self.journal.entries()
        self.assertEqual(entry.level, "critical")
        self.assertIn("ValueError: odd", entry.message)

    def test_credentials_and_control_characters_stay_out(self) -> None:
        self.log.info("Authorization: Basic c2VjcmV0, token=s3cr3t;x \x1b[2Jpassword: 'hunter2'")
        (entry,) = self.journal.entries()
        for secret in ("c2VjcmV0", "s3cr3t", "hunter2", "\x1b"):
            self.assertNotIn(secret, entry.message)

    def test_words_about_credentials_stay(self) -> None:
        text = "pools.web.password: any user of this machine can read it; no token, no secret"
        self.log.warn(text)
        self.assertEqual(self.messages(), [text])

    def test_outlives_a_restart(self) -> None:
        self.log.info("before")
        self.clock.advance(1)
        self.stop()
        self.begin()
        self.clock.advance(1)
        self.log.info("after")
        self.assertEqual(self.messages(), ["after", "before"])
        ids = [entry.id for entry in self.journal.entries()]
        self.assertEqual(len(set(ids)), 2)

    def test_tells_those_who_watch(self) -> None:
        heard: list[Entry] = []
        end = self.journal.subscribe(heard.extend)
        self.log.info("one")
        self.clock.advance(1)
        end()
        self.log.info("two")
        self.clock.advance(1)
        self.assertEqual([entry.message for entry in heard], ["one"])

    def test_a_storm_is_bounded_and_said(self) -> None:
        for number in range(MAX_PENDING + 5):
            self.log.info("storm {number}", number=number)
        self.assertEqual(self.messages(limit=1), ["5 events were not kept: too many at once"])
        self.clock.advance(1)
        self.assertLessEqual(len(self.store.logs["system"]), 2 * MAX_STORED)
        for _ in range(MAX_PENDING):
            self.log.info("more")
            self.clock.advance(0.001)
        self.clock.pump([1.0] * 60)
        self.assertLessEqual(len(self.journal.entries(limit=KEPT * 2)), KEPT)

    def test_a_store_that_fails_makes_nobody_wait_and_is_caught_up_with(self) -> None:
        self.store.fault = StoreError("no")
        self.log.info("one")
        self.clock.advance(1)
        self.assertEqual(self.messages(), ["one"])
        self.store.fault = None
        self.clock.advance(1)
        self.assertEqual(len(self.store.logs["system"]), 1)

    def test_the_store_keeps_no_more_than_memory_does(self) -> None:
        for _ in range(KEPT // MAX_STORED + 10):
            for _ in range(MAX_STORED):
                self.log.info("x")
            self.clock.advance(1)
        self.clock.pump([1.0] * 700)
        self.assertLessEqual(len(self.store.logs["system"]), KEPT + 1)
