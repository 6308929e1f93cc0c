from typing import Any

from tests.control.services.identity.case import PASSWORD, IdentityTestCase, somebody
from veloflux.control.services.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from veloflux.control.services.identity.person import Changes
from veloflux.control.services.identity.users import MAX_USERS, User
from veloflux.control.services.principal import ROLES, Role
from veloflux.control.store.store import Put


class UsersTestCase(IdentityTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.users = self.people.users

    def change(self, user: User, by: Role = "operator", **changes: Any) -> User:
        return self.got(self.users.change(somebody(by), user.id, Changes(**changes)))

    def refuse(self, kind: type[Exception], user: User, by: Role, **changes: Any) -> Any:
        return self.refused(self.users.change(somebody(by), user.id, Changes(**changes)), kind)


class CreateTests(UsersTestCase):
    def create(self, kind: type[Exception], email: str = "a@example.org", **more: Any) -> Any:
        given = {"password": PASSWORD, "role": "viewer", "first": "", "last": ""} | more
        return self.refused(self.users.create(somebody(), email, **given), kind)

    def test_keeps_a_hash_and_no_password(self) -> None:
        user = self.add()
        self.assertTrue(user.password_hash.startswith("$argon2id$"))
        for document in self.store.documents.values():
            self.assertNotIn(PASSWORD.encode(), document.body)
        self.assertEqual(self.got(self.users.get(user.id)), user)
        self.assertEqual(self.got(self.make().users.all()), [user])

    def test_an_address_is_one_persons_whatever_its_case(self) -> None:
        self.add("Ada@Example.org")
        error = self.create(ConflictError, "ada@example.ORG")
        self.assertIn("address", error.detail)
        self.assertEqual(len(self.got(self.users.all())), 1)

    def test_of_two_at_the_same_time_one_has_the_address(self) -> None:
        """The store decides, so that it holds for two nodes as well."""
        other = self.make()
        self.got(other.users.create(somebody(), "a@example.org", PASSWORD, "viewer", "", ""))
        self.create(ConflictError, "a@example.org")

    def test_refuses_what_is_no_address(self) -> None:
        for email in (
            "", "ada", "ada@", "@example.org", "ada@example..org", "ada@-example.org", "a b@c.org",
            "ada@example.org\r\nBcc: eve@example.org", "ada@example.org\n", '"a b"@example.org',
            f"{'a' * 65}@example.org", f"a@{'b' * 64}.org", f"a@{'b.' * 130}org", "ädä@example.org",
            "ada@example.org,eve@example.org", "ada@\u0130.org", "ada@example.org\0",
        ):  # fmt: skip
            error = self.create(InvalidError, email)
            self.assertEqual([each.pointer for each in error.problems], ["/email"], email)

    def test_refuses_passwords_that_are_short_long_or_known(self) -> None:
        for password in (
            "", "eleven more", "x" * 12, "x" * 1025, "é" * 513, "\ud800" * 12, "a@example.org",
        ):  # fmt: skip
            error = self.create(InvalidError, password=password)
            self.assertEqual([each.pointer for each in error.problems], ["/password"], password)
            self.assertNotIn(password or "?", error.problems[0].detail)

    def test_refuses_names_that_are_no_text(self) -> None:
        for name in ("x" * 101, "a\nb", "a\0", "\x1b[31m", "\ud800", "\u202eevil", "a\u2028b"):
            error = self.create(InvalidError, first=name)
            self.assertEqual([each.pointer for each in error.problems], ["/first_name"], name)

    def test_tells_all_that_is_wrong(self) -> None:
        error = self.create(InvalidError, "x", password="x", first="\0", last="\0")
        found = [each.pointer for each in error.problems]
        self.assertEqual(found, ["/email", "/first_name", "/last_name", "/password"])

    def test_has_a_bound(self) -> None:
        self.add()
        (document,) = (each for each in self.store.documents.values() if "roster" in each.kind)
        full = document.body.replace(b'"users":1', b'"users":%d' % MAX_USERS)
        self.got(self.store.commit(Put(document.kind, document.key, full)))
        self.assertIn(str(MAX_USERS), self.create(ConflictError).detail)

    def test_nobody_gives_more_than_they_have(self) -> None:
        for by, role in (("admin", "operator"), ("member", "admin"), ("viewer", "member")):
            self.refused(
                self.users.create(somebody(by), "a@example.org", PASSWORD, role, "", ""),  # type: ignore[arg-type]
                ForbiddenError,
            )
        narrow = somebody("operator")
        narrow = type(narrow)(narrow.id, narrow.name, "operator", frozenset({"users:write"}))
        self.refused(
            self.users.create(narrow, "a@example.org", PASSWORD, "viewer", "", ""), ForbiddenError
        )


class ChangeTests(UsersTestCase):
    def test_what_is_left_out_stays(self) -> None:
        user = self.add()
        self.clock.advance(5.0)
        changed = self.change(user, last_name="  King ")
        self.assertEqual((changed.first_name, changed.last_name), ("Ada", "King"))
        self.assertEqual(changed.updated_at, user.updated_at + 5.0)
        self.assertEqual(changed.generation, user.generation)
        self.assertEqual(changed.password_hash, user.password_hash)

    def test_another_address_frees_the_old_one(self) -> None:
        user = self.add("old@example.org")
        self.change(user, email="new@example.org")
        self.assertIsNone(self.got(self.users.verify("old@example.org", PASSWORD.encode())))
        self.assertIsNotNone(self.got(self.users.verify("NEW@example.org", PASSWORD.encode())))
        other = self.add("old@example.org")
        self.refuse(ConflictError, other, "operator", email="New@example.org")
        self.change(other, email="OLD@example.org")

    def test_a_password_or_disabling_makes_another_generation(self) -> None:
        user = self.add()
        changed = self.change(user, password="another password")
        self.assertGreater(changed.generation, user.generation)
        disabled = self.change(user, enabled=False)
        self.assertGreater(disabled.generation, changed.generation)
        self.assertGreater(self.change(user, enabled=True).generation, disabled.generation)
        self.assertEqual(self.change(user, enabled=True).generation, disabled.generation + 1)

    def test_nobody_changes_who_has_more_or_makes_themselves_more(self) -> None:
        operator, admin = self.add("o@example.org", "operator"), self.add("a@example.org", "admin")
        self.refuse(ForbiddenError, operator, "admin", password="taken over by me")
        self.refuse(ForbiddenError, operator, "admin", role="viewer")
        self.refuse(ForbiddenError, admin, "admin", role="operator")
        self.refused(self.users.delete(somebody("admin"), operator.id), ForbiddenError)
        himself = somebody("admin", admin.id)
        self.refused(self.users.change(himself, admin.id, Changes(role="operator")), ForbiddenError)
        self.assertEqual(self.got(self.users.get(admin.id)), admin)

    def test_nobody_gets_around_the_question_for_the_current_password(self) -> None:
        user = self.add()
        himself = user.account.principal("token")
        changes = Changes(password="another password")
        self.refused(self.users.change(himself, user.id, changes), ForbiddenError)
        self.got(self.users.change(himself, user.id, Changes(last_name="King")))

    def test_a_key_with_less_than_its_owner_changes_nothing_of_him(self) -> None:
        user = self.add()
        key = user.account.principal("key", within=frozenset({"users:write", "users:read"}))
        for changes in (Changes(email="eve@example.org"), Changes(enabled=False)):
            self.refused(self.users.change(key, user.id, changes), ForbiddenError)
        self.refused(self.users.delete(key, user.id), ForbiddenError)

    def test_the_last_operator_stays(self) -> None:
        first, second = self.add("1@example.org", "operator"), self.add("2@example.org", "operator")
        self.change(first, role="viewer")
        self.refuse(ConflictError, second, "operator", role="viewer")
        self.refuse(ConflictError, second, "operator", enabled=False)
        self.refused(self.users.delete(somebody(), second.id), ConflictError)
        self.change(first, role="operator", enabled=False)
        self.refused(self.users.delete(somebody(), second.id), ConflictError)
        self.change(first, enabled=True)
        self.got(self.users.delete(somebody(), second.id))
        self.refuse(ConflictError, first, "operator", enabled=False)

    def test_one_that_was_changed_meanwhile_is_not_overwritten(self) -> None:
        user = self.add()
        before = self.got(self.users._kept(user.id))
        self.change(user, first_name="Augusta")
        self.refused(self.users._changed(before, Changes(last_name="King")), ConflictError)
        self.assertEqual(self.got(self.users.get(user.id)).first_name, "Augusta")

    def test_what_is_not_there_is_not_found(self) -> None:
        for user_id in ("", "u-0", "operator", "../user", "\0"):
            self.refused(self.users.get(user_id), NotFoundError)
            self.refused(self.users.delete(somebody(), user_id), NotFoundError)


class OwnTests(UsersTestCase):
    def test_a_new_password_asks_for_the_old_one(self) -> None:
        user = self.add()
        by = user.account.principal("token")
        changes = Changes(password="another password")
        for current in (None, "", "wrong", "another password", "x" * 2000):
            self.refused(self.users.change_own(by, changes, current), ForbiddenError)
        changed = self.got(self.users.change_own(by, changes, PASSWORD))
        self.assertGreater(changed.generation, user.generation)
        self.assertIsNone(self.got(self.users.verify(user.email, PASSWORD.encode())))

    def test_names_do_not(self) -> None:
        user = self.add()
        by = user.account.principal("token")
        changed = self.got(self.users.change_own(by, Changes(first_name="A."), None))
        self.assertEqual(changed.first_name, "A.")

    def test_a_key_changes_nothing_of_its_owner(self) -> None:
        by = self.add().account.principal("key")
        changes = Changes(password="another password")
        self.refused(self.users.change_own(by, changes, PASSWORD), ForbiddenError)


class DeleteTests(UsersTestCase):
    def test_nothing_is_left_but_the_name_is_free(self) -> None:
        user = self.add()
        self.got(self.users.delete(somebody("operator"), user.id))
        self.assertEqual(self.got(self.users.all()), [])
        self.assertIsNone(self.got(self.users.account(user.id)))
        self.assertNotEqual(self.add().id, user.id)

    def test_every_role_may_be_given_by_an_operator(self) -> None:
        for role in ROLES:
            self.assertEqual(self.add(f"{role}@example.org", role).role, role)
        self.assertEqual(len(self.got(self.users.all())), len(ROLES))
