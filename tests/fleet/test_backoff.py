"""How soon a dead worker's successor comes."""

from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.backoff import LONGEST_S, SOUND_S, Backoff


class BackoffTests(SynchronousTestCase):
    def test_the_first_death_is_repaired_at_once(self) -> None:
        self.assertEqual(Backoff().after(0.1), 0.0)

    def test_fast_deaths_in_a_row_slow_down_up_to_a_bound(self) -> None:
        backoff = Backoff()
        waits = [backoff.after(0.1) for _ in range(40)]
        self.assertEqual(waits[:4], [0.0, 0.25, 0.5, 1.0])
        self.assertEqual(waits, sorted(waits))
        self.assertEqual(waits[-1], LONGEST_S)

    def test_a_long_life_ends_the_row(self) -> None:
        backoff = Backoff()
        for _ in range(10):
            backoff.after(0.1)
        self.assertEqual(backoff.after(SOUND_S), 0.0)
        self.assertEqual(backoff.after(0.1), 0.0)

    def test_a_reset_ends_the_row(self) -> None:
        backoff = Backoff()
        for _ in range(10):
            backoff.after(0.1)
        backoff.reset()
        self.assertEqual(backoff.after(0.1), 0.0)
