"""Tickets are good once, and not for long."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.tickets import LIFETIME_S, MAX_TICKETS, Tickets


class Redeem(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tickets: Tickets[str] = Tickets(self.clock.seconds)

    def test_says_whose_it_is_once(self) -> None:
        ticket = self.tickets.issue("ann")
        self.assertEqual(self.tickets.redeem(ticket), "ann")
        self.assertIsNone(self.tickets.redeem(ticket))

    def test_knows_no_other(self) -> None:
        self.tickets.issue("ann")
        for ticket in ("", "x", "\ud800", "ä" * 100_000):
            self.assertIsNone(self.tickets.redeem(ticket))

    def test_forgets_those_that_are_too_old(self) -> None:
        ticket = self.tickets.issue("ann")
        self.clock.advance(LIFETIME_S)
        self.assertIsNone(self.tickets.redeem(ticket))

    def test_keeps_a_bounded_number(self) -> None:
        first = self.tickets.issue("first")
        last = [self.tickets.issue("more") for _ in range(MAX_TICKETS)][-1]
        self.assertIsNone(self.tickets.redeem(first))
        self.assertEqual(self.tickets.redeem(last), "more")
