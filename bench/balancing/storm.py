"""The retry storm: does traffic come back when what caused the trouble has gone?

For ten seconds the backends can do so little that the load is 1.5 times that. They queue, answers
come too late and are asked for again; what was given up is worked on all the same, as a backend
cannot know. A system that retries without measure stays down when its cause has long gone (N.
Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.balancing.policies import Budgeted, Naive, Never, RetryRule
from bench.balancing.proxy import Worker
from bench.balancing.run import WORKERS, Tally, run
from bench.balancing.scenarios import CAPACITY, QUEUE, SERVERS, SLOTS, WORK_S
from bench.balancing.server import Script, Server
from veloflux.core.model.resilience import OutlierDetection, Retries

LOAD = 0.65
OVERLOAD = 1.5
BEGINS, ENDS, LASTS = 10, 20, 60
PATIENCE_S = 0.5
BACK = 0.95  # the share of good answers from which on a second counts as good


@dataclass(frozen=True, slots=True)
class Storm:
    """One way to retry; `rule` makes what a worker goes by."""

    title: str
    rule: Callable[[], RetryRule]
    detection: OutlierDetection | None = None

    def play(self, seed: int = 1) -> Tally:
        """Run it; the same seed gives the same figures."""
        script = Script(slow=((float(BEGINS), float(ENDS), OVERLOAD / LOAD),))
        servers = [
            Server(f"10.0.0.{i}:80", script, SLOTS, WORK_S, QUEUE, seed)
            for i in range(1, SERVERS + 1)
        ]
        out: dict[Server, float] = {}
        workers = [
            Worker("least_conn", servers, 0.0, self.detection, seed * WORKERS + i, out)
            for i in range(WORKERS)
        ]
        rules = [self.rule() for _ in range(WORKERS)]
        return run(servers, workers, rules, lambda _: LOAD * CAPACITY, LASTS, PATIENCE_S, seed)


def goodput(tally: Tally, second: int) -> float:
    """The share of the requests of one second that got good answers."""
    return tally.good[second] / max(tally.requests[second], 1)


def back_after_s(tally: Tally) -> int | None:
    """Seconds from the end of the cause until all is well for good; None for never."""
    bad = [second for second in range(BEGINS, LASTS - 1) if goodput(tally, second) < BACK]
    last = max(bad, default=ENDS - 1)
    return None if last >= LASTS - 2 else max(last + 1 - ENDS, 0)


def amplification(tally: Tally) -> float:
    """Attempts for each request, from the beginning of the trouble until well after it."""
    seconds = range(BEGINS, ENDS + 10)
    requests = sum(tally.requests[second] for second in seconds)
    return sum(tally.attempts[second] for second in seconds) / max(requests, 1)


def _budgeted() -> RetryRule:
    return Budgeted(Retries(attempts=2, statuses=(503,)), WORKERS, Random(1).random)


STORMS: dict[str, Storm] = {
    "never": Storm("no retries", Never),
    "naive": Storm("two more attempts at once, always", Naive),
    "budget": Storm("two more within the budget", _budgeted),
    "budget-ejection": Storm("the same, and outlier_detection", _budgeted, OutlierDetection()),
}
