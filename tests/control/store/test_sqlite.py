import os
import stat
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.control.store.contract import StoreContract
from tests.control.store.places import StoreTestCase, Turns, at_once
from veloflux.control.store.database import REMEMBERED, Database
from veloflux.control.store.file import NAME
from veloflux.control.store.sqlite import MAX_BODY_BYTES, MAX_WAITING, SqliteStore
from veloflux.control.store.store import (
    Append,
    Change,
    ConflictError,
    Delete,
    Document,
    Put,
    StoreError,
)


class ContractTests(StoreContract, TestCase):
    def setUp(self) -> None:
        store = SqliteStore(self.mktemp(), at_once)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        self.store = store


class KeptTests(StoreTestCase):
    def setUp(self) -> None:
        self.directory: str = self.mktemp()

    def test_what_was_committed_is_there_after_the_next_start(self) -> None:
        store = self.open(self.directory)
        version = self.got(store.commit(Put("kind", "key", b"1"), Append("log", 1.0, b"r")))
        self.got(store.commit(Put("kind", "gone", b"")))
        deleted = self.got(store.commit(Delete("kind", "gone")))
        self.got(store.close())
        store = self.open(self.directory)
        self.assertEqual(self.got(store.get("kind", "key")), Document("kind", "key", version, b"1"))
        self.assertEqual(len(self.got(store.records("log"))), 1)
        self.assertEqual(self.got(store.changes(version)), [Change(deleted, "kind", "gone", 0)])
        self.assertGreater(self.got(store.commit(Put("kind", "key", b"2"))), deleted)

    def test_the_start_reads_and_writes_at_once(self) -> None:
        turns = Turns()
        store = self.open(self.directory, turns)
        version = store.now(lambda database: database.commit(Put("kind", "key", b"1")))
        found = store.now(lambda database: database.get("kind", "key"))
        self.assertEqual(found, Document("kind", "key", version, b"1"))
        later = Deferred.fromCoroutine(store.get("kind", "key"))
        turns.turn_all()
        self.assertEqual(self.successResultOf(later), found)

    def test_only_its_owner_may_read_it(self) -> None:
        store = self.open(self.directory)
        self.got(store.commit(Put("kind", "key", b"1")))
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)
        names = os.listdir(self.directory)
        self.assertIn("store.db-wal", names)
        for name in names:
            mode = os.stat(os.path.join(self.directory, name)).st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600, name)

    def test_what_others_could_read_or_replace_is_closed_to_them(self) -> None:
        self.got(self.open(self.directory).close())
        file = os.path.join(self.directory, NAME)
        os.chmod(self.directory, 0o777)
        os.chmod(file, 0o644)
        self.open(self.directory)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o755)
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)

    def test_deletions_are_forgotten_in_the_end(self) -> None:
        store = self.open(self.directory)
        self.got(store.commit(Put("kind", "kept", b""), Put("kind", "gone", b"")))
        deleted = self.got(store.commit(Delete("kind", "gone")))
        self.assertEqual(len(self.got(store.changes(0))), 2)

        def be_late(database: Database) -> None:
            database._connection.execute("UPDATE progress SET sequence = ?", (REMEMBERED + 999,))

        store.now(be_late)
        self.got(store.commit(Put("kind", "now", b"")))
        self.assertEqual([each.key for each in self.got(store.changes(0))], ["kept", "now"])
        self.assertIn("read everything anew", self.refused(store.changes(deleted - 1)))
        self.assertEqual(len(self.got(store.changes(1000))), 1)

    def test_trims_more_than_one_part(self) -> None:
        store = self.open(self.directory)
        self.got(store.commit(*(Append("log", 1.0, b"") for _ in range(12_000))))
        self.assertEqual(self.got(store.trim("log", 2.0)), 12_000)
        self.assertEqual(self.got(store.records("log")), [])


