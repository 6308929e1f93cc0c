"""The real policies of core, joined as the data plane joins them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from bench.balancing.server import Server
from veloflux.core.model.resilience import OutlierDetection, Retries
from veloflux.core.policy.outlier import Detector, Outlier
from veloflux.core.policy.peers import Counts, Row, Verdict
from veloflux.core.policy.retry import Budget, again, backoff


class RetryRule(Protocol):
    """Whether a failed attempt is made again."""

    def count(self, now: float) -> None:
        """A request has come."""

    def wait_s(self, attempts: int, now: float) -> float | None:
        """How long to wait before another attempt after so many failed; None for no other."""


class Never:
    """No second attempt."""

    def count(self, now: float) -> None:
        """It does not count."""

    def wait_s(self, attempts: int, now: float) -> float | None:
        """None, always."""
        return None


class Naive:
    """Two more attempts at once, whatever else is going on."""

    def count(self, now: float) -> None:
        """It does not count."""

    def wait_s(self, attempts: int, now: float) -> float | None:
        """No time, twice."""
        return 0.0 if attempts <= 2 else None


@dataclass(frozen=True, slots=True)
class _Unwanted:
    """A failure: an answer with a status that counts as none."""

    reason: str = "unwanted_status"


@dataclass(frozen=True, slots=True)
class _Get:
    """A request without a body, and its fields."""

    method: bytes = b"GET"
    length: int | None = 0

    @property
    def fields(self) -> "_Get":
        return self

    def value(self, name: bytes) -> bytes | None:
        return None


class Budgeted:
    """What one of `workers` does by the configuration's `retries`, with an unwanted status."""

    def __init__(self, model: Retries, workers: int, luck: Callable[[], float]) -> None:
        self._model = model
        self._luck = luck
        self._budget = Budget(model.budget_percent, model.min_per_second, workers)

    def count(self, now: float) -> None:
        """A request has come."""
        self._budget.request(now)

    def wait_s(self, attempts: int, now: float) -> float | None:
        """As core.policy.retry decides."""
        model = self._model
        if again(model, _Unwanted(), attempts, _Get(), sent=True) != "repeat":
            return None
        if not self._budget.withdraw(now):
            return None
        return backoff(attempts, model.backoff_s, model.max_backoff_s, self._luck)


class Ejector:
    """One worker's judgement of the backends, and what it hears of the others'."""

    def __init__(self, model: OutlierDetection, luck: Callable[[], float]) -> None:
        self._model = model
        self._detector = Detector(model, luck)
        self._outliers: dict[Server, Outlier] = {}
        self._rows: dict[Server, Row] = {}
        # Good answers and failures of each.
        self._counts: dict[Server, list[int]] = {}
        self._judges_at = model.interval_s

    def meet(self, server: Server) -> None:
        """It is one of the pool from now on."""
        self._outliers[server] = Outlier(self._model)
        self._rows[server] = Row()
        self._counts[server] = [0, 0]

    def observe(self, server: Server, is_good: bool, out: Collection[Server]) -> Verdict | None:
        """Take what became of a request; whose fault it is when so many have failed in a row."""
        self._counts[server][not is_good] += 1
        if is_good:
            self._outliers[server].observe_success()
            self._rows[server].end()
            return None
        verdict = self._rows[server].judge(
            self._peers(server, out), self._model.consecutive_failures
        )
        return verdict if self._outliers[server].observe_failure() else None

    def _peers(self, server: Server, out: Collection[Server]) -> Counts:
        peers = [
            counts
            for peer, counts in self._counts.items()
            if peer is not server and peer not in out
        ]
        good, failed = (sum(counts[i] for counts in peers) for i in (0, 1))
        return Counts(good, failed, hash(frozenset(out)))

    def judge(self, now: float) -> Collection[Server]:
        """Those who do worse than their peers, when it is time to ask."""
        if now < self._judges_at:
            return ()
        self._judges_at = now + self._model.interval_s
        return self._detector.judge(self._outliers, now)

    def eject(self, server: Server, out: Mapping[Server, float], now: float) -> float:
        """Seconds for which to leave it out; 0 when too many are `out` already, or it is."""
        ejected = sum(until > now for until in out.values())
        if server in out or not self._detector.may_eject(ejected, len(self._outliers)):
            return 0.0
        return self._detector.eject(self._outliers[server], now)

    def hear(self, server: Server, seconds: float, now: float) -> None:
        """Another worker has ejected it."""
        self._outliers[server].begin(now, seconds, self._model)
