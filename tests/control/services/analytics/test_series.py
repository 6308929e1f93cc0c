"""Counting traffic into seconds and minutes."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.control.services.analytics.tallies import tally
from veloflux.control.services.analytics.bucket import Bucket
from veloflux.control.services.analytics.series import NAMED_SECONDS, SECONDS, Series

WALL = 1_800_000_000.0  # a minute's beginning

# A starved machine is no fault.


class SeriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now, self.wall = 100.0, WALL
        self.series = Series(self.now, self.wall)
        self.closed: list[Bucket] = []

    def second(self, step: float = 1.0, wall: float | None = None) -> None:
        self.now += step
        self.wall += step if wall is None else wall
        over = self.series.tick(self.now, self.wall)
        self.series.trim()
        if over is not None:
            self.closed.append(over)

    def test_counts_by_route_pool_backend_and_status(self) -> None:
        self.series.merge(1, tally("app", count=3))
        self.series.merge(2, tally("app", count=2, status=503, seconds=0.5))
        self.series.merge(2, tally("", status=404, backend=None))
        self.second()
        (found,) = self.series.seconds
        self.assertEqual((found.total.requests, found.total.errors), (6, 2))
        self.assertEqual(found.total.bytes_out, 600)
        names = {
            kind: {name: cell.requests for name, cell in group.items()}
            for kind, group in found.groups.items()
        }
        self.assertEqual(
            names,
            {
                "route": {"app": 5, "": 1},
                "pool": {"web": 5},
                "backend": {"web/10.0.0.1:80": 5},
                "status": {"200": 3, "503": 2, "404": 1},
            },
        )

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.booleans()), max_size=40))
    def test_all_resolutions_have_the_same_sums(self, events: list[tuple[int, int, bool]]) -> None:
        """However counts come in, and whenever seconds and minutes end."""
        self.setUp()
        total = 0
        for worker, count, ends in events:
            self.series.merge(worker, tally(f"r{count}", count=count))
            total += count
            if ends:
                self.second(step=7.0)
        self.second()
        seconds = sum(each.total.requests for each in self.series.seconds)
        minutes = [*self.closed, self.series.minute]
        self.assertEqual(seconds, total)
        self.assertEqual(sum(each.total.requests for each in minutes), total)
        by_route = [cell.requests for each in minutes for cell in each.groups["route"].values()]
        self.assertEqual(sum(by_route), total)

    def test_a_minute_ends_with_that_of_the_clock(self) -> None:
        self.wall += 42.0
        self.series = Series(self.now, self.wall)
        for _ in range(17):
            self.second()
        self.assertEqual(self.closed, [])
        self.second()
        self.assertEqual([(each.at, each.length_s) for each in self.closed], [(WALL, 18.0)])
        for _ in range(60):
            self.second()
        self.assertEqual(self.closed[1].at, WALL + 60)
        self.assertEqual(self.closed[1].length_s, 60.0)

    def test_a_clock_that_is_set_makes_no_minute_longer_or_lost(self) -> None:
        for jump in (0.0, 3600.0, -7200.0):
            self.second(wall=1.0 + jump)
            self.series.merge(1, tally())
            for _ in range(119):
                self.second()
        self.assertEqual(sum(each.total.requests for each in self.closed), 3)
        self.assertTrue(all(each.length_s <= 61.0 for each in self.closed))
        names = [each.at for each in self.closed]
        self.assertIn(WALL + 60, names)
        self.assertTrue(any(each >= WALL + 3600 for each in names))
        self.assertTrue(any(each < WALL for each in names))

    def test_a_daemon_that_stood_still_says_how_long(self) -> None:
        self.second()
        self.series.merge(1, tally(count=8))
        self.second(step=4.0)
        self.assertEqual([each.length_s for each in self.series.seconds], [1.0, 4.0])

    def test_connections_are_those_of_the_workers_that_run(self) -> None:
        self.series.merge(1, tally(connections=5))
        self.series.merge(2, tally(connections=7))
        self.second()
        self.series.merge(1, tally(connections=1))
        self.series.forget(2)
        self.second()
        found = [(each.open_s, each.peak) for each in self.series.seconds]
        self.assertEqual(found, [(12.0, 12), (1.0, 1)])
        self.assertEqual(self.series.minute.open_s, 13.0)
        self.assertEqual(self.series.minute.peak, 12)

    def test_goes_on_with_the_minute_of_before(self) -> None:
        before = Bucket(int(WALL), 30.0)
        before.cell("route", "app").answers[2] = 9
        self.assertTrue(self.series.resume(before))
        self.assertFalse(self.series.resume(Bucket(int(WALL) - 60, 30.0)))
        self.series.merge(1, tally("app"))
        self.second()
        self.assertEqual(self.series.minute.groups["route"]["app"].requests, 10)

    def test_remembers_so_many_seconds(self) -> None:
        for _ in range(SECONDS + 5):
            self.second()
        self.assertEqual(len(self.series.seconds), SECONDS)

    def test_of_old_seconds_only_the_sums_are_remembered(self) -> None:
        """Names are the greater part of a second, and nobody asks for those of a minute ago."""
        for _ in range(NAMED_SECONDS + 2):
            self.series.merge(1, tally("app", count=3))
            self.second()
        names = [list(each.groups["route"]) for each in self.series.seconds]
        self.assertEqual(names, [[], []] + [["app"]] * NAMED_SECONDS)
        self.assertEqual({each.total.requests for each in self.series.seconds}, {3})

    def test_a_minute_of_seconds_that_are_short_has_its_names(self) -> None:
        for _ in range(100):
            self.series.merge(1, tally("app"))
            self.second(step=0.9)
        named = sum(each.length_s for each in self.series.seconds if each.groups["route"])
        self.assertGreaterEqual(named, 60)
