"""Which cell of the board is which backend's?"""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.address import Address
from veloflux.core.model.resilience import CircuitBreaker
from veloflux.core.model.traffic import Backend, Pool
from veloflux.edge.board import CELLS
from veloflux.fleet.cells import Allotment

configurations = st.dictionaries(
    st.sampled_from("xyz"), st.sets(st.integers(1, 6), max_size=6), max_size=3
).map(
    lambda found: tuple(
        Pool(
            name, tuple(Backend(Address("10.0.0.1", port)) for port in sorted(ports)), "least_conn"
        )
        for name, ports in found.items()
    )
)


class Cells(SynchronousTestCase):
    @given(st.lists(configurations, max_size=5))
    def test_each_has_its_own_and_keeps_it(self, history: list[tuple[Pool, ...]]) -> None:
        allotment = Allotment()
        before: dict[tuple[str, str], int] = {}
        for pools in history:
            found = allotment.assign(pools)
            now = {(pool, name): n for pool, each in found.items() for name, n in each.items()}
            self.assertEqual(len(set(now.values())), len(now))
            self.assertEqual(
                set(now),
                {(pool.name, str(each.address)) for pool in pools for each in pool.backends},
            )
            for backend in set(before) & set(now):
                self.assertEqual(now[backend], before[backend])
            before = now

    def test_more_backends_than_cells(self) -> None:
        """Those left over count for themselves alone."""
        allotment = Allotment()
        many = [Backend(Address("10.0.0.1", n % 60_000 + 1)) for n in range(CELLS + 5)]
        found = allotment.assign((Pool("x", tuple(many), "least_conn"),))["x"]
        self.assertEqual(len(found), CELLS)
        few = Pool("y", tuple(many[:3]), "least_conn")
        self.assertEqual(len(allotment.assign((few,))["y"]), 3)

    def test_none_is_given_to_a_pool_that_does_not_look_at_its_load(self) -> None:
        allotment = Allotment()
        backend = Backend(Address("10.0.0.1", 1))
        bounded = replace(backend, max_connections=1)
        breaker = CircuitBreaker(max_requests=1)
        pools = (
            Pool("by turns", (backend,)),
            Pool("bounded", (backend, bounded)),
            Pool("broken", (backend,), circuit_breaker=breaker),
            Pool("by load", (backend,), "peak_ewma"),
        )
        self.assertEqual(set(allotment.assign(pools)), {"bounded", "broken", "by load"})
        found = allotment.assign((replace(pools[0], algorithm="least_conn"),))
        self.assertEqual(list(found["by turns"]), ["10.0.0.1:1"])
