"""When the budget of errors burns too fast."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.burn import MIN_REQUESTS, RULES, Counts, burning, rate

PAGE, TICKET = RULES
NOTHING = Counts(0, 0)

# A starved machine is no fault.


class BurnTests(SynchronousTestCase):
    def test_a_rate_is_the_share_of_errors_over_that_which_may_be(self) -> None:
        self.assertAlmostEqual(rate(Counts(10_000, 10)), 1.0)
        self.assertAlmostEqual(rate(Counts(1000, 20)), 20.0)
        self.assertEqual(rate(NOTHING), 0.0)

    def test_burns_when_both_windows_do(self) -> None:
        bad, good = Counts(1000, 20), Counts(1000, 1)
        self.assertEqual(burning([(PAGE, bad, bad)]), (PAGE, rate(bad)))
        self.assertIsNone(burning([(PAGE, good, bad)]))
        self.assertIsNone(burning([(PAGE, bad, good)]))

    def test_the_graver_rule_comes_first(self) -> None:
        bad = Counts(1000, 20)
        found = burning([(PAGE, bad, bad), (TICKET, bad, bad)])
        assert found is not None
        self.assertEqual(found[0], PAGE)
        some = Counts(1000, 8)
        found = burning([(PAGE, some, some), (TICKET, some, some)])
        assert found is not None
        self.assertEqual(found[0], TICKET)

    @given(st.integers(0, MIN_REQUESTS - 1))
    def test_few_requests_are_no_sign(self, count: int) -> None:
        few = Counts(count, count)
        self.assertIsNone(burning([(PAGE, few, few), (TICKET, few, few)]))
