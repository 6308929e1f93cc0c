"""The one thread in which the database is read and written."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_Result = TypeVar("_Result")


class Thread:
    """Does one thing after another, from `start` to `stop`; what is asked before waits.

    It is not started before the process is what it will be: a thread does not survive a fork.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, "database")
        self._pool.threadFactory = _Thread

    def __call__(self, work: Callable[[], _Result]) -> Deferred[_Result]:
        """Do it in the thread; the Deferred fires in the reactor's."""
        return deferToThreadPool(self._reactor, self._pool, work)

    def start(self) -> None:
        """Begin with what was asked."""
        self._pool.start()

    def stop(self) -> None:
        """End, when what was asked is done; blocks until then."""
        self._pool.stop()


class _Thread(threading.Thread):
    """A disk that stands still must not keep the process from ending."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, daemon=True, **options)
