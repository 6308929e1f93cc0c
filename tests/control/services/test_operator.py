import os
import stat
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.operator import AT_ONCE, REMEMBER_S, WAITING, BusyError, Operator
from veloflux.control.services.password import stored_hash
from veloflux.core.model.node import Admin


class OperatorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.work: list[tuple[Callable[[], bool], Deferred[bool]]] = []
        self.operator = Operator(self.in_thread, self.clock.seconds)

    def in_thread(self, work: Callable[[], bool]) -> Deferred[bool]:
        done: Deferred[bool] = Deferred()
        self.work.append((work, done))
        return done

    def verify(self, name: bytes, password: bytes) -> Deferred[bool]:
        return ensureDeferred(self.operator.verify(name, password))

    def finish(self) -> None:
        """Do the oldest work that is waiting for a thread."""
        work, done = self.work.pop(0)
        done.callback(work())


class ConfiguredTests(OperatorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.operator.configure(Admin(username="ops", password="päss"), "unused")

    def test_the_configured_name_and_password_are_right(self) -> None:
        right = "päss".encode()
        self.assertTrue(self.successResultOf(self.verify(b"ops", right)))
        for name, password in ((b"ops", b"pass"), (b"op", b"s" + right), (b"", right), (b"", b"")):
            self.assertFalse(self.successResultOf(self.verify(name, password)))
        self.assertFalse(os.path.exists("unused"))

    def test_needs_no_thread(self) -> None:
        self.verify(b"ops", b"wrong")
        self.assertEqual(self.work, [])

    def test_another_configuration_forgets_what_was_right(self) -> None:
        right = "päss".encode()
        self.verify(b"ops", right)
        self.assertTrue(self.operator.remembers(b"ops", right))
        self.operator.configure(Admin(username="ops", password="other"), "unused")
        self.assertFalse(self.operator.remembers(b"ops", right))
        self.assertFalse(self.successResultOf(self.verify(b"ops", right)))


class FirstStartTests(OperatorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory: str = self.mktemp()
        self.operator.configure(Admin(), self.directory)

    def read(self, name: str) -> str:
        with open(os.path.join(self.directory, name)) as file:
            return file.read()

    def test_makes_a_password_that_only_its_owner_may_read(self) -> None:
        self.assertGreaterEqual(len(self.read("admin-password").strip()), 32)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)
        for name in ("admin-password", "admin-password.hash"):
            mode = os.stat(os.path.join(self.directory, name)).st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600, name)
        self.assertEqual(len(os.listdir(self.directory)), 2)

    def test_keeps_a_hash(self) -> None:
        kept = self.read("admin-password.hash")
        self.assertTrue(kept.startswith("$argon2id$"))
        self.assertNotIn(self.read("admin-password").strip(), kept)

    def test_that_password_is_right_and_others_are_not(self) -> None:
        password = self.read("admin-password").strip().encode()
        for name, tried, is_right in (
            (b"admin", password, True),
            (b"admin", password + b"x", False),
            (b"root", password, False),
            (b"admin", b"", False),
            (b"admin", b"\xff", False),
        ):
            found = self.verify(name, tried)
            self.finish()
            self.assertEqual(self.successResultOf(found), is_right)

    def test_the_next_start_needs_the_hash_only(self) -> None:
        password = self.read("admin-password").strip().encode()
        os.remove(os.path.join(self.directory, "admin-password"))
        again = Operator(self.in_thread, self.clock.seconds)
        again.configure(Admin(), self.directory)
        found = ensureDeferred(again.verify(b"admin", password))
        self.finish()
        self.assertTrue(self.successResultOf(found))
        self.assertEqual(os.listdir(self.directory), ["admin-password.hash"])

    def test_a_start_that_was_cut_off_before_the_hash_makes_both_anew(self) -> None:
        before = self.read("admin-password")
        os.remove(os.path.join(self.directory, "admin-password.hash"))
        self.operator.configure(Admin(), self.directory)
        after = self.read("admin-password")
        self.assertNotEqual(before, after)
        found = self.verify(b"admin", after.strip().encode())
        self.finish()
        self.assertTrue(self.successResultOf(found))

    def test_something_else_in_the_hashs_place_is_an_error_that_says_so(self) -> None:
        with open(os.path.join(self.directory, "admin-password.hash"), "w") as file:
            file.write("changeme\n")
        error = self.assertRaises(ValueError, stored_hash, self.directory)
        self.assertIn("admin-password.hash", str(error))

    def test_a_directory_that_cannot_be_used_is_an_error_that_says_so(self) -> None:
        taken = self.mktemp()
        with open(taken, "w"):
            pass
        for directory in (taken, os.path.join(taken, "var")):
            error = self.assertRaises(ValueError, stored_hash, directory)
            self.assertIn(
                f"data_dir: the operator's password cannot be kept in {directory}", str(error)
            )

    def test_a_link_is_not_followed(self) -> None:
        elsewhere = self.mktemp()
        directory: str = self.mktemp()
        os.mkdir(directory)
        os.symlink(os.path.abspath(elsewhere), os.path.join(directory, "admin-password.new"))
        self.assertRaises(ValueError, stored_hash, directory)
        self.assertFalse(os.path.exists(elsewhere))

    def test_nothing_is_made_where_nobody_is_asked(self) -> None:
        directory = self.mktemp()
        self.operator.configure(Admin(auth_enabled=False), directory)
        self.assertFalse(os.path.exists(directory))
        self.assertFalse(self.operator.is_asked_for)


