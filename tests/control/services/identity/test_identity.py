from base64 import b64encode

from twisted.internet.defer import Deferred

from tests.control.services.identity.case import (
    OPERATORS,
    PASSWORD,
    SECRET,
    IdentityTestCase,
    basic,
    bearer,
    somebody,
)
from tests.control.store.places import Turns, at_once
from veloflux.control.services.errors import BusyError, SignInError, UnauthenticatedError
from veloflux.control.services.identity.identity import TRIES, TRIES_OF_ADDRESS
from veloflux.control.services.identity.people import people
from veloflux.control.services.identity.person import Changes
from veloflux.control.services.identity.remembered import REMEMBER_S
from veloflux.control.services.principal import ROLES
from veloflux.control.store.store import StoreError
from veloflux.core.model.node import Admin


class PasswordTests(IdentityTestCase):
    def test_the_operator_and_users_are_known_by_theirs(self) -> None:
        user = self.add(role="member")
        operator = self.admitted(basic("admin", OPERATORS))
        self.assertEqual((operator.id, operator.credential), ("operator", "basic"))
        found = self.admitted(basic("ADA@example.org", PASSWORD))
        self.assertEqual((found.id, found.permissions), (user.id, ROLES["member"]))

    def test_nobody_else_is(self) -> None:
        user = self.add()
        for name, password in (
            ("admin", PASSWORD), ("admin", ""), ("", OPERATORS), ("Admin", OPERATORS),
            (user.email, OPERATORS), (user.id, PASSWORD), ("ada", PASSWORD),
            ("operator", OPERATORS),
            (user.email, PASSWORD + "x"), (user.email, ""), ("admin\0", OPERATORS),
        ):  # fmt: skip
            self.rejected(basic(name, password), UnauthenticatedError, address=f"{name}{password}")

    def test_a_disabled_user_is_nobody(self) -> None:
        user = self.add()
        self.admitted(basic(user.email, PASSWORD))
        self.got(self.people.users.change(somebody(), user.id, Changes(enabled=False)))
        self.rejected(basic(user.email, PASSWORD), UnauthenticatedError)

    def test_what_is_malformed_is_refused_in_the_same_way(self) -> None:
        right = basic("admin", OPERATORS)
        details = set()
        for authorization in (
            [], right * 2, [*right, *bearer("x")], [b"Basic"], [b"Basic "], [b"Basic %%%"],
            [b"Basic abc"], [b"Basic " + b64encode(b"no colon")], [b"Digest abc"], [b""],
            [b"Basic " + b64encode(b"admin:\xff\xfe")], [b"Basic " + b64encode(b"\xff:x")],
            [right[0] + b" x"], [right[0] + b", Bearer x"], [b"Bearer"], [b"Bearer "],
            [b"\xff\xfe"], [b"Bearer a b"], [b"Bearer \xff"], [b"Bearer " + b"x" * 9000],
            [b"Basic " + b"eDp4" * 9000],
            [b"\tBasic eDp4"],
        ):  # fmt: skip
            details.add(self.rejected(authorization, UnauthenticatedError).detail)
        self.assertEqual(len(details), 1)

    def test_a_long_name_or_password_is_refused_unread(self) -> None:
        turns = Turns()
        made = people(self.store, turns, self.now, self.clock.seconds)
        made.operator.configure(Admin(password=OPERATORS), "unused", SECRET)
        for name, password in (("admin", "x" * 1025), ("x" * 1025, "x"), ("admin", "é" * 513)):
            self.refused(made.identity.login(name, password, "192.0.2.1"), SignInError)
        self.refused(made.identity.login("admin", "\ud800", "192.0.2.1"), SignInError)
        self.refused(made.identity.login("\ud800", "x", "192.0.2.1"), SignInError)
        self.assertEqual(turns.work, [])

    def test_every_try_is_one_verification_whoever_it_is_for(self) -> None:
        """A7: how long it takes tells nobody who there is."""
        user, disabled = self.add(), self.add("b@example.org")
        self.got(self.people.users.change(somebody(), disabled.id, Changes(enabled=False)))
        turns = Turns()
        made = people(self.store, turns, self.now, self.clock.seconds)
        made.operator.configure(Admin(password=OPERATORS), "unused", SECRET)
        for name, password in (
            ("admin", "wrong"), ("admin", OPERATORS), ("nobody", "wrong"), (user.email, "wrong"),
            (user.email, PASSWORD), (disabled.email, PASSWORD), ("c@example.org", PASSWORD),
        ):  # fmt: skip
            work = made.identity.authenticate(basic(name, password), f"{name} {password}")
            asked = Deferred.fromCoroutine(work)
            self.assertEqual(len(turns.work), 1, name)
            turns.turn_all()
            asked.addErrback(lambda failure: failure.trap(UnauthenticatedError))

    def test_where_nobody_is_asked_everybody_is_the_operator(self) -> None:
        self.people.operator.configure(Admin(auth_enabled=False), "unused", SECRET)
        for authorization in ([], basic("admin", "wrong"), [b"\xff"]):
            found = self.admitted(authorization)
            self.assertEqual((found.id, found.credential), ("operator", "none"))
        self.refused(self.people.identity.login("admin", "", "192.0.2.1"), SignInError)


