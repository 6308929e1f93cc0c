"""The store in processes that are killed, on disks that are full or may not be written to."""

import os
import subprocess
import sys
from pathlib import Path

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.store import StoreError

ROUNDS = 100
TREES = 2
# Many times what it takes.
DEADLINE_S = 120.0


class StoreTestCase(SynchronousTestCase):
    """Runs programs of tests/support."""

    def start(self, module: str, *arguments: str, before: tuple[str, ...] = ()) -> "Program":
        command = [*before, sys.executable, "-W", "error", "-m", f"tests.support.{module}"]
        program = Program(command + list(arguments))
        self.addCleanup(program.kill)
        return program

    def small_disk(self) -> Path | None:
        """A file system of one MiB, if we may make one."""
        place = Path(self.mktemp()).resolve()
        place.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            return None
        self.addCleanup(subprocess.run, ["umount", "-l", str(place)], check=True)
        return place


class Program(subprocess.Popen[str]):
    """A program whose output is read at its end."""

    def __init__(self, command: list[str]) -> None:
        super().__init__(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def said(self) -> str:
        output, _ = self.communicate(timeout=DEADLINE_S)
        if self.returncode:
            raise AssertionError(output)
        return output

    def kill(self) -> None:
        with self:
            super().kill()


class KillTests(StoreTestCase):
    """X8: a process may end at any instant."""

    def test_no_commit_that_returned_is_lost_and_none_is_there_by_half(self) -> None:
        running = [
            self.start("killing", os.path.abspath(self.mktemp()), str(ROUNDS)) for _ in range(TREES)
        ]
        for each in running:
            kills, commits = each.said().split()
            self.assertEqual(int(kills), ROUNDS)
            self.assertGreater(int(commits), ROUNDS)


class DiskTests(StoreTestCase):
    """X10: there is no room, or no permission."""

    def assert_told(self, said: str, directory: Path) -> None:
        self.assertIn(f"{directory}/store.db: ", said)
        self.assertIn("room", said)

    def test_a_full_disk_takes_nothing_and_loses_nothing(self) -> None:
        place = self.small_disk()
        if place is not None:
            (place / "ballast").write_bytes(bytes(300_000))
            said = self.start("filling", str(place / "var")).said()
            self.assert_told(said, place / "var")

    def test_a_limit_of_file_sizes_is_as_a_full_disk(self) -> None:
        directory = Path(self.mktemp()).resolve()
        limit = ("prlimit", "--fsize=700000:")
        self.assert_told(self.start("filling", str(directory), before=limit).said(), directory)

    def test_a_commit_is_refused_for_ever_when_the_disk_fails_at_its_end(self) -> None:
        """All of it is written by then: it must not be there after a crash."""
        directory = Path(self.mktemp()).resolve()
        for number in (3, 5):
            failing = (
                "strace", "-f", "-qq", "-o", f"{directory}.trace", "-P",
                f"{directory}/store.db-wal", "-e", f"inject=fdatasync:error=EIO:when={number}",
            )  # fmt: skip
            refused = int(self.start("refusing", str(directory), before=failing).said())
            store = SqliteStore(str(directory), execute)
            found = [each.key for each in store.now(lambda database: database.scan("kind"))]
            self.successResultOf(Deferred.fromCoroutine(store.close()))
            self.assertEqual(found, [f"{i:02}" for i in range(refused)])
            (directory / "store.db").unlink()

    def test_a_directory_that_may_only_be_read_is_told_at_the_start(self) -> None:
        place = self.small_disk() or Path(self.mktemp()).resolve()
        store = SqliteStore(str(place / "var"), execute)
        self.successResultOf(Deferred.fromCoroutine(store.close()))
        if place.is_mount():
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        else:
            (place / "var").chmod(0o500)
            (place / "var" / "store.lock").chmod(0o400)
        error = self.assertRaises(StoreError, SqliteStore, str(place / "var"), execute)
        self.assertIn(f"{place}/var/store.lock", str(error))
        self.assertIn("data_dir", str(error))
