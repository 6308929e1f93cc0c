"""Is this backend healthy? Its checks' results, with some patience.

Rise and fall are HAProxy's: so many successes, or failures, in a row turn the state.
"""

from typing import Literal

State = Literal["unknown", "healthy", "unhealthy"]


class Health:
    """One backend's state; unknown, which counts as usable, until the first result decides."""

    __slots__ = ("_fall", "_rise", "_streak", "state")

    def __init__(self, rise: int, fall: int) -> None:
        self._rise = rise
        self._fall = fall
        self.state: State = "unknown"
        # Results in a row that speak against the state.
        self._streak = 0

    @property
    def is_usable(self) -> bool:
        return self.state != "unhealthy"

    def observe(self, ok: bool) -> bool:
        """Take one result; True when it changed the state."""
        observed: State = "healthy" if ok else "unhealthy"
        if observed == self.state:
            self._streak = 0
            return False
        self._streak += 1
        if self.state != "unknown" and self._streak < (self._rise if ok else self._fall):
            return False
        self.state = observed
        self._streak = 0
        return True
