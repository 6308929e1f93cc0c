"""What the garbage collector walks: connections and requests, and not what stays.

A configuration's objects are many and stay until the next, so a collection would walk them for
nothing, in a worker for 24 ms with ten thousand routes. Once it is there, all that there is is set
aside (`gc.freeze`). What of that ends in a cycle is garbage that no later collection finds: a pool
that is no more, a health check that failed. So all is walked again at times.
"""

import gc

# Times of setting aside from one walk over everything to the next; the first is at the start, whose
# own garbage is the most.
WALKED_EVERY = 64


class Garbage:
    """The collector of this process."""

    def __init__(self) -> None:
        self._times = 0

    def rest(self) -> None:
        """All that is made from now on is to stay."""
        gc.disable()

    def set_aside(self) -> None:
        """Collect again, of what is made from now on."""
        if self._times % WALKED_EVERY == 0:
            gc.unfreeze()
            gc.collect()
        self._times += 1
        gc.freeze()
        gc.enable()
