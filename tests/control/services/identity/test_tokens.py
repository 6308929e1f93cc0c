"""A1 to A4: what is no token of ours is refused, all in the same way."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.control.services.identity.case import (
    NOON,
    OPERATORS,
    IdentityTestCase,
    bearer,
    somebody,
)
from veloflux.control.services.errors import UnauthenticatedError
from veloflux.control.services.identity.identity import Grant
from veloflux.control.services.identity.person import Changes
from veloflux.control.services.identity.signing import (
    AFTER_S,
    AHEAD_S,
    SIGNS_S,
    SigningKey,
    SigningKeys,
)
from veloflux.control.services.identity.tokens import LEEWAY_S, LIFETIME_S, MAX_TOKEN_BYTES
from veloflux.control.services.principal import ROLES


def encoded(content: Any) -> str:
    """A part of a token, of JSON or of bytes."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class TokensTestCase(IdentityTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.grant = self.got(self.people.identity.login("admin", OPERATORS, "192.0.2.1"))
        self.token = self.grant.token
        self.head, self.claims, self.signature = self.token.split(".")
        self.key: SigningKey = self.got(self.people.signing.current())

    def signed(self, head: Any, claims: Any) -> str:
        """A token with our own key's signature."""
        part = f"{encoded(head)}.{encoded(claims)}"
        return f"{part}.{encoded(self.key.private.sign(part.encode()))}"

    def reject(self, token: str) -> None:
        error = self.rejected(bearer(token), UnauthenticatedError)
        self.assertEqual(error.detail, "This needs valid credentials.")


class IssueTests(TokensTestCase):
    def test_says_who_it_is_for_and_until_when(self) -> None:
        self.assertEqual(decoded(self.head), {"alg": "EdDSA", "typ": "at+jwt", "kid": self.key.id})
        claims = decoded(self.claims)
        session_id, jti = claims.pop("sid"), claims.pop("jti")
        self.assertEqual((len(session_id), len(jti)), (32, 32))
        self.assertEqual(
            claims,
            {
                "iss": "veloflux",
                "sub": "operator",
                "aud": "veloflux-admin",
                "iat": int(NOON),
                "nbf": int(NOON),
                "exp": int(NOON) + LIFETIME_S,
                "role": "operator",
                "permissions": sorted(ROLES["operator"]),
                "tenant_id": None,
            },
        )
        self.assertEqual(self.grant.expires_at, claims["exp"])

    def test_is_good_until_its_end(self) -> None:
        found = self.admitted(bearer(self.token))
        self.assertEqual((found.id, found.name, found.credential), ("operator", "admin", "token"))
        self.assertEqual(found.session_id, decoded(self.claims)["sid"])
        self.assertEqual(found.expires_at, self.grant.expires_at)
        self.clock.advance(LIFETIME_S + LEEWAY_S - 1)
        self.admitted(bearer(self.token))
        self.clock.advance(1)
        self.reject(self.token)

    def test_is_good_after_a_restart(self) -> None:
        self.people = self.make()
        self.admitted(bearer(self.token))


