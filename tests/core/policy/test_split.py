from math import nextafter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.split import Split


class SplitTests(SynchronousTestCase):
    def test_shares_by_weight(self) -> None:
        split = Split([("stable", 9), ("canary", 1)])
        picks = [split.pick(i / 1000) for i in range(1000)]
        self.assertEqual(picks.count("stable"), 900)
        self.assertEqual(picks.count("canary"), 100)

    def test_the_edges_of_a_share_belong_to_one_side(self) -> None:
        split = Split([("a", 1), ("b", 1)])
        self.assertEqual(split.pick(nextafter(0.5, 0)), "a")
        self.assertEqual(split.pick(0.5), "b")

    def test_one_choice_needs_no_luck(self) -> None:
        self.assertEqual(Split([("off", 0), ("a", 3)]).pick(0.999), "a")

    def test_none_has_weight(self) -> None:
        self.assertIsNone(Split([("a", 0)]).pick(0.0))
        self.assertIsNone(Split[str]([]).pick(0.0))

    @given(
        st.lists(st.integers(0, 10**6), min_size=1).filter(any),
        st.floats(0, 1, exclude_max=True),
    )
    def test_never_picks_a_choice_without_weight(self, weights: list[int], luck: float) -> None:
        picked = Split(enumerate(weights)).pick(luck)
        assert picked is not None
        self.assertGreater(weights[picked], 0)
