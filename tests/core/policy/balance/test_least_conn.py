from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.policy.balance.server import Server
from veloflux.core.policy.balance.least_conn import LeastConn

SERVERS = st.builds(Server, weight=st.integers(1, 9), load=st.integers(0, 9))


class LeastConnTests(SynchronousTestCase):
    @given(
        st.lists(st.builds(Server, weight=st.integers(1, 9), load=st.integers(0, 9)), min_size=1)
    )
    def test_picks_a_least_loaded_one(self, servers: list[Server]) -> None:
        picker = LeastConn(servers, Random(0).random)
        for _ in range(3):
            picked = picker.pick()
            assert picked is not None
            least = min(s.load / s.weight for s in servers)
            self.assertEqual(picked.load / picked.weight, least)

    def test_equals_take_turns(self) -> None:
        for load in (0, 2):
            servers = [
                Server(load=load),
                Server(load=7),
                Server(weight=2, load=2 * load),
                Server(load=7),
            ]
            picker = LeastConn(servers, Random(0).random)
            picks = Counter(picker.pick() for _ in range(10))
            self.assertEqual(picks, {servers[0]: 5, servers[2]: 5})

    def test_fills_by_weight(self) -> None:
        servers = [Server(), Server(weight=3)]
        picker = LeastConn(servers, Random(0).random)
        for _ in range(40):
            picked = picker.pick()
            assert picked is not None
            picked.load += 1
        self.assertEqual([s.load for s in servers], [10, 30])

    def test_sees_work_end(self) -> None:
        busy, idle = Server(load=3), Server(load=2)
        picker = LeastConn([busy, idle], Random(0).random)
        self.assertIs(picker.pick(), idle)
        busy.load = 0
        self.assertIs(picker.pick(), busy)
