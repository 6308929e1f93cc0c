"""Who gives connections away, and when."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.spread import is_ahead, is_worth_it


class Spread(SynchronousTestCase):
    @given(
        st.integers(2, 8).flatmap(
            lambda workers: st.tuples(
                st.lists(st.integers(0, 300), min_size=workers, max_size=workers),
                st.lists(st.integers(0, workers - 1), max_size=600),
            )
        )
    )
    def test_nobody_who_gets_more_is_ahead_afterwards(
        self, start_and_choices: tuple[list[int], list[int]]
    ) -> None:
        counts, choices = start_and_choices
        grown = set()
        for chosen in choices:
            least = min(range(len(counts)), key=counts.__getitem__)
            taker = least if is_ahead(counts[chosen], counts[least]) else chosen
            counts[taker] += 1
            grown.add(taker)
        for each in grown:
            self.assertFalse(is_ahead(counts[each] - 1, min(counts)), counts)

    def test_one_more_than_the_other_is_even(self) -> None:
        self.assertFalse(is_ahead(1, 0))
        self.assertTrue(is_ahead(2, 0))

    def test_of_many_some_percent_do_not_matter(self) -> None:
        self.assertFalse(is_ahead(1030, 1000))
        self.assertTrue(is_ahead(1040, 1000))

    def test_connections_that_stay_are_worth_it_however_many_come(self) -> None:
        self.assertTrue(is_worth_it(taken=10_000, seconds=0.25, mine=10_000))

    def test_connections_for_one_request_are_not(self) -> None:
        self.assertFalse(is_worth_it(taken=1_500, seconds=0.25, mine=32))

    def test_a_few_always_are(self) -> None:
        self.assertTrue(is_worth_it(taken=4, seconds=0.25, mine=0))
