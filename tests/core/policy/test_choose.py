"""Which backend of its pool takes this request, and why not another?"""

from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.policy.balance.latency import PeakEwma
from veloflux.core.policy.choose import Chooser


@dataclass(eq=False)
class Server:
    """A backend in any state."""

    name: str
    weight: int = 1
    load: int = 0
    most: int = 0
    enabled: bool = True
    backup: bool = False
    is_unhealthy: bool = False
    is_ejected: bool = False
    latency: PeakEwma = field(default_factory=PeakEwma)

    @property
    def is_full(self) -> bool:
        return 0 < self.most <= self.load


states = st.fixed_dictionaries(
    {
        "weight": st.integers(0, 3),
        "load": st.integers(0, 3),
        "most": st.integers(0, 3),
        "enabled": st.booleans(),
        "backup": st.booleans(),
        "is_unhealthy": st.booleans(),
        "is_ejected": st.booleans(),
    }
)
pools = st.lists(states, max_size=6).map(
    lambda each: [Server(f"10.0.0.{n}:80", **state) for n, state in enumerate(each)]
)
algorithms = st.sampled_from(sorted(PICKERS))


def chooser(servers: list[Server], algorithm: Algorithm = "round_robin", seed: int = 1):
    return Chooser(servers, algorithm, Random(seed).random, is_bounded=True)


class Chosen(SynchronousTestCase):
    @given(pools, algorithms, st.integers(), st.data())
    def test_its_explanation_agrees(
        self, servers: list[Server], algorithm: Algorithm, seed: int, data: st.DataObject
    ) -> None:
        """For equal state and luck, what is explained is what is done."""
        some = st.sampled_from(servers) if servers else st.nothing()
        tried = data.draw(st.lists(some, max_size=2)) if servers else []
        stuck = data.draw(st.none() | some) if servers else None
        key = data.draw(st.sampled_from([b"", b"a", b"b"]))
        real, asked = chooser(servers, algorithm, seed), chooser(servers, algorithm, seed)
        for turn in range(4):
            choice = real.choose(tried, key, float(turn), stuck)
            explanation = asked.explain(tried, key, float(turn), stuck)
            name = choice.backend.name if choice.backend is not None else None
            self.assertEqual((explanation.backend, explanation.reason), (name, choice.reason))
            # The one that was only asked has its turn now, too.
            asked = chooser(servers, algorithm, seed)
            for past in range(turn + 1):
                asked.choose(tried, key, float(past), stuck)

    @given(pools, algorithms, st.integers())
    def test_whoever_can_be_chosen_has_nothing_against_it(
        self, servers: list[Server], algorithm: Algorithm, seed: int
    ) -> None:
        one = chooser(servers, algorithm, seed)
        chosen = one.choose().backend
        standings = {each.backend: each.why_not for each in one.explain().standings}
        self.assertEqual(len(standings), len(servers))
        if chosen is None:
            self.assertNotIn("", standings.values())
        else:
            self.assertEqual(standings[chosen.name], "")
            self.assertFalse(chosen.is_full)

    def test_a_sticky_client_goes_back(self) -> None:
        """Also to one that takes nobody else, but not to one that is out."""
        first, mine = Server("a"), Server("b", weight=0)
        pool = chooser([first, mine])
        self.assertEqual(pool.choose(stuck=mine), (mine, "sticky"))
        for state in ("is_unhealthy", "is_ejected"):
            setattr(mine, state, True)
            self.assertEqual(chooser([first, mine]).choose(stuck=mine), (first, "round_robin"))
            setattr(mine, state, False)
        mine.enabled = False
        self.assertIs(chooser([first, mine]).choose(stuck=mine).backend, first)
        mine.enabled = True
        self.assertIs(chooser([first, mine]).choose([mine], stuck=mine).backend, first)

    def test_a_full_one_is_passed_over(self) -> None:
        busy, idle = Server("a", load=2, most=2), Server("b", load=2, most=3)
        pool = chooser([busy, idle])
        self.assertEqual([pool.choose().backend for _ in range(3)], [idle] * 3)
        self.assertFalse(pool.are_full)
        idle.load = 3
        self.assertIsNone(pool.choose().backend)
        self.assertTrue(pool.are_full)
        self.assertEqual([each.why_not for each in pool.explain().standings], ["full", "full"])

    def test_every_reason_has_its_word(self) -> None:
        servers = [
            Server("good"),
            Server("off", enabled=False),
            Server("none", weight=0),
            Server("ill", is_unhealthy=True),
            Server("out", is_ejected=True),
            Server("spare", backup=True),
        ]
        found = chooser(servers).explain()
        self.assertEqual(found.backend, "good")
        self.assertEqual(
            [each.why_not for each in found.standings],
            ["", "disabled", "no_weight", "unhealthy", "ejected", "backup"],
        )
        self.assertEqual(chooser(servers).explain([servers[0]]).standings[0].why_not, "tried")
