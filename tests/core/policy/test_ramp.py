from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.ramp import ramp

ages = st.floats(-10, 10_000)


class RampTests(SynchronousTestCase):
    def test_grows_from_a_tenth_to_all(self) -> None:
        weights = [ramp(2, age, 20.0) for age in (-1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 19.99, 20.0, 1e9)]
        self.assertEqual(weights, [20, 20, 20, 20, 50, 100, 198, 200, 200])

    def test_all_is_there_at_once_without_slow_start(self) -> None:
        self.assertEqual(ramp(3, 0.0, 0.0), 300)

    @given(st.integers(0, 1000), ages, ages, st.floats(0.01, 3600))
    def test_never_shrinks_and_never_exceeds(
        self, weight: int, age: float, later: float, slow_start_s: float
    ) -> None:
        age, later = sorted((age, later))
        young, old = ramp(weight, age, slow_start_s), ramp(weight, later, slow_start_s)
        self.assertLessEqual(10 * weight, young)
        self.assertLessEqual(young, old)
        self.assertLessEqual(old, 100 * weight)
