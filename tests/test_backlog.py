"""The daemon's log when its destination is slow."""

import io
import threading

from twisted.logger import FileLogObserver, LogEvent, Logger, textFileLogObserver
from twisted.trial.unittest import SynchronousTestCase

from veloflux.backlog import Backlog

PATIENCE_S = 30.0


class Slow:
    """An observer that can be held up."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        self.may_go_on = threading.Event()
        self.has_begun = threading.Event()
        self._observer: FileLogObserver = textFileLogObserver(self.written)

    def __call__(self, event: LogEvent) -> None:
        self.has_begun.set()
        self.may_go_on.wait(PATIENCE_S)
        self._observer(event)

    @property
    def lines(self) -> list[str]:
        """What was written, without the time."""
        return [line.partition(" ")[2] for line in self.written.getvalue().splitlines()]


class BacklogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.slow = Slow()
        self.addCleanup(self.slow.may_go_on.set)
        self.backlog = Backlog(self.slow, most=3)
        self.log = Logger(namespace="test", observer=self.backlog)

    def test_writes_what_the_observer_would_have_written(self) -> None:
        self.slow.may_go_on.set()
        direct = Slow()
        direct.may_go_on.set()
        for observer in (self.backlog, direct):
            log = Logger(namespace="test", observer=observer)
            log.info("serving {n} of {names[0]}", n=2, names=["app"])
            self.assertTrue(self.backlog.flush(PATIENCE_S))
            try:
                raise KeyError("surprise")
            except KeyError:
                log.failure("that failed")
            self.assertTrue(self.backlog.flush(PATIENCE_S))
        self.assertEqual(self.slow.lines, direct.lines)
        self.assertIn("[test#info] serving 2 of app", self.slow.lines)

    def test_says_how_it_was_when_it_was_said(self) -> None:
        states = ["starting"]
        self.log.info("it is {states[0]}", states=states)
        states[0] = "gone"
        self.slow.may_go_on.set()
        self.assertTrue(self.backlog.flush(PATIENCE_S))
        self.assertEqual(self.slow.lines, ["[test#info] it is starting"])

    def test_never_waits_and_says_what_was_lost(self) -> None:
        """X10."""
        self.log.info("0")
        self.slow.has_begun.wait(PATIENCE_S)
        for number in range(1, 10):
            self.log.info("{number}", number=number)
        self.assertFalse(self.backlog.flush(0.0))
        self.slow.may_go_on.set()
        self.assertTrue(self.backlog.flush(PATIENCE_S))
        self.log.info("again")
        self.assertTrue(self.backlog.flush(PATIENCE_S))
        self.assertEqual(
            self.slow.lines,
            [
                *(f"[test#info] {number}" for number in range(4)),
                "[veloflux.backlog#warn] 6 events were not logged: the log is too slow, or failed",
                "[test#info] again",
            ],
        )

    def test_an_observer_that_fails_loses_one_event(self) -> None:
        events: list[LogEvent] = []

        def observe(event: LogEvent) -> None:
            events.append(event)
            if len(events) <= 2:
                raise OSError("the disk is full")

        backlog = Backlog(observe)
        log = Logger(namespace="test", observer=backlog)
        log.info("one")
        self.assertTrue(backlog.flush(PATIENCE_S))
        log.info("two")
        self.assertTrue(backlog.flush(PATIENCE_S))
        self.assertEqual([event.get("log_text") for event in events], ["one", "one", None, "two"])
        self.assertEqual(events[2]["count"], 1)
