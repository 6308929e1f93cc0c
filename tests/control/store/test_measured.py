"""A store that is measured is as good a store."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.control.store.memory import MemoryStore
from veloflux.control.store.measured import Measured
from veloflux.control.store.store import Append, ConflictError, Put, StoreError


class MeasuredTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = MemoryStore()
        self.seen: list[tuple[str, bool]] = []
        self.store = Measured(
            self.inner, self.clock.seconds, lambda name, _, ok: self.seen.append((name, ok))
        )

    def test_counts_what_went_well_and_what_did_not(self) -> None:
        async def work() -> None:
            await self.store.commit(Put("a", "b", b"c"), Append("log", 1.0, b"d"))
            await self.store.get("a", "b")
            await self.store.scan("a")
            await self.store.records("log", after=0, limit=5)
            await self.store.changes(0)
            await self.store.trim("log", 2.0)

        self.successResultOf(Deferred.fromCoroutine(work()))
        names = ("commit", "get", "scan", "records", "changes", "trim")
        self.assertEqual(self.seen, [(name, True) for name in names])

    def test_knows_whether_it_works(self) -> None:
        self.inner.fault = StoreError("locked")
        self.failureResultOf(Deferred.fromCoroutine(self.store.get("a", "b")), StoreError)
        self.assertEqual(self.store.fault, "locked")
        self.inner.fault = None
        self.successResultOf(Deferred.fromCoroutine(self.store.get("a", "b")))
        self.assertEqual(self.store.fault, "")
        self.assertEqual(self.seen, [("get", False), ("get", True)])

    def test_that_it_can_be_read_does_not_hide_that_it_cannot_be_written(self) -> None:
        put = Put("a", "b", b"c")
        self.inner.fault = StoreError("the disk is full")
        self.failureResultOf(Deferred.fromCoroutine(self.store.commit(put)), StoreError)
        self.inner.fault = None
        self.successResultOf(Deferred.fromCoroutine(self.store.get("a", "b")))
        self.assertEqual(self.store.fault, "the disk is full")
        self.successResultOf(Deferred.fromCoroutine(self.store.commit(put)))
        self.assertEqual(self.store.fault, "")

    def test_a_conflict_is_an_answer(self) -> None:
        commit = self.store.commit(Put("a", "b", b"c", expected=7))
        self.failureResultOf(Deferred.fromCoroutine(commit), ConflictError)
        self.assertEqual((self.seen, self.store.fault), ([("commit", True)], ""))
