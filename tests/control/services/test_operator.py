import os
import stat

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.control.services.identity.case import SECRET
from tests.control.store.places import Turns, at_once
from veloflux.control.services.identity.hashing import Hashing
from veloflux.control.services.operator import Operator
from veloflux.control.services.password import stored_hash
from veloflux.core.model.node import Admin


class OperatorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.operator = Operator(Hashing(at_once))

    def is_right(self, password: bytes) -> bool:
        return self.successResultOf(Deferred.fromCoroutine(self.operator.verify(password)))

    def generation(self, admin: Admin, secret: bytes = SECRET, directory: str = "unused") -> str:
        self.operator.configure(admin, directory, secret)
        return self.operator.account.generation


class ConfiguredTests(OperatorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.operator.configure(Admin(username="ops", password="päss"), "unused", SECRET)

    def test_the_configured_name_and_password_are_right(self) -> None:
        right = "päss".encode()
        self.assertTrue(self.operator.is_named("ops"))
        self.assertTrue(self.is_right(right))
        for password in (b"pass", b"s" + right, b"", right + b"\0"):
            self.assertFalse(self.is_right(password))
        for name in ("op", "Ops", "", "ops\0", "öps"):
            self.assertFalse(self.operator.is_named(name))
        self.assertFalse(os.path.exists("unused"))

    def test_nobody_has_no_password(self) -> None:
        self.operator.configure(Admin(auth_enabled=False), "unused", SECRET)
        self.assertFalse(self.operator.is_asked_for)
        self.assertFalse(self.is_right(b""))

    def test_a_generation_is_that_of_a_name_and_a_password(self) -> None:
        first = self.generation(Admin(password="one"))
        self.assertEqual(self.generation(Admin(password="one")), first)
        others = {
            self.generation(Admin(password="two")),
            self.generation(Admin(username="other", password="one")),
            self.generation(Admin(password="one"), b"x" * 32),
            self.generation(Admin(), directory=self.mktemp()),
        }
        self.assertEqual(len(others | {first}), 5)


class FirstStartTests(OperatorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory: str = self.mktemp()
        self.configure()

    def configure(self) -> None:
        self.operator.configure(Admin(), self.directory, SECRET)

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
        self.assertTrue(self.is_right(password))
        for tried in (password + b"x", b"", b"\xff"):
            self.assertFalse(self.is_right(tried))

    def test_the_next_start_needs_the_hash_only(self) -> None:
        password = self.read("admin-password").strip().encode()
        os.remove(os.path.join(self.directory, "admin-password"))
        before = self.operator.account
        self.operator = Operator(Hashing(at_once))
        self.configure()
        self.assertTrue(self.is_right(password))
        self.assertEqual(self.operator.account, before)
        self.assertEqual(os.listdir(self.directory), ["admin-password.hash"])

    def test_a_start_that_was_cut_off_before_the_hash_makes_both_anew(self) -> None:
        before = self.read("admin-password")
        os.remove(os.path.join(self.directory, "admin-password.hash"))
        self.configure()
        after = self.read("admin-password")
        self.assertNotEqual(before, after)
        self.assertTrue(self.is_right(after.strip().encode()))

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
        self.operator.configure(Admin(auth_enabled=False), directory, SECRET)
        self.assertFalse(os.path.exists(directory))

    def test_an_answer_that_comes_after_a_change_is_no(self) -> None:
        turns = Turns()
        self.operator = Operator(Hashing(turns))
        self.configure()
        password = self.read("admin-password").strip().encode()
        found = Deferred.fromCoroutine(self.operator.verify(password))
        os.remove(os.path.join(self.directory, "admin-password.hash"))
        self.configure()
        turns.turn_all()
        self.assertFalse(self.successResultOf(found))