class ForgeryTests(TokensTestCase):
    def test_no_other_algorithm(self) -> None:
        """A1."""
        head = decoded(self.head)
        for algorithm in ("none", "None", "nOnE", "NONE", "", "HS256", "RS256", "ES256", None, 1):
            self.reject(self.signed(head | {"alg": algorithm}, decoded(self.claims)))
            bare = f"{encoded(head | {'alg': algorithm})}.{self.claims}"
            for signature in ("", self.signature):
                self.reject(f"{bare}.{signature}")
        del head["alg"]
        self.reject(self.signed(head, decoded(self.claims)))
        self.reject(f"{self.head}.{self.claims}.")

    def test_our_public_key_is_no_secret(self) -> None:
        """A2: HMAC with what everybody may read."""
        public = self.key.public
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        published = msgspec.json.encode(self.key.published)
        for secret in (pem, der, published, public.public_bytes_raw(), b""):
            part = f"{encoded(decoded(self.head) | {'alg': 'HS256'})}.{self.claims}"
            made = hmac.new(secret, part.encode(), hashlib.sha256).digest()
            self.reject(f"{part}.{encoded(made)}")

    def test_no_key_that_the_token_brings(self) -> None:
        """A3."""
        other = Ed25519PrivateKey.generate()
        jwk = msgspec.to_builtins(self.key.published) | {
            "x": encoded(other.public_key().public_bytes_raw())
        }
        for more in (
            {"jwk": jwk}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/"},
            {"x5c": ["AAAA"]}, {"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False},
            {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}, {"enc": "A128GCM"}, {"cty": "JWT"},
        ):  # fmt: skip
            self.reject(self.signed(decoded(self.head) | more, decoded(self.claims)))
            part = f"{encoded(decoded(self.head) | more)}.{self.claims}"
            self.reject(f"{part}.{encoded(other.sign(part.encode()))}")

    def test_no_key_but_one_of_ours(self) -> None:
        """A3."""
        head = decoded(self.head)
        for kid in (
            "", "../../etc/passwd", "' OR 1=1 --", "https://evil.example/", "x" * 5000, None, 1,
            ["a"], {"a": 1}, self.key.id.upper() + "x", "\0", "\ud800",
        ):  # fmt: skip
            self.reject(self.signed(head | {"kid": kid}, decoded(self.claims)))
        del head["kid"]
        self.reject(self.signed(head, decoded(self.claims)))

    def test_no_other_type(self) -> None:
        for typ in ("JWT", "jwt", "at+JWT", "application/at+jwt", "", None, 1):
            self.reject(self.signed(decoded(self.head) | {"typ": typ}, decoded(self.claims)))

    def test_no_other_form(self) -> None:
        """A3."""
        for token in (
            ".", "..", "...", "a.b.c", f"{self.token}.", f".{self.token}", f"{self.token}.x",
            f"{self.head}.{self.claims}", f"{self.head}.{self.claims}.{self.signature}.x.y",
            f"{self.head}=.{self.claims}.{self.signature}", f"{self.token}==",
            f"{encoded([])}.{self.claims}.{self.signature}", f"{encoded(b'{')}.{self.claims}.x",
            f"{encoded(b'[' * 3000)}.{self.claims}.{self.signature}",
            self.signed(decoded(self.head), decoded(self.claims) | {"x": "y" * MAX_TOKEN_BYTES}),
            "x" * 1_000_000, "\xff",
        ):  # fmt: skip
            self.rejected([b"Bearer " + token.encode()], UnauthenticatedError)

    def test_no_claim_that_is_missing_or_of_another_kind(self) -> None:
        """A4."""
        claims = decoded(self.claims)
        for name in set(claims) - {"tenant_id"}:
            self.reject(
                self.signed(decoded(self.head), {k: v for k, v in claims.items() if k != name})
            )
        now = int(NOON)
        for name, values in {
            "exp": (now - LEEWAY_S, 0, -1, now + 60.5, 1e400, "9999999999", None, True, [now]),
            "nbf": (now + LEEWAY_S + 1, "0", None, 0.5),
            "iat": (now + LEEWAY_S + 1, 1e300, "0", None),
            "aud": ("veloflux", ["veloflux-admin"], ["veloflux-admin", "x"], "", None, 1),
            "iss": ("veloflux/", "VeloFlux", "https://veloflux", "", None, ["veloflux"]),
            "sub": ("", "u-0000000000000000", None, 1, "operator ", "OPERATOR", "operator/x"),
            "sid": ("", "0" * 32, None, 1, "../x"),
        }.items():
            for value in values:
                with self.subTest(name=name, value=value):
                    self.reject(self.signed(decoded(self.head), claims | {name: value}))
        for wrong in ([], None, "x", 1, b"\xff", b"", b'{"a":'):
            self.reject(self.signed(decoded(self.head), wrong))

    def test_what_a_token_says_of_its_permissions_counts_for_nothing(self) -> None:
        claims = decoded(self.claims) | {"role": "viewer", "permissions": []}
        found = self.admitted(bearer(self.signed(decoded(self.head), claims)))
        self.assertEqual(found.permissions, ROLES["operator"])

    def test_no_byte_may_change(self) -> None:
        @given(st.integers(0, len(self.token) - 1), st.characters(codec="ascii"))
        def check(place: int, letter: str) -> None:
            changed = f"{self.token[:place]}{letter}{self.token[place + 1 :]}"
            if changed != self.token:
                self.rejected([b"Bearer " + changed.encode()], UnauthenticatedError)

        check()


class EndTests(TokensTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.user = self.add()
        self.users_grant = self.login()

    def login(self, password: str = "correct horse battery") -> Grant:
        return self.got(self.people.identity.login(self.user.email, password, "192.0.2.1"))

    def test_with_the_sign_in(self) -> None:
        other = self.login()
        by = self.admitted(bearer(self.users_grant.token))
        self.got(self.people.identity.logout(by, None))
        self.reject(self.users_grant.token)
        self.admitted(bearer(other.token))
        self.admitted(bearer(self.token))

    def test_with_a_refresh_token_that_came_twice(self) -> None:
        following = self.got(self.people.identity.refresh(self.users_grant.refresh_token))
        self.admitted(bearer(self.users_grant.token))
        self.refused(
            self.people.identity.refresh(self.users_grant.refresh_token), UnauthenticatedError
        )
        self.reject(self.users_grant.token)
        self.reject(following.token)

    def test_with_the_password_the_account_and_its_being_enabled(self) -> None:
        users = self.people.users
        for changes in (Changes(password="another password"), Changes(enabled=False)):
            self.admitted(bearer(self.users_grant.token))
            self.got(users.change(somebody(), self.user.id, changes))
            self.reject(self.users_grant.token)
            self.refused(
                self.people.identity.refresh(self.users_grant.refresh_token), UnauthenticatedError
            )
            self.got(users.change(somebody(), self.user.id, Changes(enabled=True)))
            self.users_grant = self.login("another password")
        self.got(users.delete(somebody(), self.user.id))
        self.reject(self.users_grant.token)


class RotationTests(TokensTestCase):
    def signing_key(self) -> str:
        return self.got(self.people.signing.current()).id

    def published(self) -> list[str]:
        return [each.kid for each in self.got(self.people.signing.published())]

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds - self.clock.seconds())
        self.got(self.people.signing.rotate())

    def test_the_next_key_is_published_before_it_signs(self) -> None:
        first = self.key.id
        self.after(SIGNS_S - 1)
        self.assertEqual(self.published(), [first])
        self.after(SIGNS_S)
        second, same = self.published()
        self.assertEqual((same, self.signing_key()), (first, first))
        self.after(SIGNS_S + AHEAD_S)
        self.assertEqual(self.signing_key(), second)

    def test_the_old_key_is_known_until_nothing_of_it_is_good(self) -> None:
        self.after(SIGNS_S)
        self.after(SIGNS_S + AHEAD_S - 1)
        token = self.got(self.people.identity.login("admin", OPERATORS, "192.0.2.1")).token
        self.assertEqual(decoded(token.partition(".")[0])["kid"], self.key.id)
        self.after(SIGNS_S + AHEAD_S + LIFETIME_S)
        self.admitted(bearer(token))
        self.after(SIGNS_S + AHEAD_S + AFTER_S)
        self.assertNotIn(self.key.id, self.published())
        self.assertEqual(len(self.published()), 1)

    def test_after_a_long_stop_there_is_a_key_that_signs(self) -> None:
        self.after(SIGNS_S * 3)
        self.people = self.make()
        self.after(SIGNS_S * 3 + 1)
        token = self.got(self.people.identity.login("admin", OPERATORS, "192.0.2.1")).token
        self.admitted(bearer(token))

    def test_a_key_that_another_node_made_is_found(self) -> None:
        here = self.people.identity
        there = self.make()
        self.after(SIGNS_S)
        self.got(there.signing.rotate())
        self.clock.advance(AHEAD_S)
        token = self.got(there.identity.login("admin", OPERATORS, "192.0.2.1")).token
        self.got(here.authenticate(bearer(token), "192.0.2.1"))

    def test_invented_names_do_not_make_us_look_each_time(self) -> None:
        looked = []
        scan = self.store.scan

        async def counted(*arguments: Any) -> Any:
            looked.append(arguments)
            return await scan(*arguments)

        self.store.scan = counted  # type: ignore[method-assign, assignment]
        keys = SigningKeys(self.store, self.now)
        for i in range(100):
            self.assertIsNone(self.got(keys.find(f"{i}")))
        self.assertEqual(len(looked), 1)

    def test_what_is_published_is_no_secret(self) -> None:
        (published,) = self.got(self.people.signing.published())
        self.assertEqual(
            msgspec.to_builtins(published),
            {
                "kid": self.key.id,
                "x": encoded(self.key.public.public_bytes_raw()),
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": "EdDSA",
                "use": "sig",
            },
        )
