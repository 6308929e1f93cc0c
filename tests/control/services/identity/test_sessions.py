from tests.control.services.identity.case import IdentityTestCase, somebody
from veloflux.control.services.errors import SignInError
from veloflux.control.services.identity.account import Account
from veloflux.control.services.identity.sessions import IDLE_S, LIFETIME_S, MAX_SESSIONS


class SessionsTestCase(IdentityTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sessions = self.people.sessions
        self.account = self.add().account

    def open(self) -> tuple[str, str]:
        return self.got(self.sessions.open(self.account))

    def is_open(self, session_id: str) -> bool:
        return self.got(self.sessions.is_open(self.account, session_id))

    def rotate(self, token: str) -> str:
        account, _, following = self.got(self.sessions.rotate(token, self.people.identity.account))
        self.assertEqual(account, self.account)
        return following

    def reject(self, token: str) -> None:
        self.refused(self.sessions.rotate(token, self.people.identity.account), SignInError)


class RotationTests(SessionsTestCase):
    def test_each_token_gives_the_next(self) -> None:
        session_id, token = self.open()
        tokens = [token]
        for _ in range(5):
            tokens.append(self.rotate(tokens[-1]))
        self.assertEqual(len(set(tokens)), 6)
        self.assertTrue(self.is_open(session_id))

    def test_one_that_comes_again_ends_the_family(self) -> None:
        session_id, first = self.open()
        other, _ = self.open()
        second = self.rotate(first)
        third = self.rotate(second)
        self.reject(first)
        self.assertFalse(self.is_open(session_id))
        self.reject(third)
        self.assertTrue(self.is_open(other))

    def test_of_two_at_the_same_time_neither_goes_on(self) -> None:
        session_id, token = self.open()
        commit = self.store.commit

        async def late(*writes: object) -> int:
            # Just before the first is stored, the second has been.
            self.store.commit = commit  # type: ignore[method-assign]
            self.rotate(token)
            return await commit(*writes)  # type: ignore[arg-type]

        self.store.commit = late  # type: ignore[method-assign, assignment]
        self.reject(token)
        self.assertFalse(self.is_open(session_id))

    def test_what_is_no_token_is_refused_and_ends_nothing(self) -> None:
        session_id, token = self.open()
        for wrong in (
            "", "vfr_", token[:-1], token + "x", token.upper(), f" {token}", f"{token}\n",
            token.replace("vfr_", "vfk_"), token.replace(session_id, "0" * 32), "x" * 100_000,
            token.replace(self.account.id, "u-0000000000000000"),
            f"vfr_../x_{session_id}_{'x' * 43}",
            token.replace(self.account.id, "operator"), "\u0660" * 40,
        ):  # fmt: skip
            self.reject(wrong)
        self.assertTrue(self.is_open(session_id))

    def test_only_hashes_are_kept(self) -> None:
        _, token = self.open()
        self.rotate(token)
        for document in self.store.documents.values():
            self.assertNotIn(token[-43:].encode(), document.body)


class EndTests(SessionsTestCase):
    def test_when_it_is_not_used(self) -> None:
        session_id, token = self.open()
        self.clock.advance(IDLE_S - 1)
        self.assertTrue(self.is_open(session_id))
        token = self.rotate(token)
        self.clock.advance(IDLE_S)
        self.assertFalse(self.is_open(session_id))
        self.reject(token)

    def test_at_the_latest_a_while_after_the_sign_in(self) -> None:
        session_id, token = self.open()
        for _ in range(int(LIFETIME_S / IDLE_S * 2)):
            self.clock.advance(IDLE_S / 2)
            token = self.rotate(token)
        self.clock.advance(LIFETIME_S - self.clock.seconds())
        self.assertFalse(self.is_open(session_id))
        self.reject(token)

    def test_with_the_generation(self) -> None:
        session_id, _ = self.open()
        other = Account(self.account.id, "", "admin", "another")
        self.assertFalse(self.got(self.sessions.is_open(other, session_id)))

    def test_with_its_account(self) -> None:
        _, token = self.open()
        self.got(self.people.users.delete(somebody(), self.account.id))
        self.reject(token)

    def test_when_it_is_closed(self) -> None:
        session_id, token = self.open()
        self.got(self.sessions.close(self.account.id, session_id))
        self.reject(token)
        session_id, token = self.open()
        self.got(self.sessions.close_of(token))
        self.assertFalse(self.is_open(session_id))

    def test_but_not_by_a_token_that_was_used(self) -> None:
        session_id, token = self.open()
        self.rotate(token)
        for wrong in (token, "", "vfr_x"):
            self.got(self.sessions.close_of(wrong))
        self.assertTrue(self.is_open(session_id))


class BoundTests(SessionsTestCase):
    def test_the_oldest_makes_room(self) -> None:
        opened = []
        for _ in range(MAX_SESSIONS + 2):
            opened.append(self.open()[0])
            self.clock.advance(1.0)
        self.assertEqual([self.is_open(each) for each in opened[:3]], [False, False, True])
        self.assertEqual(sum(self.is_open(each) for each in opened), MAX_SESSIONS)

    def test_those_that_ended_are_forgotten(self) -> None:
        other = self.add("b@example.org")
        self.got(self.sessions.open(other.account))
        self.open()
        self.clock.advance(IDLE_S / 2)
        kept, _ = self.open()
        self.got(self.people.users.delete(somebody(), other.id))
        self.clock.advance(IDLE_S / 2)
        self.got(self.people.sweep_sessions())
        found = [key for kind, key in self.store.documents if kind == "session"]
        self.assertEqual(found, [f"{self.account.id}/{kept}"])
