"""Does traffic burn since a change? What was measured since then against what was before it.

It burns when more of the requests fail than may, or the slow ones are slower than they may be, and
that is also worse than it was before: a change is not to blame for what was there already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from veloflux.control.services.analytics.bucket import Cell
from veloflux.control.services.analytics.quantile import quantile

# With fewer requests nothing is said before the end.
MIN_REQUESTS = 20
# How much worse the share of failures may become where nothing is said.
MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests, those that failed, and their latencies by the places of LATENCY_BOUNDS."""

    requests: int = 0
    errors: int = 0
    latency: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, cell: Cell) -> "Counts":
        return cls(cell.requests, cell.errors, dict(cell.latency))

    def since(self, before: "Counts") -> "Counts":
        """What came after."""
        latency = {
            place: count - before.latency.get(place, 0) for place, count in self.latency.items()
        }
        return Counts(
            max(0, self.requests - before.requests), max(0, self.errors - before.errors), latency
        )

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def p99_ms(self) -> float:
        return quantile(self.latency, 0.99) * 1000 if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be; None for an error rate: MARGIN more than before, for latency: anything."""

    max_error_rate: float | None = None
    max_p99_ms: float | None = None


def burns(before: Counts, after: Counts, limits: Limits, *, is_over: bool) -> str:
    """Say why it burns; empty when it does not, or when too little is known before it `is_over`."""
    if after.requests < (1 if is_over else MIN_REQUESTS):
        return ""
    most = limits.max_error_rate
    most = before.error_rate + MARGIN if most is None else max(most, before.error_rate)
    if after.error_rate > most:
        return (
            f"{after.error_rate:.1%} of {after.requests} requests failed, more than {most:.1%} "
            f"(before: {before.error_rate:.1%})"
        )
    slowest = limits.max_p99_ms
    if slowest is not None and after.p99_ms > max(slowest, before.p99_ms):
        return (
            f"the 99th percentile of {after.requests} requests is {after.p99_ms:.0f} ms, more than "
            f"{slowest:.0f} ms (before: {before.p99_ms:.0f} ms)"
        )
    return ""
