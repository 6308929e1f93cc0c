from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.resilience import CircuitBreaker
from veloflux.core.policy.breaker import REFUSED, Breaker, room

MODEL = CircuitBreaker(error_percent=50)


class BreakerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.breaker = Breaker(MODEL)

    def answer(self, results: str, now: float) -> None:
        """Requests that are admitted and answered: `+` well, `-` not."""
        for each in results:
            self.breaker.observe(each == "+", now, self.breaker.admit(now))

    def open(self, now: float = 0.0) -> None:
        self.answer("-" * 20, now)
        self.assertEqual(self.breaker.state, "open")

    def test_opens_at_its_share_of_failures(self) -> None:
        self.answer("+-" * 9 + "+", 0.0)
        self.assertEqual(self.breaker.state, "closed")
        self.answer("-", 1.0)
        self.assertEqual(self.breaker.state, "open")
        self.assertEqual(self.breaker.admit(1.0), REFUSED)
        self.assertEqual(self.breaker.retry_after_s(2.0), 4.0)

    def test_few_requests_open_nothing(self) -> None:
        self.answer("-" * 19, 0.0)
        self.assertEqual(self.breaker.state, "closed")

    def test_failures_of_long_ago_are_forgotten(self) -> None:
        self.answer("-" * 19, 0.0)
        self.answer("-" * 19, 20.0)
        self.assertEqual(self.breaker.state, "closed")

    def test_fewer_failures_than_that_are_borne(self) -> None:
        self.answer("-++" * 1000, 0.0)
        self.assertEqual(self.breaker.state, "closed")

    def test_probes_that_do_well_close_it(self) -> None:
        self.open()
        self.assertEqual(self.breaker.admit(4.9), REFUSED)
        tickets = [self.breaker.admit(5.0) for _ in range(5)]
        self.assertEqual([bool(ticket) for ticket in tickets], [True] * 3 + [False] * 2)
        self.assertEqual(self.breaker.state, "half_open")
        for ticket in tickets[:3]:
            self.assertEqual(self.breaker.state, "half_open")
            self.breaker.observe(True, 5.1, ticket)
        self.assertEqual(self.breaker.state, "closed")

    def test_a_probe_that_fails_opens_it_for_longer(self) -> None:
        self.open()
        now, lengths = 5.0, []
        for _ in range(6):
            self.answer("-", now)
            lengths.append(self.breaker.retry_after_s(now))
            now += lengths[-1]
        self.assertEqual(lengths, [10, 20, 40, 40, 40, 40])

    def test_once_closed_it_opens_for_as_long_as_at_first(self) -> None:
        self.open()
        self.answer("-", 5.0)
        self.answer("+++", 15.0)
        self.open(16.0)
        self.assertEqual(self.breaker.retry_after_s(16.0), 5.0)

    def test_a_probe_never_heard_of_blocks_nothing(self) -> None:
        """Its client is gone, and whoever should tell has forgotten to."""
        self.open()
        for _ in range(3):
            self.assertTrue(self.breaker.admit(5.0))
        self.assertEqual(self.breaker.admit(9.9), REFUSED)
        self.assertTrue(self.breaker.admit(10.0))

    def test_the_place_of_a_client_that_left_is_free(self) -> None:
        self.open()
        tickets = [self.breaker.admit(5.0) for _ in range(3)]
        self.breaker.forget(tickets[0])
        self.assertTrue(self.breaker.admit(5.0))
        self.assertEqual(self.breaker.admit(5.0), REFUSED)

    def test_so_many_probe_at_a_time(self) -> None:
        self.open()
        tickets = [self.breaker.admit(5.0) for _ in range(3)]
        self.assertEqual(self.breaker.admit(5.0), REFUSED)
        self.breaker.observe(True, 5.0, tickets[0])
        self.assertTrue(self.breaker.admit(5.0))
        self.assertEqual(self.breaker.admit(5.0), REFUSED)

    def test_slow_probes_close_it_too(self) -> None:
        """Answers that take longer than it is open for are answers."""
        self.open()
        tickets = [self.breaker.admit(now) for now in (5.0, 5.0, 5.0, 11.0)]
        for ticket in tickets[:3]:
            self.breaker.observe(True, 12.0, ticket)
        self.assertEqual(self.breaker.state, "closed")

    def test_what_was_sent_before_it_turned_counts_no_more(self) -> None:
        old = self.breaker.admit(0.0)
        self.open()
        self.breaker.observe(True, 1.0, old)
        self.assertEqual(self.breaker.state, "open")
        probe = self.breaker.admit(5.0)
        for _ in range(5):
            self.breaker.observe(True, 5.0, old)
        self.assertEqual(self.breaker.state, "half_open")
        self.answer("-", 5.0)
        self.answer("+", 15.0)
        self.breaker.observe(False, 15.0, probe)
        self.assertEqual(self.breaker.state, "half_open")
        self.answer("++", 15.0)
        for ticket in [old, probe] * 20:
            self.breaker.observe(False, 16.0, ticket)
        self.assertEqual(self.breaker.state, "closed")

    def test_workers_divide_the_probes(self) -> None:
        for workers, each in ((1, 3), (2, 2), (3, 1), (8, 1)):
            self.breaker = Breaker(MODEL, workers)
            self.open()
            self.assertEqual(sum(bool(self.breaker.admit(5.0)) for _ in range(9)), each)

    def test_off_it_stays_closed(self) -> None:
        self.breaker = Breaker(CircuitBreaker())
        self.answer("-" * 1000, 0.0)
        self.assertEqual(self.breaker.state, "closed")

    def test_switched_off_it_closes(self) -> None:
        self.open()
        self.breaker.configure(CircuitBreaker())
        self.assertTrue(self.breaker.admit(0.0))

    def test_a_reload_opens_and_closes_nothing(self) -> None:
        self.answer("-" * 19, 0.0)
        self.breaker.configure(MODEL, 2)
        self.open()
        self.breaker.configure(CircuitBreaker(error_percent=60, window_s=1.0))
        self.assertEqual(self.breaker.admit(0.0), REFUSED)


