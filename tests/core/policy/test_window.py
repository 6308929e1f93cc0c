from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.window import Window

gaps = st.lists(st.floats(0, 30, allow_subnormal=False) | st.just(0.0), max_size=60)


class WindowTests(SynchronousTestCase):
    @given(gaps, st.sampled_from([0.5, 1.0, 10.0, 3600.0]), st.floats(0, 1e6))
    def test_the_truth_lies_between(self, gaps: list[float], span_s: float, start: float) -> None:
        window = Window(span_s)
        now, events = start, list[float]()
        for gap in gaps:
            now += gap
            window.add(now)
            events.append(now)
            age = span_s * (1 + 1e-9)
            self.assertLessEqual(window.at_least(now), sum(now - at < age for at in events))
            self.assertLessEqual(sum(now - at < span_s for at in events), window.at_most(now))

    def test_all_is_over_after_a_silence(self) -> None:
        window = Window(10.0)
        for _ in range(100):
            window.add(0.5)
        self.assertEqual((window.at_least(9.9), window.at_most(9.9)), (100, 100))
        self.assertEqual((window.at_least(10.5), window.at_most(10.5)), (0, 100))
        self.assertEqual((window.at_least(11.0), window.at_most(11.0)), (0, 0))
        window.add(1e6)
        self.assertEqual(window.at_most(1e6), 1)

    def test_many_at_once_are_many(self) -> None:
        window = Window(10.0)
        window.add(0.0, 7)
        window.add(0.0)
        self.assertEqual(window.at_most(0.0), 8)

    def test_nothing_is_left_when_cleared(self) -> None:
        window = Window(10.0)
        window.add(1.0)
        window.clear()
        self.assertEqual(window.at_most(1.0), 0)