class TogetherTests(StoreTestCase):
    """Commits that wait at the same time."""

    def setUp(self) -> None:
        self.turns = Turns()
        self.store = self.open(self.mktemp(), self.turns)

    def commit(self, *writes: Any) -> Deferred[int]:
        return Deferred.fromCoroutine(self.store.commit(*writes))

    def keys(self) -> list[str]:
        found = Deferred.fromCoroutine(self.store.scan("kind"))
        self.turns.turn_all()
        return [each.key for each in self.successResultOf(found)]

    def test_wait_for_the_disk_once(self) -> None:
        first = self.commit(Put("kind", "0", b""))
        others = [self.commit(Put("kind", str(i), b"")) for i in range(1, 100)]
        self.turns.turn()
        sequence = self.successResultOf(first)
        self.assertEqual(len(self.turns.work), 1)
        self.turns.turn()
        self.assertEqual(
            [self.successResultOf(each) for each in others],
            [sequence + 1 + i for i in range(99)],
        )
        self.assertEqual(self.turns.work, [])

    def test_each_is_all_or_nothing_for_itself(self) -> None:
        self.commit()
        good = self.commit(Put("kind", "a", b""))
        bad = self.commit(Put("kind", "b", b""), Put("kind", "a", b"", expected=0))
        after = self.commit(Put("kind", "c", b""))
        self.turns.turn_all()
        self.failureResultOf(bad, ConflictError)
        self.assertEqual(self.successResultOf(after), self.successResultOf(good) + 1)
        self.assertEqual(self.keys(), ["a", "c"])

    def test_see_those_before_them(self) -> None:
        self.commit()
        one = self.commit(Put("kind", "a", b"1", expected=0))
        two = self.commit(Put("kind", "a", b"2", expected=0))
        self.turns.turn_all()
        self.successResultOf(one)
        self.failureResultOf(two, ConflictError)

    def test_one_that_the_file_does_not_take_spoils_no_other(self) -> None:
        self.commit()
        good = self.commit(Put("kind", "a", b""))
        bad = self.commit(Put("kind", "b", b""), Append("log", float("nan"), b""))
        after = self.commit(Put("kind", "c", b""))
        self.turns.turn_all()
        self.failureResultOf(bad, StoreError)
        self.successResultOf(good)
        self.successResultOf(after)
        self.assertEqual(self.keys(), ["a", "c"])

    def test_what_is_no_text_or_too_large_is_refused_before_it_waits(self) -> None:
        self.failureResultOf(self.commit(Put("kind", "\ud800", b"")), UnicodeEncodeError)
        self.failureResultOf(self.commit(Put("kind", "key", bytes(MAX_BODY_BYTES + 1))), StoreError)
        self.assertEqual(self.turns.work, [])

    def test_who_leaves_does_not_undo_his_commit(self) -> None:
        first, second = self.commit(Put("kind", "a", b"")), self.commit(Put("kind", "b", b""))
        for each in (first, second):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.turns.turn_all()
        self.assertEqual(self.keys(), ["a", "b"])

    def test_the_end_comes_after_all_that_was_begun(self) -> None:
        commits = [self.commit(Put("kind", f"{i:03}", b"")) for i in range(600)]
        read = Deferred.fromCoroutine(self.store.get("kind", "000"))
        closed = Deferred.fromCoroutine(self.store.close())
        self.failureResultOf(self.commit(Put("kind", "late", b"")), StoreError)
        self.turns.turn_all()
        self.assertEqual(len([self.successResultOf(each) for each in commits]), 600)
        self.assertIsNotNone(self.successResultOf(read))
        self.successResultOf(closed)


class QueueTests(StoreTestCase):
    """What waits for the thread."""

    def test_has_a_bound(self) -> None:
        turns = Turns()
        store = self.open(self.mktemp(), turns)
        asked = [Deferred.fromCoroutine(store.get("kind", "key")) for _ in range(MAX_WAITING // 2)]
        asked += [
            Deferred.fromCoroutine(store.commit(Put("kind", "key", b"")))
            for _ in range(MAX_WAITING // 2)
        ]
        for work in (store.get("kind", "key"), store.commit(Put("kind", "key", b""))):
            self.assertIn(f"{MAX_WAITING} calls wait", self.refused(work))
        # Who leaves does not make room: his work is still to be done.
        asked[0].cancel()
        self.failureResultOf(asked[0], CancelledError)
        self.assertIn("calls wait", self.refused(store.get("kind", "key")))
        turns.turn_all()
        for each in asked[1:]:
            self.successResultOf(each)
        self.assertNoResult(Deferred.fromCoroutine(store.get("kind", "key")))
