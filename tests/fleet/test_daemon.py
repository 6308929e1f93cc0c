"""What the daemon does when it is told to stop."""

from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.daemon import SAME_SIGNAL_S, Daemon


class Loop(Clock):
    """Stops once, as the reactor does; what it stops hears of it in a later turn."""

    stopped = 0

    def stop(self) -> None:
        if self.stopped:
            raise ReactorNotRunning
        self.stopped += 1


class Supervisor:
    killed = 0

    def kill(self) -> None:
        self.killed += 1


class Rollout:
    def __init__(self) -> None:
        self.on_applied: list[Any] = []


class Stops(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop()
        self.supervisor = Supervisor()
        unused: Any = None
        self.daemon = Daemon(
            self.loop,
            self.supervisor,  # type: ignore[arg-type]  # all of it that is asked here
            Rollout(),  # type: ignore[arg-type]  # likewise
            unused,
            unused,
            unused,
            unused,
        )

    def test_twice_at_once_are_one(self) -> None:
        for _ in range(2):
            self.daemon._asked_to_stop()
        self.assertEqual((self.loop.stopped, self.supervisor.killed), (1, 0))

    def test_a_second_one_later_ends_it_at_once(self) -> None:
        self.daemon._asked_to_stop()
        self.loop.advance(SAME_SIGNAL_S)
        self.daemon._asked_to_stop()
        self.assertEqual((self.loop.stopped, self.supervisor.killed), (1, 1))
