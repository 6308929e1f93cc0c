from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.identity.upkeep import EVERY_S, Upkeep
from veloflux.control.store.store import StoreError


class UpkeepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.done: list[str] = []
        self.error: Exception = StoreError("the disk is full")
        self.upkeep = Upkeep(self.clock, self.fail_first, self.second)

    async def fail_first(self) -> None:
        self.done.append("first")
        if self.done == ["first"]:
            raise self.error

    async def second(self) -> None:
        self.done.append("second")

    def test_does_all_at_the_start_and_again(self) -> None:
        self.upkeep.start()
        self.assertEqual(self.done, ["first", "second"])
        self.clock.advance(EVERY_S)
        self.assertEqual(self.done, ["first", "second"] * 2)

    def test_a_bug_in_one_is_told_and_keeps_no_other(self) -> None:
        self.error = KeyError("a bug")
        self.upkeep.start()
        self.assertEqual(self.done, ["first", "second"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_ends(self) -> None:
        self.done.append("before")
        self.upkeep.start()
        self.upkeep.stop()
        self.upkeep.stop()
        self.clock.advance(EVERY_S)
        self.assertEqual(self.done, ["before", "first", "second"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
