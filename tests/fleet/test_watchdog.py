"""A worker that hangs is noticed; one that the daemon did not listen to is not blamed."""

import signal

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.fakes import LOCAL, FakeProcess, FakeSpawner, at_once, snapshot
from veloflux.core.model.metrics import Tally
from veloflux.fleet.messages import Counted, Leaving
from veloflux.fleet.sockets import Sockets
from veloflux.fleet.supervisor import Supervisor
from veloflux.fleet.watchdog import LOOK_S, PATIENCE


class WatchdogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.spawner = FakeSpawner()
        sockets = Sockets()
        self.addCleanup(sockets.close)
        self.supervisor = Supervisor(self.clock, self.spawner, sockets, at_once)
        applied = ensureDeferred(self.supervisor.apply(snapshot(1, LOCAL), 2))
        self.one, self.two = self.spawner.processes
        for process in self.spawner.processes:
            process.prepare()
        for process in self.spawner.processes:
            process.apply()
        self.successResultOf(applied)

    def look(self, times: int, *talking: FakeProcess) -> None:
        """Let it look so often, and hear from these each time."""
        for _ in range(times):
            self.clock.advance(LOOK_S)
            for process in talking:
                process.say(Counted(Tally(), 0))

    def test_one_that_says_nothing_is_asked_for_its_stack_and_ended(self) -> None:
        self.look(PATIENCE - 1, self.two)
        self.assertEqual(self.one.signals, [])
        self.look(1, self.two)
        self.assertEqual(self.one.signals, [signal.SIGABRT])
        self.assertFalse(self.one.was_killed)
        self.look(1, self.two)
        self.assertTrue(self.one.was_killed)
        self.clock.advance(0)
        self.assertEqual([worker.pid for worker in self.supervisor.status()], [1002, 1001])
        self.assertEqual(self.two.signals, [])

    def test_a_word_in_time_is_enough(self) -> None:
        for _ in range(3):
            self.look(PATIENCE - 2)
            self.look(1, self.one, self.two)
        self.look(PATIENCE - 1)
        self.assertEqual((self.one.signals, self.two.signals), ([], []))

    def test_nobody_is_blamed_for_the_time_in_which_the_daemon_stood_still(self) -> None:
        self.clock.advance(3600)
        self.look(PATIENCE - 2)
        self.assertEqual((self.one.signals, self.two.signals), ([], []))

    def test_one_that_hangs_as_it_leaves_is_noticed_too(self) -> None:
        self.one.say(Leaving())
        self.look(PATIENCE + 1, self.two)
        self.assertTrue(self.one.was_killed)

    def test_looks_no_more_when_all_are_gone(self) -> None:
        self.supervisor.drain(30.0)
        for process in (self.one, self.two):
            process.end("exit code 0")
        self.assertEqual(self.clock.getDelayedCalls(), [])
