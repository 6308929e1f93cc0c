from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.core.policy.balance.server import Server
from veloflux.core.policy.balance.weighted_random import WeightedRandom

B = Server("b", 2)


class WeightedRandomTests(SynchronousTestCase):
    def counts(self, draws: int, excluded: tuple[Server, ...] = ()) -> Counter[str]:
        luck = (i / draws for i in range(draws))
        picker = WeightedRandom([Server("a", 1), B, Server("c", 7)], lambda: next(luck))
        return Counter(s.name for s in (picker.pick(excluded) for _ in range(draws)) if s)

    def test_shares_luck_by_weight(self) -> None:
        self.assertEqual(self.counts(1000), {"a": 100, "b": 200, "c": 700})

    def test_shares_the_luck_of_excluded_ones_by_weight(self) -> None:
        self.assertEqual(self.counts(800, (B,)), {"a": 100, "c": 700})
