import fcntl
import os
import sqlite3
from contextlib import closing

from tests.control.store.places import StoreTestCase
from veloflux.control.store.claim import Claim
from veloflux.control.store.file import NAME, prepare
from veloflux.control.store.schema import MIGRATIONS, migrate
from veloflux.control.store.store import Put, StoreError


class ClaimTests(StoreTestCase):
    def test_a_directory_is_one_daemons(self) -> None:
        directory = self.mktemp()
        store = self.open(directory)
        said = self.refused_at_open(directory)
        self.assertIn(f"{directory} is in use by another daemon (process {os.getpid()})", said)
        self.assertIn("data_dir", said)
        self.got(store.commit(Put("kind", "key", b"")))
        self.got(store.close())
        self.got(self.open(directory).get("kind", "key"))

    def test_one_that_could_not_be_opened_is_free_again(self) -> None:
        directory: str = self.mktemp()
        os.mkdir(directory)
        file = os.path.join(directory, NAME)
        with open(file, "w") as written:
            written.write("no database at all, but some text")
        self.refused_at_open(directory)
        os.remove(file)
        self.open(directory)

    def test_a_link_in_place_of_the_lock_is_not_followed(self) -> None:
        directory, elsewhere = self.mktemp(), self.mktemp()
        os.mkdir(directory)
        os.symlink(os.path.abspath(elsewhere), os.path.join(directory, "store.lock"))
        self.refused_at_open(directory)
        self.assertFalse(os.path.exists(elsewhere))

    def test_is_not_inherited_by_programs_that_are_started(self) -> None:
        claim = Claim(self.mktemp())
        self.addCleanup(claim.release)
        flags = fcntl.fcntl(claim._descriptor, fcntl.F_GETFD)
        self.assertTrue(flags & fcntl.FD_CLOEXEC)


class DamageTests(StoreTestCase):
    """A file that is not what was written is an error, and stays as it is."""

    def setUp(self) -> None:
        self.directory: str = self.mktemp()
        self.file = os.path.join(self.directory, NAME)
        store = self.open(self.directory)
        for i in range(300):
            self.got(store.commit(Put("kind", f"{i:03}", b"x" * 500)))
        self.got(store.close())
        with open(self.file, "rb") as file:
            self.content = file.read()

    def assert_refused(self, content: bytes, words: str) -> None:
        with open(self.file, "wb") as file:
            file.write(content)
        said = self.refused_at_open(self.directory)
        self.assertIn(self.file, said)
        self.assertIn(words, said)
        with open(self.file, "rb") as file:
            self.assertEqual(file.read(), content)

    def test_an_empty_file(self) -> None:
        self.assert_refused(b"", "it is empty")

    def test_another_programs_file(self) -> None:
        self.assert_refused(b"#!/bin/sh\nexit 0\n" * 100, "damaged; move it away")
        os.remove(self.file)
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("CREATE TABLE t (x)")
        with open(self.file, "rb") as file:
            self.assert_refused(file.read(), "it is no store of VeloFlux")

    def test_a_file_that_was_cut_off(self) -> None:
        self.assert_refused(self.content[: len(self.content) // 2], "backup")

    def test_pages_that_were_overwritten(self) -> None:
        for page in range(1, len(self.content) // 4096):
            broken = bytearray(self.content)
            broken[page * 4096 : page * 4096 + 2000] = b"\xa5" * 2000
            with self.subTest(page=page):
                self.assert_refused(bytes(broken), "backup")

    def test_a_log_without_its_file(self) -> None:
        os.rename(self.file, f"{self.file}-wal")
        self.assertIn("it is missing, but its log is there", self.refused_at_open(self.directory))
        self.assertFalse(os.path.exists(self.file))

    def test_a_link(self) -> None:
        os.rename(self.file, f"{self.file}.elsewhere")
        os.symlink(os.path.abspath(f"{self.file}.elsewhere"), self.file)
        self.refused_at_open(self.directory)

    def test_a_file_that_goes_while_it_is_used(self) -> None:
        store = self.open(self.directory)
        self.got(store.commit(Put("kind", "key", b"1")))
        os.rename(self.file, f"{self.file}.away")
        said = self.refused(store.commit(Put("kind", "key", b"2")))
        self.assertIn(self.file, said)
        with open(self.file, "wb") as file:
            file.write(self.content)
        said = self.refused(store.commit(Put("kind", "key", b"2")))
        self.assertIn("was replaced while in use", said)
        os.replace(f"{self.file}.away", self.file)
        self.got(store.commit(Put("kind", "key", b"2")))


class NewFileTests(StoreTestCase):
    def test_what_was_left_of_a_start_that_was_cut_off_is_made_anew(self) -> None:
        directory: str = self.mktemp()
        os.mkdir(directory)
        for suffix in ("", "-journal"):
            with open(os.path.join(directory, f"{NAME}.new{suffix}"), "w") as file:
                file.write("half of it")
        store = self.open(directory)
        self.got(store.commit(Put("kind", "key", b"")))
        self.got(store.close())
        self.assertEqual(sorted(os.listdir(directory)), [NAME, "store.lock"])

    def test_a_place_that_is_no_directory_is_an_error_that_says_so(self) -> None:
        taken = self.mktemp()
        with open(taken, "w"):
            pass
        for directory in (taken, os.path.join(taken, "var")):
            said = self.refused_at_open(directory)
            self.assertIn(directory, said)
            self.assertIn("data_dir", said)

    def test_its_directory_may_have_any_name(self) -> None:
        for name in ("a b", "100%", "ä?x=1#y", "'q'"):
            directory = os.path.join(self.mktemp(), name)
            store = self.open(directory)
            self.got(store.commit(Put("kind", "key", b"")))
            self.assertIn(NAME, os.listdir(directory))


class MigrationTests(StoreTestCase):
    def setUp(self) -> None:
        self.directory: str = self.mktemp()
        self.file = os.path.join(self.directory, NAME)
        self.got(self.open(self.directory).close())

    def migrate(self, *more: tuple[str, ...]) -> None:
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            migrate(connection, self.file, MIGRATIONS + more)

    def ask(self, query: str) -> object:
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(query).fetchone()[0]

    def test_a_step_is_done_once(self) -> None:
        step = ("CREATE TABLE extra (x)", "INSERT INTO extra VALUES (1)")
        self.migrate(step)
        self.migrate(step, ("INSERT INTO extra VALUES (2)",))
        self.assertEqual(self.ask("SELECT count(*) FROM extra"), 2)
        self.assertEqual(self.ask("PRAGMA user_version"), len(MIGRATIONS) + 2)

    def test_a_step_that_fails_leaves_the_one_before(self) -> None:
        for wrong in ("INSERT INTO nothing VALUES (1)", "COMMIT; DROP TABLE documents"):
            with self.assertRaises(sqlite3.Error):
                self.migrate(("CREATE TABLE extra (x)", wrong))
            self.assertEqual(self.ask("PRAGMA user_version"), len(MIGRATIONS))
            self.assertEqual(self.ask("SELECT count(*) FROM sqlite_master WHERE name='extra'"), 0)

    def test_a_file_of_a_newer_program_is_refused_and_left_alone(self) -> None:
        self.migrate(("CREATE TABLE extra (x)",))
        said = str(self.assertRaises(StoreError, prepare, self.file))
        self.assertIn("was written by a newer VeloFlux", said)
        self.assertIn(self.file, said)
        self.assertEqual(self.ask("SELECT count(*) FROM sqlite_master WHERE name='extra'"), 1)
