"""Does real traffic say that this backend is worse than its peers, and for how long is it left out?

Two signs, as in Envoy's outlier detection and gRPC's proposal A50: so many failures in a row, and a
success rate below that of the others. The second is told by comparison only, so what befalls all
at once, a slow database or a bad release, takes nobody out: it must be worse by a margin, and by
more than chance makes of so few requests (two-proportion z-test with the pooled estimate, NIST/
SEMATECH e-Handbook of Statistical Methods, section 7.3.3), against the other backends together
without itself.

A client can make a backend fail with requests of its own choice. So only a share of a pool may be
out, never its last, and none for ever.
"""

from collections.abc import Mapping
from math import sqrt
from typing import TypeVar

from veloflux.core.model.resilience import OutlierDetection
from veloflux.core.policy.balance.candidate import Luck

B = TypeVar("B")

# The client's doing, or no fault of this server but of what it is: 501 an unknown method, 505 an
# unknown version, 506 and 510 negotiation, 511 a network that wants a login. Unknown 5xx are as
# 500 (RFC 9110 section 15). 503 counts: whoever is overloaded is helped by less.
_NOT_ITS_FAULT = frozenset((501, 505, 506, 510, 511))
# The reasons of `core.flow.exchange` that speak against a backend. The total deadline does not: it
# covers the queue and other attempts; nor do the ends that are our own.
FAILURES = frozenset(
    (
        "refused",
        "unresolved",
        "connect_timeout",
        "tls",
        "tls_untrusted",
        "reset",
        "first_byte_timeout",
        "bad_answer",
        "backend_stalled",
    )
)
# One in 740 by chance, for each backend and interval; and the margin comes on top.
_Z = 3.0
# Ejections last up to a tenth longer, so that those that began together do not end together.
JITTER = 0.1


def is_failure(status: int) -> bool:
    """Whether an answer with that status speaks against the backend."""
    return status >= 500 and status not in _NOT_ITS_FAULT


class Outlier:
    """What is remembered of one backend; `successes` and `failures` are those since the last
    judgement, and `until` is when its last ejection ends."""

    __slots__ = ("_doublings", "_limit", "_streak", "failures", "successes", "until")

    def __init__(self, model: OutlierDetection) -> None:
        self.successes = 0
        self.failures = 0
        self.until = float("-inf")
        self._streak = 0
        self._doublings = 0
        self.configure(model)

    def configure(self, model: OutlierDetection) -> None:
        """Take a new configuration, and keep what is known."""
        self._limit = model.consecutive_failures

    def observe_success(self) -> None:
        self.successes += 1
        self._streak = 0

    def observe_failure(self) -> bool:
        """True when so many in a row are enough, and at each one more."""
        self.failures += 1
        self._streak += 1
        return 0 < self._limit <= self._streak

    def forget(self) -> None:
        """Judge it by what comes from now on."""
        self.successes = self.failures = self._streak = 0

    def begin(self, now: float, seconds: float, model: OutlierDetection) -> None:
        """Note that an ejection has begun, by our own word or another worker's.

        One that begins while another lasts is the same one, seen by somebody else.
        """
        if now >= self.until:
            self._forgive(now, model)
            if _length(model, self._doublings) < model.max_ejection_s:
                self._doublings += 1
        self.until = max(self.until, now + seconds)
        self.forget()

    def pardon(self, now: float) -> None:
        """End an ejection before its time, as one that was a mistake and makes none longer."""
        if now < self.until:
            self.until = now
            self._doublings = max(self._doublings - 1, 0)
        self.forget()

    def length_s(self, now: float, model: OutlierDetection) -> float:
        """How long an ejection that begins now should be, before jitter."""
        self._forgive(now, model)
        return _length(model, self._doublings)

    def _forgive(self, now: float, model: OutlierDetection) -> None:
        """Take back one doubling for each quiet time as long as the ejection it made.

        Envoy and gRPC take back one step per interval; that would forget long ejections soonest.
        """
        while self._doublings and now - self.until >= _length(model, self._doublings - 1):
            self._doublings -= 1
            self.until += _length(model, self._doublings)


def _length(model: OutlierDetection, doublings: int) -> float:
    return min(model.base_ejection_s * 2.0**doublings, model.max_ejection_s)


class Detector:
    """One pool's judge."""

    def __init__(self, model: OutlierDetection, luck: Luck) -> None:
        self.model = model
        self._luck = luck

    def judge(self, members: Mapping[B, Outlier], now: float) -> list[B]:
        """Whom to eject by success rate, the worst first; counts begin anew.

        To be asked every `interval_s` about all backends of the pool. Whoever is out at `now` is
        neither judged nor compared with. A margin of 0 or 100 turns this off.
        """
        asked = {
            member: (outlier.failures, outlier.successes + outlier.failures)
            for member, outlier in members.items()
            if now >= outlier.until
        }
        for outlier in members.values():
            outlier.successes = outlier.failures = 0
        if not 0 < self.model.success_rate_margin < 100:
            return []
        failures = sum(failed for failed, _ in asked.values())
        requests = sum(of for _, of in asked.values())
        gaps = {
            member: self._gap(failed, of, failures - failed, requests - of)
            for member, (failed, of) in asked.items()
        }
        bad = [member for member, gap in gaps.items() if gap > 0]
        return sorted(bad, key=lambda member: -gaps[member])

    def may_eject(self, ejected: int, total: int) -> bool:
        """Whether one more of `total` usable backends may be out, when so many are out already.

        One may be, however small the percentage, unless it is 0; the last that is left may not.
        """
        percent = self.model.max_ejected_percent
        if not percent or ejected + 1 >= total:
            return False
        return ejected == 0 or (ejected + 1) * 100 <= percent * total

    def eject(self, outlier: Outlier, now: float) -> float:
        """Begin an ejection; returns its seconds, of which every worker is to be told.

        Twice as long as the one before, up to `max_ejection_s` and a tenth.
        """
        seconds = outlier.length_s(now, self.model) * (1 + JITTER * self._luck())
        outlier.begin(now, seconds, self.model)
        return seconds

    def _gap(self, failed: int, of: int, others_failed: int, others: int) -> float:
        """How much more often it fails than the others, 0 to 1; 0 when that is no sign."""
        model = self.model
        if of < max(model.min_requests, 1) or others < max(model.min_requests, 1):
            return 0.0
        gap = failed / of - others_failed / others
        if gap * 100 < model.success_rate_margin:
            return 0.0
        rate = (failed + others_failed) / (of + others)
        error = sqrt(rate * (1 - rate) * (1 / of + 1 / others))
        return gap if gap > _Z * error else 0.0
