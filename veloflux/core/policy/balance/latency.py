"""How slow has this backend been of late? A peak that is reached at once and fades.

The measure is Finagle's (PeakEwma in com.twitter.finagle.loadbalancer): an average of latencies
that takes a worse one at its word and forgets it by and by, so that a backend that stalls loses
its traffic with the first late answer, not with the tenth.
"""

from math import exp

# Seconds in which what was measured fades to 37 %: Finagle's decayTime.
DECAY_S = 10.0
# A failure counts as so many times the latency known, but within these bounds in seconds.
_WORSE = 4.0
_FAILED_S = 0.25
_FAILED_MOST_S = 10.0
# What is less than this is our own turn of the loop, and nothing at all would be worth any load.
_LEAST_S = 1e-4


class PeakEwma:
    """A latency in seconds; nothing is known of it until the first `observe`."""

    __slots__ = ("_at", "_peak", "is_known")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: the backend was away, and what it was like before says little."""
        self.is_known = False
        self._peak = 0.0
        self._at = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """Take the latency of an answer that came at `now`."""
        seconds = max(seconds, _LEAST_S)
        peak = self._peak
        age = now - self._at
        if seconds < peak and age > 0:
            kept = exp(-age / DECAY_S)
            self._peak = peak * kept + seconds * (1.0 - kept)
        elif seconds >= peak:
            self._peak = seconds
        self._at = now
        self.is_known = True

    def observe_failure(self, seconds: float, now: float) -> None:
        """Take a failure, after `seconds`, as an answer that was slow.

        Else the backend that fails at once would be the fastest of all, and get everything. Each
        failure makes it worse by a factor, so that one does little and a row of them does enough.
        """
        worse = min(max(_WORSE * self.value(now), _FAILED_S), _FAILED_MOST_S)
        self.observe(max(seconds, worse), now)

    def value(self, now: float) -> float:
        """Seconds that an answer may take: less the longer nothing was heard, so that a backend
        without traffic is tried again."""
        age = now - self._at
        return self._peak * exp(-age / DECAY_S) if age > 0 else self._peak
