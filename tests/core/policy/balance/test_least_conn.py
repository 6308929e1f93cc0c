from collections import Counter
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.balance.least_conn import LeastConn


@dataclass(eq=False)
class Server:
    weight: int = 1
    inflight: int = 0


class LeastConnTests(SynchronousTestCase):
    @given(st.lists(st.builds(Server, st.integers(1, 9), st.integers(0, 9)), min_size=1))
    def test_picks_a_least_loaded_one(self, servers: list[Server]) -> None:
        picker = LeastConn(servers, Random(0).random)
        for _ in range(3):
            picked = picker.pick()
            assert picked is not None
            least = min(s.inflight / s.weight for s in servers)
            self.assertEqual(picked.inflight / picked.weight, least)

    def test_equals_take_turns(self) -> None:
        for inflight in (0, 2):
            servers = [Server(1, inflight), Server(1, 7), Server(2, 2 * inflight), Server(1, 7)]
            picker = LeastConn(servers, Random(0).random)
            picks = Counter(picker.pick() for _ in range(10))
            self.assertEqual(picks, {servers[0]: 5, servers[2]: 5})

    def test_fills_by_weight(self) -> None:
        servers = [Server(1), Server(3)]
        picker = LeastConn(servers, Random(0).random)
        for _ in range(40):
            picked = picker.pick()
            assert picked is not None
            picked.inflight += 1
        self.assertEqual([s.inflight for s in servers], [10, 30])

    def test_sees_work_end(self) -> None:
        busy, idle = Server(inflight=3), Server(inflight=2)
        picker = LeastConn([busy, idle], Random(0).random)
        self.assertIs(picker.pick(), idle)
        busy.inflight = 0
        self.assertIs(picker.pick(), busy)
