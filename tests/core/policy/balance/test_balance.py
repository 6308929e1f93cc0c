"""What holds for every algorithm, and which backends may be picked at all."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.policy.balance.server import Lucky, Server, keys, no_luck
from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.policy.balance.candidate import usable

algorithms = st.sampled_from(sorted(PICKERS))
servers = st.lists(st.builds(Server, weight=st.integers(0, 20), load=st.integers(0, 5)))
some_keys = st.sampled_from([b"", b"a", b"198.51.100.7"])


class EveryPickerTests(SynchronousTestCase):
    @given(algorithms, servers, some_keys, st.data(), st.integers())
    def test_picks_a_candidate_with_weight_that_is_not_excluded(
        self,
        name: Algorithm,
        candidates: list[Server],
        key: bytes,
        draw: st.DataObject,
        seed: int,
    ) -> None:
        excluded = draw.draw(st.lists(st.sampled_from(candidates))) if candidates else []
        picker = PICKERS[name](candidates, Random(seed).random)
        able = [c for c in candidates if c.weight and c not in excluded]
        for _ in range(5):
            picked = picker.pick(excluded, key)
            if able:
                self.assertIn(picked, able)
            else:
                self.assertIsNone(picked)

    @given(algorithms, servers, st.data(), st.integers())
    def test_peek_says_what_the_next_pick_is(
        self, name: Algorithm, candidates: list[Server], draw: st.DataObject, seed: int
    ) -> None:
        """A pool that was looked at between the picks goes on as one that was not."""
        luck, other_luck = Lucky(seed), Lucky(seed)
        looked_at = PICKERS[name](candidates, luck)
        left_alone = PICKERS[name](candidates, other_luck)
        excludes = st.lists(st.sampled_from(candidates)) if candidates else st.just([])
        for turn in range(6):
            key = draw.draw(some_keys)
            for _ in range(draw.draw(st.integers(0, 2))):
                luck.mark()
                looked_at.peek(draw.draw(excludes), key, float(turn))
                luck.again()
            excluded = draw.draw(excludes)
            luck.mark()
            expected = looked_at.peek(excluded, key, float(turn))
            luck.again()
            picked = looked_at.pick(excluded, key, float(turn))
            self.assertIs(picked, expected)
            self.assertIs(left_alone.pick(excluded, key, float(turn)), picked)
            if picked is not None:
                picked.load += 1
                picked.latency.observe(draw.draw(st.floats(0, 1)), float(turn))

    @given(algorithms, servers, some_keys)
    def test_scores_are_of_those_with_weight_and_the_best_may_be_picked(
        self, name: Algorithm, candidates: list[Server], key: bytes
    ) -> None:
        able = [c for c in candidates if c.weight]
        picker = PICKERS[name](candidates, no_luck)
        scores = picker.scores(key, 1.0)
        if scores:
            self.assertEqual(Counter(c for c, _ in scores), Counter(able))
        if scores and len(able) < 3:
            least = min(score for _, score in scores)
            self.assertIn(picker.pick((), key, 1.0), [c for c, score in scores if score == least])

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
            picks = Counter(picker.pick((), key) for key in keys(300))
            self.assertEqual(len(picks), 10, name)


class UsableTests(SynchronousTestCase):
    def test_leaves_out_who_must_not_be_picked(self) -> None:
        good = Server()
        members = [
            Server(enabled=False),
            Server(weight=0),
            good,
            Server(is_unhealthy=True),
            Server(is_ejected=True),
        ]
        self.assertEqual(usable(members), ((good,), ""))

    def test_backups_wait_until_no_primary_is_left(self) -> None:
        primary, backup, broken = Server(), Server(backup=True), Server(backup=True)
        broken.is_unhealthy = True
        members = [primary, backup, broken]
        self.assertEqual(usable(members), ((primary,), ""))
        primary.is_unhealthy = True
        self.assertEqual(usable(members), ((backup,), "backup"))
        backup.enabled = False
        self.assertEqual(usable(members), ((), ""))

    def test_health_is_not_asked_for_when_too_few_are_healthy(self) -> None:
        """X1: the panic threshold."""
        members = [Server() for _ in range(4)]
        backup = Server(backup=True)
        off = [Server(enabled=False), Server(weight=0)]
        everybody = [*members, backup, *off]
        members[0].is_unhealthy = members[1].is_ejected = True
        self.assertEqual(usable(everybody, 50), (tuple(members[2:]), ""))
        self.assertEqual(usable(everybody, 51), (tuple(members), "panic"))
        members[2].is_unhealthy = members[3].is_unhealthy = True
        self.assertEqual(usable(everybody, 50), (tuple(members), "panic"))
        self.assertEqual(usable(everybody), ((backup,), "backup"))

    def test_an_ejection_never_takes_the_last(self) -> None:
        """X3: all that are slow together stay in use."""
        ejected, broken = Server(is_ejected=True), Server(is_unhealthy=True)
        backup = Server(backup=True, is_ejected=True)
        self.assertEqual(usable([ejected, broken, backup]), ((ejected,), "panic"))
        ejected.is_unhealthy = True
        self.assertEqual(usable([ejected, broken, backup]), ((backup,), "panic"))
        backup.is_ejected = False
        self.assertEqual(usable([ejected, broken, backup]), ((backup,), "backup"))
        self.assertEqual(usable([ejected, broken]), ((), ""))

    @given(
        st.lists(
            st.builds(
                Server,
                weight=st.integers(0, 1),
                enabled=st.booleans(),
                backup=st.booleans(),
                is_unhealthy=st.booleans(),
                is_ejected=st.booleans(),
            )
        ),
        st.integers(0, 100),
    )
    def test_is_empty_only_when_checks_or_the_operator_took_everybody(
        self, members: list[Server], panic_percent: int
    ) -> None:
        chosen = usable(members, panic_percent)
        for member in chosen.members:
            self.assertTrue(member.enabled and member.weight)
            if chosen.reason != "panic":
                self.assertFalse(member.is_unhealthy or member.is_ejected)
        self.assertEqual(len({m.backup for m in chosen.members}) <= 1, True)
        if any(m.enabled and m.weight and not m.is_unhealthy for m in members):
            self.assertTrue(chosen.members)
