"""Stores on a disk, whose thread is the caller's or does only what a test says."""

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.store import StoreError

_Result = TypeVar("_Result")


def at_once(work: Callable[[], _Result]) -> Deferred[_Result]:
    """Do the work where it is asked for."""
    done: Deferred[_Result] = execute(work)
    return done


class Turns:
    """A thread that does one piece of work when it is told to."""

    def __init__(self) -> None:
        self.work: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], _Result]) -> Deferred[_Result]:
        done: Deferred[_Result] = Deferred()
        self.work.append((work, done))
        return done

    def turn(self) -> None:
        """Do the oldest."""
        work, done = self.work.pop(0)
        execute(work).chainDeferred(done)

    def turn_all(self) -> None:
        """Do all that is asked, and what is asked because of it."""
        while self.work:
            self.turn()


class StoreTestCase(SynchronousTestCase):
    """Opens stores that are closed with the test."""

    def open(self, directory: str, in_thread: Any = at_once) -> SqliteStore:
        store = SqliteStore(directory, in_thread)

        def close() -> None:
            if isinstance(in_thread, Turns):
                in_thread.turn_all()
            Deferred.fromCoroutine(store.close())
            if isinstance(in_thread, Turns):
                in_thread.turn_all()

        self.addCleanup(close)
        return store

    def got(self, work: Any) -> Any:
        """What a coroutine returned, having waited for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refused(self, work: Any) -> str:
        """What a coroutine's StoreError says."""
        return str(self.failureResultOf(Deferred.fromCoroutine(work), StoreError).value)

    def refused_at_open(self, directory: str) -> str:
        """What the StoreError says that keeps a directory from being used."""
        return str(self.assertRaises(StoreError, SqliteStore, directory, at_once))
