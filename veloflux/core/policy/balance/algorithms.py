"""Every balancing algorithm by the name it has in the configuration."""

from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.candidate import Factory
from veloflux.core.policy.balance.least_conn import LeastConn
from veloflux.core.policy.balance.round_robin import RoundRobin, WeightedRoundRobin
from veloflux.core.policy.balance.weighted_random import WeightedRandom

PICKERS: dict[Algorithm, Factory] = {
    "round_robin": RoundRobin,
    "weighted_round_robin": WeightedRoundRobin,
    "least_conn": LeastConn,
    "random": WeightedRandom,
}
