"""Gives memory back to the system after a burst of connections.

What a burst needed is freed, but glibc keeps the pages, for holes between what is still in use are
not at the heap's end; `malloc_trim` (since glibc 2.8) finds them. It holds the heap while it walks
it, about 10 ms for what ten thousand connections needed, so it is asked once when a burst is over:
taking those connections down took the loop many times as long.
"""

import ctypes
from collections.abc import Callable

# Connections by which a peak must exceed twice what is left of it, to be called a burst.
_BURST = 8


def malloc_trim() -> Callable[[], None]:
    """What gives back the C library's free pages; where it has no such call, nothing does."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return lambda: None
    return lambda: trim(0)


class Trimmer:
    """Told of the open connections once a second, it calls `trim` after each burst."""

    def __init__(self, trim: Callable[[], None]) -> None:
        self._trim = trim
        self._peak = 0

    def look(self, connections: int) -> None:
        self._peak = max(self._peak, connections)
        if self._peak >= 2 * connections + _BURST:
            self._peak = connections
            self._trim()
