"""Does a client ask for too much that costs us work and it nothing? (Rapid reset, CVE-2023-44487,
its twin CVE-2025-8671, and the floods of CVE-2019-9511 to 9518.)"""


class Budget:
    """A token bucket: `burst` at once, and `rate` more each second."""

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._since = now

    def spend(self, cost: float, now: float) -> bool:
        """Whether there was so much left; what was not there is owed."""
        if now > self._since:
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
            self._since = now
        self._left -= cost
        return self._left >= 0

    def refund(self, amount: float) -> None:
        """Honest work pays for some of what comes along with it."""
        self._left = min(self._burst, self._left + amount)
