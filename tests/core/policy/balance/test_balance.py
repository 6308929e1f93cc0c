"""What holds for every algorithm, and which backends may be picked at all."""

from collections import Counter
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.policy.balance.candidate import usable


@dataclass(eq=False)
class Server:
    weight: int = 1
    inflight: int = 0
    enabled: bool = True
    backup: bool = False
    is_unhealthy: bool = False


servers = st.lists(st.builds(Server, weight=st.integers(0, 20), inflight=st.integers(0, 5)))


class EveryPickerTests(SynchronousTestCase):
    @given(st.sampled_from(sorted(PICKERS)), servers, st.data(), st.integers())
    def test_picks_a_candidate_with_weight_that_is_not_excluded(
        self, name: Algorithm, candidates: list[Server], draw: st.DataObject, seed: int
    ) -> None:
        excluded = draw.draw(st.lists(st.sampled_from(candidates))) if candidates else []
        picker = PICKERS[name](candidates, Random(seed).random)
        able = [c for c in candidates if c.weight and c not in excluded]
        for _ in range(5):
            picked = picker.pick(excluded)
            if able:
                self.assertIn(picked, able)
            else:
                self.assertIsNone(picked)

    def test_workers_do_not_all_begin_with_the_same_backend(self) -> None:
        for name, factory in PICKERS.items():
            candidates = [Server(weight=1 + i % 2) for i in range(10)]
            first = {
                candidates.index(picked)
                for seed in range(50)
                if (picked := factory(candidates, Random(seed).random).pick()) is not None
            }
            self.assertGreater(len(first), 4, name)

    def test_nobody_starves(self) -> None:
        for name, factory in PICKERS.items():
            candidates = [Server() for _ in range(10)]
            picker = factory(candidates, Random(1).random)
            self.assertEqual(len(Counter(picker.pick() for _ in range(300))), 10, name)


class UsableTests(SynchronousTestCase):
    def test_leaves_out_who_must_not_be_picked(self) -> None:
        good = Server()
        members = [Server(enabled=False), Server(weight=0), good, Server(is_unhealthy=True)]
        self.assertEqual(usable(members), (good,))

    def test_backups_wait_until_no_primary_is_left(self) -> None:
        primary, backup, broken = Server(), Server(backup=True), Server(backup=True)
        broken.is_unhealthy = True
        members = [primary, backup, broken]
        self.assertEqual(usable(members), (primary,))
        primary.is_unhealthy = True
        self.assertEqual(usable(members), (backup,))
        backup.enabled = False
        self.assertEqual(usable(members), ())
