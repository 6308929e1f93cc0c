from math import exp

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.balance.latency import DECAY_S, PeakEwma

seconds = st.floats(0, 100)


class PeakEwmaTests(SynchronousTestCase):
    def test_knows_nothing_until_it_is_told(self) -> None:
        latency = PeakEwma()
        self.assertEqual((latency.is_known, latency.value(5.0)), (False, 0.0))
        latency.observe(0.01, 5.0)
        self.assertEqual((latency.is_known, latency.value(5.0)), (True, 0.01))
        latency.forget()
        self.assertEqual((latency.is_known, latency.value(5.0)), (False, 0.0))

    def test_jumps_up_at_once_and_fades(self) -> None:
        latency = PeakEwma()
        latency.observe(0.01, 0.0)
        latency.observe(2.0, 1.0)
        self.assertEqual(latency.value(1.0), 2.0)
        self.assertAlmostEqual(latency.value(1.0 + DECAY_S), 2.0 / exp(1))

    def test_comes_down_to_what_is_seen(self) -> None:
        latency = PeakEwma()
        latency.observe(2.0, 0.0)
        for i in range(1, 1001):
            latency.observe(0.01, i * DECAY_S / 100)
        self.assertAlmostEqual(latency.value(10 * DECAY_S), 0.01, places=3)

    @given(st.lists(st.tuples(seconds, seconds), min_size=1), seconds)
    def test_stays_between_nothing_and_the_worst(
        self, seen: list[tuple[float, float]], later: float
    ) -> None:
        latency = PeakEwma()
        now = 0.0
        for value, step in seen:
            now += step
            latency.observe(value, now)
            self.assertGreaterEqual(latency.value(now), value * 0.999999)
        self.assertLessEqual(0.0, latency.value(now + later))
        self.assertLessEqual(latency.value(now + later), max(*(v for v, _ in seen), 1e-4) + 1e-9)

    def test_a_clock_that_steps_back_does_no_harm(self) -> None:
        """X9: the average stays what it was."""
        latency = PeakEwma()
        latency.observe(0.5, 100.0)
        latency.observe(0.1, 50.0)
        self.assertEqual(latency.value(40.0), 0.5)

    @given(st.lists(seconds, max_size=5), seconds)
    def test_a_failure_is_never_good_news(self, seen: list[float], took: float) -> None:
        latency = PeakEwma()
        for i, value in enumerate(seen):
            latency.observe(value, float(i))
        now = float(len(seen))
        before = latency.value(now)
        latency.observe_failure(took, now)
        self.assertGreaterEqual(latency.value(now), max(before, took, 0.25))

    def test_failures_in_a_row_add_up_and_have_an_end(self) -> None:
        latency = PeakEwma()
        latency.observe(0.01, 0.0)
        worse = []
        for _ in range(6):
            latency.observe_failure(0.001, 0.0)
            worse.append(latency.value(0.0))
        self.assertEqual(worse, [0.25, 1.0, 4.0, 10.0, 10.0, 10.0])
