"""What has to be done again and again: to rotate keys, and to forget what has ended."""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from veloflux.control.store.store import StoreError

EVERY_S = 600.0


class Upkeep:
    """Does each of the tasks at `start` and every ten minutes until `stop`.

    One that fails is tried again the next time, and does not keep the others from their turn.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, *tasks: Callable[[], Awaitable[object]]) -> None:
        self._tasks = tasks
        self._call = LoopingCall(lambda: Deferred.fromCoroutine(self._all()))
        self._call.clock = clock

    def start(self) -> None:
        """Begin."""
        self._call.start(EVERY_S)

    def stop(self) -> None:
        """End; what is under way goes on."""
        if self._call.running:
            self._call.stop()

    async def _all(self) -> None:
        for task in self._tasks:
            try:
                await task()
            except StoreError as error:
                self._log.error("upkeep waits for the store: {error}", error=error)
            except Exception:  # whatever it was, the other tasks are no less due
                self._log.failure("upkeep failed", Failure())
