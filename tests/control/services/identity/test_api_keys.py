from typing import Any

from tests.control.services.identity.case import IdentityTestCase, bearer, somebody
from veloflux.control.services.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from veloflux.control.services.identity.api_keys import (
    DAY_S,
    MAX_KEYS,
    MAX_LIFETIME_S,
    USED_EVERY_S,
    ApiKey,
)
from veloflux.control.services.identity.person import Changes
from veloflux.control.services.principal import Principal
from veloflux.control.store.store import StoreError


class KeysTestCase(IdentityTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keys = self.people.keys
        self.account = self.add(role="admin").account
        self.by = self.account.principal("token")

    def create(
        self,
        permissions: frozenset[str] | None = None,
        lifetime_s: float = DAY_S,
        name: str = "deploy",
        by: Principal | None = None,
    ) -> Any:
        return self.keys.create(
            by or self.by, self.account.generation, name, permissions, lifetime_s
        )

    def made(self, *permissions: str) -> tuple[ApiKey, str]:
        return self.got(self.create(frozenset(permissions) if permissions else None))

    def listed(self) -> list[ApiKey]:
        return self.got(self.keys.of(self.account.id, self.account.generation))


class UseTests(KeysTestCase):
    def test_a_key_may_what_it_was_made_for(self) -> None:
        key, token = self.made("pools:read")
        found = self.admitted(bearer(token))
        self.assertEqual((found.id, found.name), (self.account.id, "ada@example.org"))
        self.assertEqual((found.credential, found.key_id), ("key", key.id))
        self.assertEqual(found.permissions, {"pools:read"})
        self.assertEqual(found.expires_at, key.expires_at)
        _, token = self.made()
        self.assertEqual(self.admitted(bearer(token)).permissions, self.by.permissions)

    def test_never_more_than_its_owner_may_now(self) -> None:
        _, token = self.made("pools:read", "pools:write")
        self.got(self.people.users.change(somebody(), self.account.id, Changes(role="viewer")))
        self.assertEqual(self.admitted(bearer(token)).permissions, {"pools:read"})

    def test_what_is_not_a_key_is_refused(self) -> None:
        _, token = self.made()
        other, _ = self.made()
        for wrong in (
            token[:-1], f"{token}x", token[:-43] + "x" * 43, "vfk_", "vfk__", token.upper(),
            token.replace(token[4:20], other.id), token.replace(token[4:20], "0" * 16),
        ):  # fmt: skip
            self.rejected(bearer(wrong), UnauthenticatedError)

    def test_ends_by_itself(self) -> None:
        _, token = self.made()
        self.clock.advance(DAY_S - 1)
        self.admitted(bearer(token))
        self.clock.advance(1)
        self.rejected(bearer(token), UnauthenticatedError)
        self.assertEqual(self.listed(), [])

    def test_ends_with_what_ends_all_that_was_given_out(self) -> None:
        for changes in (Changes(password="another password"), Changes(enabled=False)):
            _, token = self.got(self.create(by=self.by))
            self.admitted(bearer(token))
            self.got(self.people.users.change(somebody(), self.account.id, changes))
            self.rejected(bearer(token), UnauthenticatedError)
            account = self.got(self.people.users.account(self.account.id))
            self.account = account or self.account

    def test_the_last_use_is_kept_but_not_each(self) -> None:
        _, token = self.made()
        self.assertIsNone(self.listed()[0].last_used_at)
        self.admitted(bearer(token))
        first = self.now()
        self.assertEqual(self.listed()[0].last_used_at, first)
        self.clock.advance(USED_EVERY_S - 1)
        self.admitted(bearer(token))
        self.assertEqual(self.listed()[0].last_used_at, first)
        self.clock.advance(1)
        self.admitted(bearer(token))
        self.assertEqual(self.listed()[0].last_used_at, first + USED_EVERY_S)

    def test_is_good_when_its_use_cannot_be_kept(self) -> None:
        _, token = self.made()

        async def fail(*writes: object) -> int:
            raise StoreError("the disk is full")

        self.store.commit = fail  # type: ignore[method-assign, assignment]
        self.admitted(bearer(token))


class CreateTests(KeysTestCase):
    def test_only_a_hash_is_kept(self) -> None:
        _, token = self.made()
        for document in self.store.documents.values():
            self.assertNotIn(token[-43:].encode(), document.body)

    def test_may_no_more_than_its_creator(self) -> None:
        error = self.refused(self.create(frozenset({"pools:read", "system:admin"})), ForbiddenError)
        self.assertIn("system:admin", error.detail)
        self.refused(self.create(frozenset({"moon:write"})), ForbiddenError)

    def test_a_key_makes_and_deletes_no_keys(self) -> None:
        key, token = self.made()
        by = self.admitted(bearer(token))
        self.refused(self.create(by=by), ForbiddenError)
        self.refused(self.keys.delete(by, key.id), ForbiddenError)

    def test_ends_in_time(self) -> None:
        for lifetime_s in (0.0, -1.0, MAX_LIFETIME_S + 1, float("inf"), float("nan")):
            self.refused(self.create(lifetime_s=lifetime_s), InvalidError)
        self.got(self.create(lifetime_s=MAX_LIFETIME_S))

    def test_has_a_name_that_is_text(self) -> None:
        for name in ("x" * 101, "a\nb", "\ud800"):
            self.refused(self.create(name=name), InvalidError)

    def test_has_a_bound_of_those_that_are_good(self) -> None:
        for _ in range(MAX_KEYS):
            self.got(self.create())
        self.refused(self.create(), ConflictError)
        self.clock.advance(DAY_S)
        self.got(self.create())


class DeleteTests(KeysTestCase):
    def test_ends_it_at_once(self) -> None:
        key, token = self.made()
        kept, _ = self.made()
        self.got(self.keys.delete(self.by, key.id))
        self.rejected(bearer(token), UnauthenticatedError)
        self.assertEqual([each.id for each in self.listed()], [kept.id])

    def test_somebody_elses_is_not_there(self) -> None:
        key, token = self.made()
        for by, key_id in ((somebody(), key.id), (self.by, "0" * 16), (self.by, "")):
            self.refused(self.keys.delete(by, key_id), NotFoundError)
        self.admitted(bearer(token))

    def test_nothing_is_left_of_those_that_have_ended(self) -> None:
        self.made()
        other = self.add("b@example.org")
        self.got(self.keys.create(other.account.principal("token"), "1", "", None, MAX_LIFETIME_S))
        self.got(self.people.users.delete(somebody(), other.id))
        self.clock.advance(DAY_S)
        kept, _ = self.made()
        self.got(self.people.sweep_keys())
        found = {place for place in self.store.documents if place[0].startswith("api-key")}
        self.assertEqual(
            found, {("api-key", kept.id), ("api-key-of", f"{self.account.id}/{kept.id}")}
        )