class RoomTests(SynchronousTestCase):
    def test_each_worker_has_its_part(self) -> None:
        model = CircuitBreaker(max_pending=4)
        for workers, most in ((1, 4), (2, 2), (3, 2), (4, 1), (9, 1)):
            self.assertTrue(room(model, most - 1, workers))
            self.assertFalse(room(model, most, workers))


class BreakerMachine(RuleBasedStateMachine):
    """Requests come, are answered or forgotten; after any of it there is a way to closed."""

    def __init__(self) -> None:
        super().__init__()
        self.model = CircuitBreaker(error_percent=50, min_requests=2, probes=2)
        self.breaker = Breaker(self.model)
        self.now = 0.0
        self.tickets: list[int] = []

    @rule(count=st.integers(1, 5))
    def ask(self, count: int) -> None:
        for _ in range(count):
            ticket = self.breaker.admit(self.now)
            if ticket:
                self.tickets.append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(place=st.integers(0, 100), ok=st.booleans())
    def end(self, place: int, ok: bool) -> None:
        ticket = self.tickets.pop(place % len(self.tickets))
        self.breaker.observe(ok, self.now, ticket)

    @precondition(lambda self: self.tickets)
    @rule(place=st.integers(0, 100), told=st.booleans())
    def leave(self, place: int, told: bool) -> None:
        ticket = self.tickets.pop(place % len(self.tickets))
        if told:
            self.breaker.forget(ticket)

    @rule(seconds=st.floats(0, 50))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def it_is_not_open_for_long(self) -> None:
        assert self.breaker.retry_after_s(self.now) <= 8 * self.model.open_s

    def teardown(self) -> None:
        """X1: from now on all is well, and nobody does anything but ask."""
        now = self.now
        for _ in range(3 * self.model.probes):
            now += 8 * self.model.open_s
            ticket = self.breaker.admit(now)
            assert ticket
            self.breaker.observe(True, now, ticket)
        assert self.breaker.state == "closed"


class HistoryTests(SynchronousTestCase):
    def test_whatever_happens_it_can_close(self) -> None:
        """X1"""
        run_state_machine_as_test(BreakerMachine)
