import os

from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.limit import Limiter
from veloflux.edge import ledger


class Ledgers(SynchronousTestCase):
    def create(self) -> int:
        fd = ledger.create()
        self.addCleanup(os.close, fd)
        return fd

    def test_all_who_have_it_see_the_same(self) -> None:
        fd, limiter = self.create(), Limiter(1, 2)
        one, other = ledger.attach(fd), ledger.attach(fd)
        decisions = [limiter.decide(each, b"k", 5.0).allowed for each in (one, other, one, other)]
        self.assertEqual(decisions, [True, True, False, False])

    def test_it_outlives_who_had_it(self) -> None:
        """X8"""
        fd, limiter = self.create(), Limiter(1, 1)
        limiter.decide(ledger.attach(fd), b"k", 5.0)
        self.assertFalse(limiter.decide(ledger.attach(fd), b"k", 5.0).allowed)

    def test_two_of_them_share_nothing(self) -> None:
        limiter = Limiter(1, 1)
        for debts in (ledger.attach(self.create()), ledger.alone(), ledger.alone()):
            self.assertTrue(limiter.decide(debts, b"k", 5.0).allowed)

    def test_nobody_can_tell_where_a_key_is(self) -> None:
        """L10: or clients could choose whose limit they use up."""
        places = {tuple(ledger.alone().place(b"%d" % n) for n in range(8)) for _ in range(4)}
        self.assertEqual(len(places), 4)

    def test_takes_memory_as_it_is_used(self) -> None:
        fd = self.create()
        ledger.attach(fd).place(b"k")
        self.assertLess(os.fstat(fd).st_blocks * 512, 64 * 1024)
