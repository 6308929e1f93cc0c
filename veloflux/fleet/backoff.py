"""How long to wait before the next try, when tries keep failing?

A worker that dies once is replaced at once, for traffic waits in its accept queue. One that keeps
dying right after its start would turn the machine into a heater: its successors come slower and
slower, up to a few seconds.
"""

from dataclasses import dataclass

# A worker that lived this long had no fault at its start.
SOUND_S = 10.0
FIRST_S = 0.25
LONGEST_S = 5.0


@dataclass(slots=True)
class Backoff:
    """The fast deaths in a row."""

    fast: int = 0

    def after(self, lived_s: float) -> float:
        """Return the seconds to wait, after a life of so many."""
        if lived_s >= SOUND_S:
            self.fast = 0
            return 0.0
        self.fast += 1
        if self.fast == 1:
            return 0.0
        return min(LONGEST_S, FIRST_S * 2.0 ** min(self.fast - 2, 16))

    def reset(self) -> None:
        """Forget the deaths: the next try is at once."""
        self.fast = 0