class RememberTests(OperatorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory: str = self.mktemp()
        self.operator.configure(Admin(), self.directory)
        with open(os.path.join(self.directory, "admin-password")) as file:
            self.password = file.read().strip().encode()
        self.verify(b"admin", self.password)
        self.finish()

    def test_what_was_right_is_known_for_a_while_after_its_last_use(self) -> None:
        for _ in range(3):
            self.clock.advance(REMEMBER_S - 1)
            self.assertTrue(self.operator.remembers(b"admin", self.password))
        self.clock.advance(REMEMBER_S)
        self.assertFalse(self.operator.remembers(b"admin", self.password))

    def test_nothing_else_is(self) -> None:
        self.assertFalse(self.operator.remembers(b"admin", b"wrong"))
        self.assertFalse(self.operator.remembers(b"root", self.password))
        self.verify(b"admin", b"wrong")
        self.finish()
        self.assertFalse(self.operator.remembers(b"admin", b"wrong"))
        self.assertTrue(self.operator.remembers(b"admin", self.password))

    def test_an_answer_that_comes_after_a_change_is_no(self) -> None:
        found = self.verify(b"admin", self.password)
        os.remove(os.path.join(self.directory, "admin-password.hash"))
        self.operator.configure(Admin(), self.directory)
        self.finish()
        self.assertFalse(self.successResultOf(found))
        self.assertFalse(self.operator.remembers(b"admin", self.password))


class LoadTests(OperatorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.operator.configure(Admin(), self.mktemp())

    def test_few_work_at_once_and_not_too_many_wait(self) -> None:
        found = [self.verify(b"admin", b"wrong") for _ in range(AT_ONCE + WAITING)]
        self.assertEqual(len(self.work), AT_ONCE)
        self.failureResultOf(self.verify(b"admin", b"wrong"), BusyError)
        while self.work:
            self.finish()
        self.assertEqual([self.successResultOf(d) for d in found], [False] * len(found))

    def test_who_leaves_does_not_free_the_thread_that_works_for_him(self) -> None:
        found = [self.verify(b"admin", b"wrong") for _ in range(AT_ONCE)]
        for deferred in found:
            deferred.cancel()
            self.failureResultOf(deferred, CancelledError)
        waiting = self.verify(b"admin", b"wrong")
        self.assertEqual(len(self.work), AT_ONCE)
        self.finish()
        self.assertEqual(len(self.work), AT_ONCE)
        self.assertNoResult(waiting)

    def test_a_long_password_is_not_worked_on(self) -> None:
        self.assertFalse(self.successResultOf(self.verify(b"admin", b"x" * 1025)))
        self.assertEqual(self.work, [])
