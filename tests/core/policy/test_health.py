from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.health import Health


class HealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.health = Health(rise=2, fall=3)

    def observe(self, results: str) -> str:
        """`+` for a success and `-` for a failure; a `!` for each that changed the state."""
        return "".join("!" if self.health.observe(result == "+") else "." for result in results)

    def test_is_usable_before_the_first_result(self) -> None:
        self.assertEqual(self.health.state, "unknown")
        self.assertTrue(self.health.is_usable)

    def test_the_first_result_decides(self) -> None:
        self.assertEqual(self.observe("-"), "!")
        self.assertEqual(self.health.state, "unhealthy")
        self.assertFalse(self.health.is_usable)
        self.health = Health(rise=2, fall=3)
        self.assertEqual(self.observe("+"), "!")
        self.assertEqual(self.health.state, "healthy")

    def test_falls_after_failures_in_a_row(self) -> None:
        self.assertEqual(self.observe("+--+---"), "!.....!")
        self.assertFalse(self.health.is_usable)

    def test_rises_after_successes_in_a_row(self) -> None:
        self.assertEqual(self.observe("-+-++"), "!...!")
        self.assertTrue(self.health.is_usable)

    @given(st.lists(st.booleans(), min_size=1), st.integers(1, 5), st.integers(1, 5))
    def test_the_last_long_enough_run_decides(
        self, results: list[bool], rise: int, fall: int
    ) -> None:
        health = Health(rise, fall)
        for result in results:
            health.observe(result)
        decisive = results[0]
        for ok, run in groupby(results):
            if len(list(run)) >= (rise if ok else fall):
                decisive = ok
        self.assertEqual(health.is_usable, decisive)
