"""Many who ask the same at once are one who asks."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.errors import BusyError
from veloflux.control.services.identity.together import MOST, Together


class Asking(SynchronousTestCase):
    def setUp(self) -> None:
        self.together: Together[str] = Together()
        self.works: list[Deferred[str]] = []

    async def work(self) -> str:
        found: Deferred[str] = Deferred()
        self.works.append(found)
        return await found

    def test_the_same_is_one_work_for_all(self) -> None:
        followers = [self.together.ask(b"a", self.work) for _ in range(20)]
        self.together.ask(b"b", self.work)
        self.assertEqual(len(self.works), 2)
        self.works[0].callback("found")
        self.assertEqual([self.successResultOf(each) for each in followers], ["found"] * 20)

    def test_again_is_another_work(self) -> None:
        self.together.ask(b"a", self.work)
        self.works[0].callback("found")
        self.together.ask(b"a", self.work)
        self.assertEqual(len(self.works), 2)

    def test_what_fails_fails_for_all(self) -> None:
        followers = [self.together.ask(b"a", self.work) for _ in range(3)]
        self.works[0].errback(ValueError())
        for each in followers:
            self.failureResultOf(each, ValueError)

    def test_who_stops_waiting_stops_nobody_else(self) -> None:
        first, second = self.together.ask(b"a", self.work), self.together.ask(b"a", self.work)
        first.addErrback(lambda _: None)
        first.cancel()
        self.works[0].callback("found")
        self.assertEqual(self.successResultOf(second), "found")

    def test_so_many_may_wait(self) -> None:
        for _ in range(MOST):
            self.together.ask(b"a", self.work)
        self.assertRaises(BusyError, self.together.ask, b"a", self.work)
