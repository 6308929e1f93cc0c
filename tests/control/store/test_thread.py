import threading

from twisted.internet import reactor  # noqa: TID251  # the one that trial runs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.control.store.contract import StoreContract
from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.thread import Thread


class ThreadTests(StoreContract, TestCase):
    """The contract again, with the thread that the daemon has."""

    def setUp(self) -> None:
        thread = Thread(reactor)
        store = SqliteStore(self.mktemp(), thread)
        thread.start()

        async def close() -> None:
            await store.close()
            thread.stop()

        self.addCleanup(lambda: Deferred.fromCoroutine(close()))
        self.store = store
        self.thread = thread

    async def test_works_in_one_thread_that_is_not_this_one(self) -> None:
        found = {await self.thread(threading.get_ident) for _ in range(3)}
        self.assertEqual(len(found), 1)
        self.assertNotIn(threading.get_ident(), found)

    async def test_does_what_was_asked_before_its_start(self) -> None:
        thread = Thread(reactor)
        asked = thread(threading.get_ident)
        self.assertNoResult(asked)
        thread.start()
        self.addCleanup(thread.stop)
        self.assertNotEqual(await asked, threading.get_ident())
