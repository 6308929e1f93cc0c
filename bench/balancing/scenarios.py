"""What happens to the backends, and to whom the algorithms are put before it."""

from dataclasses import dataclass

from bench.balancing.policies import Never
from bench.balancing.proxy import Worker
from bench.balancing.run import WORKERS, Tally, run
from bench.balancing.server import Script, Server
from veloflux.core.model.resilience import OutlierDetection
from veloflux.core.model.traffic import Algorithm

SERVERS = 6
SLOTS = 4  # requests that a backend works on at a time
WORK_S = 0.01  # mean of an exponential distribution
QUEUE = 400  # requests that a backend keeps waiting; further connections are refused
PATIENCE_S = 1.0
LOAD = 0.6  # of what the backends can do when all is well
CAPACITY = SERVERS * SLOTS / WORK_S


@dataclass(frozen=True, slots=True)
class Scenario:
    """`scripts` are those of the first backends; all others have nothing to suffer."""

    title: str
    scripts: tuple[Script, ...] = ()
    slow_start_s: float = 0.0
    detection: OutlierDetection | None = OutlierDetection()
    seconds: float = 20.0

    def play(self, algorithm: Algorithm, seed: int = 1) -> Tally:
        """Run it; the same seed gives the same figures."""
        healthy = (Script(),) * (SERVERS - len(self.scripts))
        servers = [
            Server(f"10.0.0.{i}:80", script, SLOTS, WORK_S, QUEUE, seed)
            for i, script in enumerate((*self.scripts, *healthy), 1)
        ]
        out: dict[Server, float] = {}
        workers = [
            Worker(algorithm, servers, self.slow_start_s, self.detection, seed * WORKERS + i, out)
            for i in range(WORKERS)
        ]
        rules = [Never()] * WORKERS
        return run(
            servers, workers, rules, lambda _: LOAD * CAPACITY, self.seconds, PATIENCE_S, seed
        )


_COLD = (Script(joins=5.0, cold_requests=500, cold_factor=8.0),)
_FAILS = (Script(fails=5.0),)

SCENARIOS: dict[str, Scenario] = {
    "equal": Scenario("all alike"),
    "slow": Scenario("one takes five times as long", (Script(slow=((0.0, 1e9, 5.0),)),)),
    "brown-out": Scenario(
        "one takes ten times as long for five seconds", (Script(slow=((5.0, 10.0, 10.0),)),)
    ),
    "pauses": Scenario(
        "each stands still for 0.2 s in every 4 s, in turn",
        tuple(Script(pause_every_s=4.0, pause_s=0.2, pause_from_s=1 + i * 0.6) for i in range(6)),
    ),
    "cold": Scenario("a cold one joins", _COLD),
    "cold-slow-start": Scenario("a cold one joins, slow_start: 10s", _COLD, slow_start_s=10.0),
    "black-hole": Scenario("one fails at once, outlier_detection: null", _FAILS, detection=None),
    "black-hole-ejected": Scenario("one fails at once, outliers are ejected", _FAILS),
}
