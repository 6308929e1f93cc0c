"""One verification for all who ask the same at the same time.

A page, or a scraper with many connections, sends its password with many requests at once. They are
one try, not many.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from veloflux.control.services.errors import BusyError

MOST = 1000

_Result = TypeVar("_Result")


class Together(Generic[_Result]):
    """What is being asked now, and who waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[Deferred[_Result]]] = {}

    def ask(
        self, key: bytes, work: Callable[[], Coroutine[Any, Any, _Result]]
    ) -> Deferred[_Result]:
        """Follow the work for this key that is under way, or begin it; whoever stops waiting does
        not stop it. Raises BusyError when too many wait."""
        follower: Deferred[_Result] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            if len(waiting) >= MOST:
                raise BusyError("Too many wait for the same.")
            waiting.append(follower)
            return follower
        together = self._waiting[key] = [follower]

        def tell(result: _Result | Failure) -> None:
            del self._waiting[key]
            for each in together:
                if not each.called:
                    each.callback(result)

        Deferred.fromCoroutine(work()).addBoth(tell)
        return follower
