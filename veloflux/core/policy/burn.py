"""Do requests fail so often that the month's budget of errors will not last?

Multiwindow, multi-burn-rate alerts (Google, The Site Reliability Workbook, 2018, chapter 5): the
burn rate is the share of requests that failed over the share that may. It is too high when it is so
in a long window, so that a short burst is none of it, and in a short one, so that it is over soon
after the failures are.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

# The share of requests that may fail, for an objective of 99.9 %.
BUDGET = 0.001
# Fewer requests in the short window are no sign of anything.
MIN_REQUESTS = 50


class Counts(NamedTuple):
    """Requests in a window, and how many of them failed."""

    requests: int
    errors: int


class Rule(NamedTuple):
    """A burn rate that is too high when it is reached in both windows, of so many seconds."""

    severity: Literal["critical", "warning"]
    rate: float
    long_s: int
    short_s: int


# 2 % of a month's budget in an hour; 5 % in six hours.
RULES = (
    Rule("critical", 14.4, 3600, 300),
    Rule("warning", 6.0, 6 * 3600, 1800),
)


def rate(counts: Counts) -> float:
    """How many times as fast as it may be the budget is spent; 0 without requests."""
    return counts.errors / counts.requests / BUDGET if counts.requests else 0.0


def burning(windows: Sequence[tuple[Rule, Counts, Counts]]) -> tuple[Rule, float] | None:
    """The first rule whose long and short windows both burn, and the rate of the short one."""
    for rule, long, short in windows:
        if short.requests < MIN_REQUESTS:
            continue
        if rate(long) >= rule.rate and rate(short) >= rule.rate:
            return rule, rate(short)
    return None
