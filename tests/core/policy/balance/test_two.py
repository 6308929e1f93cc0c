"""power_of_two and peak_ewma, which look at two."""

from collections import Counter
from itertools import product
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.policy.balance.server import Server, no_luck
from veloflux.core.policy.balance.lots import Lots
from veloflux.core.policy.balance.peak_ewma import PeakEwmaOfTwo
from veloflux.core.policy.balance.power_of_two import PowerOfTwo

lucks = st.floats(0, 1, exclude_max=True)
NEARLY_ONE = 1 - 2**-53


class LotsTests(SynchronousTestCase):
    @given(st.lists(st.integers(1, 1000), min_size=2, max_size=9), lucks, lucks)
    def test_draws_two_that_differ(self, weights: list[int], luck: float, other: float) -> None:
        servers = [Server(weight=weight) for weight in weights]
        lots = Lots(servers)
        for pair in ((luck, other), (NEARLY_ONE, NEARLY_ONE), (0.0, NEARLY_ONE)):
            one, another = lots.two(iter(pair).__next__)
            self.assertIsNot(one, another)

    def test_draws_each_by_weight_and_the_second_among_the_others(self) -> None:
        servers = [Server(weight=weight) for weight in (1, 2, 5)]
        lots = Lots(servers)
        places = [(i + 0.5) / 40 for i in range(40)]
        drawn = Counter(lots.two(iter(pair).__next__) for pair in product(places, places))
        share = Counter({pair: count / 1600 for pair, count in drawn.items()})
        a, b, c = servers
        for one, other in ((a, b), (a, c), (b, a), (b, c), (c, a), (c, b)):
            expected = one.weight / 8 * other.weight / (8 - one.weight)
            self.assertLess(abs(share[one, other] - expected), 0.02)


class PowerOfTwoTests(SynchronousTestCase):
    def test_the_less_loaded_for_its_weight_wins(self) -> None:
        light, heavy = Server(load=1), Server(weight=4, load=3)
        for luck in (no_luck, lambda: 0.9):
            self.assertIs(PowerOfTwo([light, heavy], luck).pick(), heavy)
        heavy.load = 5
        for luck in (no_luck, lambda: 0.9):
            self.assertIs(PowerOfTwo([light, heavy], luck).pick(), light)

    def test_the_most_loaded_is_never_picked(self) -> None:
        servers = [Server(load=i) for i in range(5)]
        picker = PowerOfTwo(servers, Random(1).random)
        picks = Counter(picker.pick() for _ in range(2000))
        self.assertEqual(picks[servers[-1]], 0)
        counts = [picks[server] for server in servers]
        self.assertEqual(counts, sorted(counts, reverse=True))

    def test_the_longest_queue_is_far_shorter_than_by_chance(self) -> None:
        """Mitzenmacher's result: log log n instead of log n."""
        servers = [Server() for _ in range(100)]
        picker = PowerOfTwo(servers, Random(2).random)
        for _ in range(10_000):
            picked = picker.pick()
            assert picked is not None
            picked.load += 1
        self.assertLess(max(s.load for s in servers) - 100, 5)

    def test_an_idle_pool_is_shared_by_weight(self) -> None:
        servers = [Server(weight=weight) for weight in (1, 3)]
        picker = PowerOfTwo(servers, Random(3).random)
        picks = Counter(picker.pick() for _ in range(4000))
        self.assertLess(abs(picks[servers[0]] - 1000), 120)


class PeakEwmaTests(SynchronousTestCase):
    def measured(self, *latencies: float) -> list[Server]:
        servers = [Server() for _ in latencies]
        for server, latency in zip(servers, latencies, strict=True):
            server.latency.observe(latency, 0.0)
        return servers

    def test_latency_and_load_make_the_cost(self) -> None:
        fast, slow = servers = self.measured(0.01, 0.05)
        picker = PeakEwmaOfTwo(servers, Random(0).random)
        picks = []
        for _ in range(12):
            picked = picker.pick()
            assert picked is not None
            picked.load += 1
            picks.append(picked)
        self.assertEqual((picks.count(fast), picks.count(slow)), (10, 2))
        self.assertEqual(dict(picker.scores()), {fast: 0.11, slow: 0.15000000000000002})

    def test_who_is_not_yet_known_gets_its_share_and_no_more(self) -> None:
        """Neither shunned until it is measured, which would be never, nor flooded."""
        known = self.measured(0.01, 0.01, 0.01)
        new = Server()
        picker = PeakEwmaOfTwo([*known, new], Random(0).random)
        for _ in range(400):
            picked = picker.pick()
            assert picked is not None
            picked.load += 1
        self.assertLess(abs(new.load - 100), 5)

    def test_a_backend_without_traffic_is_tried_again(self) -> None:
        fast, slow = servers = self.measured(0.01, 5.0)
        picker = PeakEwmaOfTwo(servers, Random(0).random)
        self.assertIs(picker.pick(now=0.0), fast)
        for second in range(100):
            fast.latency.observe(0.01, float(second))
        self.assertIs(picker.pick(now=99.0), slow)

    @given(st.integers(0, 2**32), st.floats(0.001, 0.01))
    def test_a_black_hole_that_fails_fast_attracts_nothing(self, seed: int, fails_s: float) -> None:
        """It answers errors at once, so it is idle and quick; its failures count as slow."""
        good = [Server() for _ in range(4)]
        hole = Server()
        picker = PeakEwmaOfTwo([*good, hole], Random(seed).random)
        got = 0
        for turn in range(1000):
            now = turn * 0.02
            picked = picker.pick(now=now)
            assert picked is not None
            if picked is hole:
                got += 1
                hole.latency.observe_failure(fails_s, now)
            else:
                picked.latency.observe(0.02, now)
        self.assertLess(got, 20)
