from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.control.store.places import Turns, at_once
from veloflux.control.services.errors import BusyError
from veloflux.control.services.identity.hashing import AT_ONCE, NO_PASSWORD, WAITING, Hashing
from veloflux.control.services.password import HASHER


class HashingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns = Turns()
        self.hashing = Hashing(self.turns)

    def verify(self, password: bytes = b"wrong") -> Deferred[bool]:
        return Deferred.fromCoroutine(self.hashing.verify(NO_PASSWORD, password))

    def test_few_work_at_once_and_not_too_many_wait(self) -> None:
        found = [self.verify() for _ in range(AT_ONCE + WAITING)]
        self.assertEqual(len(self.turns.work), AT_ONCE)
        self.failureResultOf(self.verify(), BusyError)
        self.turns.turn_all()
        self.assertEqual([self.successResultOf(each) for each in found], [False] * len(found))

    def test_who_leaves_does_not_free_the_thread_that_works_for_him(self) -> None:
        found = [self.verify() for _ in range(AT_ONCE)]
        for each in found:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        waiting = self.verify()
        self.assertEqual(len(self.turns.work), AT_ONCE)
        self.turns.turn()
        self.assertEqual(len(self.turns.work), AT_ONCE)
        self.assertNoResult(waiting)
        self.turns.turn_all()

    def test_a_long_password_is_not_worked_on(self) -> None:
        self.assertFalse(self.successResultOf(self.verify(b"x" * 1025)))
        self.assertEqual(self.turns.work, [])

    def test_a_password_is_that_of_its_hash(self) -> None:
        hashing = Hashing(at_once)
        kept = self.successResultOf(Deferred.fromCoroutine(hashing.hash("päss")))
        for password, is_right in (("päss", True), ("pass", False), ("", False)):
            found = Deferred.fromCoroutine(hashing.verify(kept, password.encode()))
            self.assertEqual(self.successResultOf(found), is_right)

    def test_where_there_is_no_account_the_same_work_is_done(self) -> None:
        self.assertFalse(HASHER.check_needs_rehash(NO_PASSWORD))
