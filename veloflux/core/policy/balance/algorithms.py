"""Every balancing algorithm by the name it has in the configuration."""

from veloflux.core.model.traffic import Algorithm, Pool
from veloflux.core.policy.balance.candidate import Factory
from veloflux.core.policy.balance.consistent_hash import ConsistentHash
from veloflux.core.policy.balance.ip_hash import IpHash
from veloflux.core.policy.balance.least_conn import LeastConn
from veloflux.core.policy.balance.peak_ewma import PeakEwmaOfTwo
from veloflux.core.policy.balance.power_of_two import PowerOfTwo
from veloflux.core.policy.balance.round_robin import RoundRobin, WeightedRoundRobin
from veloflux.core.policy.balance.weighted_random import WeightedRandom

PICKERS: dict[Algorithm, Factory] = {
    "round_robin": RoundRobin,
    "weighted_round_robin": WeightedRoundRobin,
    "least_conn": LeastConn,
    "random": WeightedRandom,
    "power_of_two": PowerOfTwo,
    "peak_ewma": PeakEwmaOfTwo,
    "ip_hash": IpHash,
    "consistent_hash": ConsistentHash,
}

# Those that look at the key; nobody else needs one made.
KEYED: frozenset[Algorithm] = frozenset({"ip_hash", "consistent_hash"})
# Those that look at the latency and the time.
TIMED: frozenset[Algorithm] = frozenset({"peak_ewma"})
# Those that look at the load, of all workers.
LOADED: frozenset[Algorithm] = frozenset(
    {"least_conn", "power_of_two", "peak_ewma", "consistent_hash"}
)


def counts_together(pool: Pool) -> bool:
    """Whether something depends on what its backends work on for all workers: the choice, or a
    bound."""
    breaker = pool.circuit_breaker
    return (
        pool.algorithm in LOADED
        or any(backend.max_connections for backend in pool.backends)
        or (breaker is not None and bool(breaker.max_connections or breaker.max_requests))
    )
