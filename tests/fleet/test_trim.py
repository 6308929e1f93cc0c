"""Memory is given back after a burst of connections."""

from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.trim import Trimmer, malloc_trim


class Trims(SynchronousTestCase):
    def trims(self, *connections: int) -> list[int]:
        """After which of these counts it trims."""
        calls: list[int] = []
        found = []
        trimmer = Trimmer(lambda: calls.append(1))
        for count in connections:
            trimmer.look(count)
            if calls:
                calls.clear()
                found.append(count)
        return found

    def test_after_a_burst(self) -> None:
        self.assertEqual(self.trims(0, 100, 60, 47, 46, 45, 30), [46])

    def test_once_for_each(self) -> None:
        self.assertEqual(self.trims(500, 0, 0, 0, 500, 0), [0, 0])

    def test_not_for_the_few(self) -> None:
        self.assertEqual(self.trims(7, 0, 7, 0), [])

    def test_the_library_is_asked(self) -> None:
        malloc_trim()()
