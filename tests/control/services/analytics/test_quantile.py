"""Percentiles of histograms."""

from bisect import bisect_left
from math import ceil

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.analytics.quantile import edges, quantile
from veloflux.core.model.metrics import LATENCY_BOUNDS


def histogram(times: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for seconds in times:
        place = bisect_left(LATENCY_BOUNDS, seconds)
        found[place] = found.get(place, 0) + 1
    return found


# A starved machine is no fault.


class QuantileTests(SynchronousTestCase):
    @given(
        st.lists(st.floats(0.0, 200.0), min_size=1, max_size=200),
        st.sampled_from((0.01, 0.5, 0.9, 0.95, 0.99, 1.0)),
    )
    def test_is_in_the_bucket_that_has_the_true_one(self, times: list[float], q: float) -> None:
        true = sorted(times)[ceil(q * len(times)) - 1]
        low, high = edges(bisect_left(LATENCY_BOUNDS, true))
        found = quantile(histogram(times), q)
        self.assertGreaterEqual(found, low)
        self.assertLessEqual(found, high)

    @given(st.lists(st.floats(0.0, 200.0), min_size=1, max_size=50))
    def test_grows_with_the_share(self, times: list[float]) -> None:
        found = [quantile(histogram(times), q / 20) for q in range(21)]
        self.assertEqual(found, sorted(found))

    def test_of_nothing_is_nothing(self) -> None:
        self.assertEqual(quantile({}, 0.99), 0.0)

    def test_is_interpolated_in_its_bucket(self) -> None:
        place = LATENCY_BOUNDS.index(0.01)
        self.assertAlmostEqual(quantile({place: 10}, 0.5), 0.009)
