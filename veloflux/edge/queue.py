"""Requests that wait until a backend of their pool may take them: in order, bounded, not for long.

A backend of this worker that becomes free wakes the first. What becomes free in another worker is
only seen by looking, so as long as somebody waits we look again and again.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from veloflux.edge.deadlines import Deadlines, Timed

# Seconds from one look at the other workers' counts to the next.
_LOOK_S = 0.01


class Waiter(Protocol):
    """A request, or a connection to be relayed."""

    def take_turn(self) -> None:
        """There may be a backend now."""

    def waited_in_vain(self) -> None:
        """There was none in time."""


class Place(Timed):
    """One waiter's place in the queue, until it is served, gives up or is gone."""

    def __init__(self, queue: "Queue", waiter: Waiter) -> None:
        self._queue = queue
        self.waiter = waiter

    def expire(self, now: float) -> None:
        self.leave()
        self.waiter.waited_in_vain()

    def leave(self) -> None:
        """Give it up."""
        self._queue.drop(self)


class Queue:
    """A pool's; `is_full` says whether nobody could be served now."""

    # Whether other workers' backends count.
    is_shared = False

    def __init__(self, reactor: Any, deadlines: Deadlines, is_full: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._deadlines = deadlines
        self._is_full = is_full
        self._places: dict[Place, None] = {}
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._places)

    def join(self, waiter: Waiter, until: float) -> Place:
        """Wait as the last, until that moment."""
        place = Place(self, waiter)
        self._places[place] = None
        self._deadlines.arm(place, until)
        if self.is_shared:
            self._look_in(_LOOK_S)
        return place

    def wake(self) -> None:
        """A backend may have become free. The first is served in the loop's next turn: whoever
        made it free is not through yet."""
        if self._places:
            self._look_in(0.0)

    def drop(self, place: Place) -> None:
        self._deadlines.disarm(place)
        self._places.pop(place, None)
        if not self._places and self._call is not None:
            self._call.cancel()
            self._call = None

    def _look_in(self, seconds: float) -> None:
        if self._call is None:
            self._call = self._reactor.callLater(seconds, self._look)
        elif not seconds:
            self._call.reset(0.0)

    def _look(self) -> None:
        self._call = None
        # Each once: who is served and finds that it must wait again comes last.
        for _ in range(len(self._places)):
            if not self._places or self._is_full():
                break
            place = next(iter(self._places))
            self.drop(place)
            place.waiter.take_turn()
        if self._places and self.is_shared:
            self._look_in(_LOOK_S)
