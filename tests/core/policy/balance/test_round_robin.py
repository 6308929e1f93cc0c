from collections import Counter
from functools import reduce
from itertools import islice
from math import gcd
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.policy.balance.server import Server, no_luck
from veloflux.core.policy.balance.round_robin import (
    CYCLE_LIMIT,
    RoundRobin,
    WeightedRoundRobin,
    schedule,
)


class RoundRobinTests(SynchronousTestCase):
    def test_takes_everybody_in_turn_whatever_the_weight(self) -> None:
        picker = RoundRobin([Server("a", 5), Server("b"), Server("off", 0)], no_luck)
        self.assertEqual([s.name for s in (picker.pick() for _ in range(4)) if s], [*"abab"])

    def test_an_excluded_one_loses_its_turn(self) -> None:
        a, b, c = Server("a"), Server("b"), Server("c")
        picker = RoundRobin([a, b, c], no_luck)
        self.assertEqual(picker.pick(), a)
        self.assertEqual(picker.pick([b]), c)
        self.assertEqual(picker.pick(), a)


class WeightedTests(SynchronousTestCase):
    def test_spaces_the_picks_of_a_heavy_backend(self) -> None:
        picker = WeightedRoundRobin([Server("a", 5), Server("b"), Server("c")], no_luck)
        names = "".join(s.name for s in (picker.pick() for _ in range(14)) if s)
        self.assertEqual(names, "abaaaca" * 2)

    def test_finds_a_light_backend_behind_heavy_excluded_ones(self) -> None:
        heavy, light = Server("heavy", 1000), Server("light", 1)
        picker = WeightedRoundRobin([heavy, light], no_luck)
        self.assertEqual([picker.pick({heavy}) for _ in range(3)], [light] * 3)

    @given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(), st.integers(0, 99))
    def test_spreads_exactly_by_weight_over_any_cycle(
        self, weights: list[int], seed: int, skipped: int
    ) -> None:
        servers = [Server(str(i), weight) for i, weight in enumerate(weights)]
        picker = WeightedRoundRobin(servers, Random(seed).random)
        for _ in range(skipped):
            picker.pick()
        common = reduce(gcd, weights)
        picks = Counter(picker.pick() for _ in range(sum(weights) // common))
        self.assertEqual(picks, {server: server.weight // common for server in servers})

    @given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers())
    def test_a_group_is_never_more_than_a_turn_away_from_its_share(
        self, weights: list[int], seed: int
    ) -> None:
        """Smoothness: after any number of turns, the backends of one weight have had their due.

        The bound is that of a smooth schedule of as many players as there are distinct weights.
        """
        servers = [Server(str(i), weight) for i, weight in enumerate(weights)]
        turns = schedule([(s, s.weight) for s in servers], no_luck)
        players = len(set(weights))
        had: Counter[int] = Counter()
        for turn, server in enumerate(islice(turns, 2 * sum(weights)), 1):
            had[server.weight] += 1
            for weight in set(weights):
                due = turn * weight * weights.count(weight) / sum(weights)
                self.assertLess(abs(had[weight] - due), max(1, players - 1) + 1e-9)

    def test_a_cycle_too_long_to_remember_is_as_exact(self) -> None:
        servers = [Server("a", 9973), Server("b", 9967)]
        self.assertGreater(9973 + 9967, CYCLE_LIMIT)
        turns = schedule([(s, s.weight) for s in servers], no_luck)
        for _ in range(2):
            picks = Counter(islice(turns, 9973 + 9967))
            self.assertEqual(picks, {server: server.weight for server in servers})