class RememberTests(IdentityTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.user = self.add()
        self.turns = Turns()
        self.people = people(self.store, self.turns, self.now, self.clock.seconds)
        self.people.operator.configure(Admin(password=OPERATORS), "unused", SECRET)
        self.sign_in()

    def sign_in(self, password: str = PASSWORD) -> None:
        asked = self.ask(password)
        self.turns.turn_all()
        self.successResultOf(asked)

    def ask(self, password: str = PASSWORD) -> Deferred[object]:
        work = self.people.identity.authenticate(basic(self.user.email, password), "192.0.2.1")
        asked: Deferred[object] = Deferred.fromCoroutine(work)
        return asked

    def assert_forgotten(self) -> None:
        self.assertNoResult(self.ask())

    def test_what_was_right_is_known_for_a_while_after_its_last_use(self) -> None:
        for _ in range(3):
            self.clock.advance(REMEMBER_S - 1)
            self.successResultOf(self.ask())
        self.clock.advance(REMEMBER_S)
        self.assert_forgotten()

    def test_nothing_else_is(self) -> None:
        self.assertNoResult(self.ask("wrong"))
        self.successResultOf(self.ask())

    def test_ends_with_the_generation_and_the_account(self) -> None:
        users = people(self.store, at_once, self.now, self.clock.seconds).users
        self.got(users.change(somebody(), self.user.id, Changes(password="another password")))
        self.assert_forgotten()
        self.turns.work.clear()
        self.sign_in("another password")
        self.got(users.delete(somebody(), self.user.id))
        self.assertNoResult(self.ask("another password"))

    def test_the_operators_ends_with_another_configuration(self) -> None:
        asked = Deferred.fromCoroutine(
            self.people.identity.authenticate(basic("admin", OPERATORS), "192.0.2.1")
        )
        self.turns.turn_all()
        self.successResultOf(asked)
        self.people.operator.configure(Admin(password="another"), "unused", SECRET)
        self.assertNoResult(
            Deferred.fromCoroutine(
                self.people.identity.authenticate(basic("admin", OPERATORS), "192.0.2.1")
            )
        )


class ThrottleTests(IdentityTestCase):
    def tries(self, name: str, count: int, address: str = "192.0.2.1") -> list[str]:
        found = []
        for _ in range(count):
            asked = Deferred.fromCoroutine(self.people.identity.login(name, "wrong", address))
            found.append(self.failureResultOf(asked, SignInError, BusyError).type.__name__)
        return found

    def test_of_one_account_from_one_address_five(self) -> None:
        self.assertEqual(self.tries("admin", 6), ["SignInError"] * TRIES + ["TooManyTriesError"])
        error = self.refused(self.people.identity.login("admin", OPERATORS, "192.0.2.1"), BusyError)
        self.assertAlmostEqual(error.retry_after_s, 180.0)
        self.assertEqual(self.tries("ADMIN", 1), ["TooManyTriesError"])
        self.got(self.people.identity.login("admin", OPERATORS, "192.0.2.2"))
        self.clock.advance(180.0)
        self.got(self.people.identity.login("admin", OPERATORS, "192.0.2.1"))

    def test_of_one_address_some_more_whoever_they_are_for(self) -> None:
        found = [self.tries(f"user{i}", 1)[0] for i in range(TRIES_OF_ADDRESS + 1)]
        self.assertEqual(found, ["SignInError"] * TRIES_OF_ADDRESS + ["TooManyTriesError"])
        self.assertEqual(self.tries("user0", 1, "192.0.2.2"), ["SignInError"])

    def test_a_name_that_nobody_has_is_counted_like_any_other(self) -> None:
        self.add()
        self.assertEqual(self.tries("nobody", 6), self.tries("ada@example.org", 6, "192.0.2.2"))

    def test_right_ones_do_not_count(self) -> None:
        self.add()
        for _ in range(TRIES_OF_ADDRESS + TRIES):
            self.got(self.people.identity.login("ada@example.org", PASSWORD, "192.0.2.1"))

    def test_tokens_do_not(self) -> None:
        for _ in range(30):
            self.rejected(bearer("x.y.z"), UnauthenticatedError)
        self.admitted(basic("admin", OPERATORS))

    def test_those_that_could_not_be_looked_at_do_not(self) -> None:
        self.store.fault = StoreError("the disk gave an error")
        for _ in range(TRIES + 1):
            self.refused(self.people.identity.login("ada@x.org", "x", "192.0.2.1"), StoreError)
        self.store.fault = None
        self.assertEqual(self.tries("ada@x.org", 1), ["SignInError"])

    def test_the_same_at_once_is_one_try(self) -> None:
        turns = Turns()
        made = people(self.store, turns, self.now, self.clock.seconds)
        made.operator.configure(Admin(password=OPERATORS), "unused", SECRET)
        for password in (OPERATORS, "wrong"):
            asked = [
                Deferred.fromCoroutine(made.identity.login("admin", password, "192.0.2.1"))
                for _ in range(TRIES * 4)
            ]
            turns.turn_all()
            for each in asked:
                if password == OPERATORS:
                    self.successResultOf(each)
                else:
                    self.failureResultOf(each, SignInError)

    def test_those_that_wait_count_and_are_given_back_when_too_many_wait(self) -> None:
        turns = Turns()
        made = people(self.store, turns, self.now, self.clock.seconds)
        made.operator.configure(Admin(password=OPERATORS), "unused", SECRET)
        asked = [
            Deferred.fromCoroutine(made.identity.login("admin", f"wrong {i}", "192.0.2.1"))
            for i in range(TRIES)
        ]
        self.refused(made.identity.login("admin", "wrong", "192.0.2.1"), BusyError)
        others = [
            Deferred.fromCoroutine(made.identity.login("admin", "wrong", f"192.0.3.{i}"))
            for i in range(13)
        ]
        error = self.refused(made.identity.login("admin", "wrong", "192.0.4.1"), BusyError)
        self.assertEqual(error.retry_after_s, 1.0)
        turns.turn_all()
        for each in (*asked, *others):
            self.failureResultOf(each, SignInError)
        found = Deferred.fromCoroutine(made.identity.login("admin", OPERATORS, "192.0.4.1"))
        turns.turn_all()
        self.successResultOf(found)


class GrantTests(IdentityTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.identity = self.people.identity
        self.user = self.add()
        self.grant = self.got(self.identity.login(self.user.email, PASSWORD, "192.0.2.1"))

    def test_a_refresh_token_gives_the_next(self) -> None:
        following = self.got(self.identity.refresh(self.grant.refresh_token))
        self.assertEqual(following.account, self.grant.account)
        self.assertNotEqual(following.refresh_token, self.grant.refresh_token)
        self.admitted(bearer(following.token))

    def test_so_does_an_access_token_and_uses_up_the_other(self) -> None:
        by = self.admitted(bearer(self.grant.token))
        following = self.got(self.identity.prolong(by))
        self.got(self.identity.refresh(following.refresh_token))
        self.refused(self.identity.refresh(self.grant.refresh_token), SignInError)

    def test_a_password_or_a_key_does_not(self) -> None:
        account = self.user.account
        for credential in ("basic", "key", "none"):
            by = account.principal(credential)  # type: ignore[arg-type]
            self.refused(self.identity.prolong(by), SignInError)

    def test_signing_out_ends_what_the_refresh_token_is_of_as_well(self) -> None:
        by = self.admitted(basic(self.user.email, PASSWORD))
        self.got(self.identity.logout(by, self.grant.refresh_token))
        self.rejected(bearer(self.grant.token), UnauthenticatedError)

    def test_the_operators_sign_in_ends_with_the_password(self) -> None:
        grant = self.got(self.identity.login("admin", OPERATORS, "192.0.2.1"))
        self.people = self.make()
        self.admitted(bearer(grant.token))
        self.people.operator.configure(Admin(password="another"), "unused", SECRET)
        self.rejected(bearer(grant.token), UnauthenticatedError)
