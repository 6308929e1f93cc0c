import re
from typing import Any

from tests.control.api.case import ADA, PASSWORD, ApiTestCase, bearer
from tests.control.api.client import PASSWORD as OPERATORS
from tests.control.api.client import Response
from veloflux.control.services.principal import ROLES

NEW = "another password"


class LoginTests(ApiTestCase):
    def test_gives_tokens_and_says_who_it_is(self) -> None:
        user_id = self.add()["id"]
        found = self.login()
        self.assertEqual(
            found["user"],
            {
                "user_id": user_id,
                "email": "ada@example.org",
                "tenant_id": None,
                "role": "admin",
                "first_name": "",
                "last_name": "",
            },
        )
        self.assertEqual((found["expires_in"], found["token_type"]), (900, "Bearer"))
        self.assertRegex(found["expires_at"], r"\A2001-09-09T02:\d\d:\d\d(\.\d+)?Z\Z")
        self.assertEqual(self.call("GET", "/api/users", by=bearer(found["token"])).status, 200)

    def test_takes_a_username_as_well(self) -> None:
        body = {"username": "admin", "password": OPERATORS}
        found = self.ask(200, "POST", "/api/auth/login", body, None)
        self.assertEqual((found["user"]["user_id"], found["user"]["email"]), ("operator", "admin"))
        self.ask(200, "GET", "/api/profile", by=bearer(found["token"]))

    def test_needs_one_name(self) -> None:
        for names in ({}, {"email": "a@example.org", "username": "a"}):
            self.ask(400, "POST", "/api/auth/login", names | {"password": PASSWORD}, None)

    def test_takes_nothing_that_gives_more(self) -> None:
        """M2."""
        for more in ({"role": "operator"}, {"is_admin": True}, {"permissions": ["system:admin"]}):
            body = {"email": ADA["email"], "password": PASSWORD} | more
            self.ask(400, "POST", "/api/auth/login", body, None)

    def test_a_wrong_password_and_an_unknown_name_are_refused_alike(self) -> None:
        """A7."""
        self.add()
        disabled = self.add(email="b@example.org")["id"]
        self.ask(200, "PUT", f"/api/users/{disabled}", {"enabled": False})
        answers = set()
        for email, password in (
            (ADA["email"], "wrong"), ("nobody@example.org", PASSWORD), ("b@example.org", PASSWORD),
            ("admin", "wrong"), ("", ""), (ADA["email"], "x" * 5000), (ADA["email"], "\0"),
        ):  # fmt: skip
            body = {"email": email, "password": password}
            answer = self.call("POST", "/api/auth/login", body, None, X_Request_ID="same")
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="VeloFlux"')
            answers.add((answer.status, answer.body))
        self.assertEqual([status for status, _ in answers], [401])
        body = {"email": ADA["email"], "password": PASSWORD, "tenant_id": "another"}
        self.ask(401, "POST", "/api/auth/login", body, None)

    def test_after_five_tries_it_says_when_to_come_back(self) -> None:
        self.add()
        body = {"email": ADA["email"], "password": "wrong"}
        found = [self.call("POST", "/api/auth/login", body, None).status for _ in range(6)]
        self.assertEqual(found, [401] * 5 + [429])
        answer = self.call("POST", "/api/auth/login", body | {"password": PASSWORD}, None)
        self.assertEqual(answer.status, 429)
        self.assertGreater(int(answer.headers["retry-after"]), 100)
        self.api.clock.advance(200.0)
        self.login()

    def test_is_written_down_with_who_it_was(self) -> None:
        user_id = self.add()["id"]
        self.login()
        self.call("POST", "/api/auth/login", {"email": "x", "password": "secret thing"}, None)
        done, refused = self.api.audit.entries[-2:]
        assert done.by is not None
        self.assertEqual((done.by.id, done.outcome), (user_id, "done"))
        self.assertEqual((refused.by, refused.outcome), (None, "refused"))
        self.assertEqual(done.action, "post_api_auth_login")
        self.assertNotIn("secret thing", str(self.api.audit.entries))


class RefreshTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.add()
        self.signed = self.login()

    def refresh(self, status: int, token: str) -> Any:
        return self.ask(status, "POST", "/api/auth/refresh", {"refresh_token": token}, None)

    def test_each_gives_the_next_and_one_that_comes_again_ends_all(self) -> None:
        following = self.refresh(200, self.signed["refresh_token"])
        self.ask(200, "GET", "/api/profile", by=bearer(following["token"]))
        self.refresh(401, self.signed["refresh_token"])
        self.refresh(401, following["refresh_token"])
        for token in (self.signed["token"], following["token"]):
            self.ask(401, "GET", "/api/profile", by=bearer(token))

    def test_an_access_token_does_too(self) -> None:
        by = bearer(self.signed["token"])
        following = self.ask(200, "POST", "/api/auth/refresh", by=by)
        self.refresh(200, following["refresh_token"])

    def test_nothing_and_nonsense_do_not(self) -> None:
        self.ask(401, "POST", "/api/auth/refresh", by=None)
        self.ask(401, "POST", "/api/auth/refresh", {}, None)
        self.ask(401, "POST", "/api/auth/refresh")  # a password
        self.ask(401, "POST", "/api/auth/refresh", by=bearer("x.y.z"))
        for token in ("", "x", self.signed["token"][:256], "vfr_operator_0_x"):
            self.refresh(401, token)
        self.refresh(400, "x" * 1000)


class LogoutTests(ApiTestCase):
    def test_voids_the_tokens_of_this_sign_in_alone(self) -> None:
        self.add()
        one, other = self.login(), self.login()
        self.ask(204, "POST", "/api/auth/logout", by=bearer(one["token"]))
        self.ask(401, "GET", "/api/profile", by=bearer(one["token"]))
        body = {"refresh_token": one["refresh_token"]}
        self.ask(401, "POST", "/api/auth/refresh", body, None)
        self.ask(200, "GET", "/api/profile", by=bearer(other["token"]))
        self.ask(401, "POST", "/api/auth/logout", by=bearer(one["token"]))

    def test_who_came_by_password_may_end_a_refresh_token(self) -> None:
        self.add()
        one = self.login()
        body = {"refresh_token": one["refresh_token"]}
        self.ask(204, "POST", "/api/auth/logout", body, self.ada())
        self.ask(401, "GET", "/api/profile", by=bearer(one["token"]))


class CookieTests(ApiTestCase):
    ORIGIN = "http://127.0.0.1:9090"

    def setUp(self) -> None:
        super().setUp()
        self.add()
        body = {"email": ADA["email"], "password": PASSWORD, "cookie": True}
        self.answer = self.call("POST", "/api/auth/login", body, None)

    def cookie(self, answer: Response) -> str:
        match = re.fullmatch(
            r"(veloflux_refresh=vfr_[\w-]+); Path=/api/auth; Max-Age=2592000; HttpOnly; "
            r"SameSite=Strict",
            answer.headers["set-cookie"],
        )
        assert match is not None, answer.headers["set-cookie"]
        return match[1]

    def refresh(self, cookie: str, origin: str = ORIGIN, **more: str) -> Response:
        return self.call(
            "POST",
            "/api/auth/refresh",
            {"cookie": True},
            None,
            Cookie=cookie,
            Origin=origin,
            **more,
        )

    def test_keeps_the_refresh_token_from_scripts(self) -> None:
        self.assertIsNone(self.answer.json()["refresh_token"])
        cookie = self.cookie(self.answer)
        self.assertNotIn(cookie.partition("=")[2], self.answer.body.decode())
        following = self.refresh(cookie)
        self.assertEqual(following.status, 200)
        self.assertIsNone(following.json()["refresh_token"])
        self.assertNotEqual(self.cookie(following), cookie)
        self.assertEqual(self.refresh(cookie).status, 401)
        self.assertEqual(self.refresh(self.cookie(following)).status, 401)

    def test_is_taken_from_our_own_pages_alone(self) -> None:
        cookie = self.cookie(self.answer)
        for origin in ("http://evil.example", "null", "https://127.0.0.1:9090", "http://127.0.0.1"):
            self.assertEqual(self.refresh(cookie, origin).status, 403, origin)
        missing = self.call("POST", "/api/auth/refresh", {}, None, Cookie=cookie)
        self.assertEqual(missing.status, 403)
        self.assertEqual(self.refresh(cookie).status, 200)

    def test_signs_nobody_in_by_itself(self) -> None:
        cookie = self.cookie(self.answer)
        self.ask(401, "GET", "/api/profile", by=None, Cookie=cookie)
        self.ask(401, "PUT", "/api/profile", {}, by=None, Cookie=cookie, Origin=self.ORIGIN)

    def test_is_forgotten_at_the_end(self) -> None:
        cookie = self.cookie(self.answer)
        by = bearer(self.answer.json()["token"])
        answer = self.call("POST", "/api/auth/logout", None, by, Cookie=cookie, Origin=self.ORIGIN)
        self.assertEqual(answer.status, 204)
        self.assertIn("veloflux_refresh=; ", answer.headers["set-cookie"])
        self.assertIn("; Max-Age=0; ", answer.headers["set-cookie"])
        self.assertEqual(self.refresh(cookie).status, 401)


class WhoTests(ApiTestCase):
    def test_tells_who_calls_and_what_they_may(self) -> None:
        self.add(role="viewer")
        signed = self.login()
        found = self.ask(200, "GET", "/api/auth/verify", by=bearer(signed["token"]))
        self.assertEqual(found["user"], signed["user"])
        self.assertEqual(found["permissions"], sorted(ROLES["viewer"]))
        self.assertEqual((found["valid"], found["credential"]), (True, "token"))
        self.assertEqual(found["expires_at"], signed["expires_at"])
        found = self.ask(200, "GET", "/api/auth/verify")
        self.assertEqual((found["credential"], found["expires_at"]), ("basic", None))


class ProfileTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.add()

    def change(self, status: int, **body: Any) -> Any:
        return self.ask(status, "PUT", "/api/profile", body, self.ada())

    def test_names_change_and_nothing_that_gives_more(self) -> None:
        """M2."""
        self.assertEqual(self.change(200, first_name="Ada")["first_name"], "Ada")
        found = self.ask(200, "GET", "/api/profile", by=self.ada())
        self.assertEqual((found["first_name"], found["role"]), ("Ada", "admin"))
        for more in (
            {"role": "operator"},
            {"tenant_id": "x"},
            {"user_id": "x"},
            {"email": "x@y.z"},
        ):
            self.change(400, **more)

    def test_a_new_password_asks_for_the_current_one_and_ends_all(self) -> None:
        signed = self.login()
        key = self.ask(201, "POST", "/api/auth/keys", {"name": "x"}, self.ada())["key"]
        self.change(403, password=NEW)
        self.change(403, password=NEW, current_password="wrong")
        self.change(400, password="short", current_password=PASSWORD)
        self.change(200, password=NEW, current_password=PASSWORD)
        for by in (bearer(signed["token"]), bearer(key), self.ada()):
            self.ask(401, "GET", "/api/profile", by=by)
        self.login(password=NEW)

    def test_the_operators_is_in_the_configuration(self) -> None:
        problem = self.ask(409, "PUT", "/api/profile", {"first_name": "x"})
        self.assertIn("configuration", problem["detail"])


class KeyTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.add()

    def make(self, status: int = 201, **body: Any) -> Any:
        return self.ask(status, "POST", "/api/auth/keys", {"name": "ci"} | body, self.ada())

    def test_is_shown_once(self) -> None:
        made = self.make(permissions=["users:read"])
        listed = self.ask(200, "GET", "/api/auth/keys", by=self.ada())
        self.assertEqual(listed["total_count"], 1)
        self.assertEqual(listed["items"][0], {k: v for k, v in made.items() if k != "key"})
        self.assertNotIn(made["key"], str(self.api.audit.entries))
        secret = made["key"][-43:].encode()
        for document in self.api.store.documents.values():
            self.assertNotIn(secret, document.body)

    def test_may_what_it_was_made_for(self) -> None:
        by = bearer(self.make(permissions=["users:read"])["key"])
        self.ask(200, "GET", "/api/users", by=by)
        self.ask(403, "POST", "/api/users", ADA, by)
        self.ask(403, "GET", "/api/audit", by=by)
        self.ask(403, "POST", "/api/auth/keys", {"name": "another"}, by)
        self.ask(403, "PUT", "/api/profile", {"first_name": "x"}, by)
        found = self.ask(200, "GET", "/api/auth/verify", by=by)
        self.assertEqual((found["credential"], found["permissions"]), ("key", ["users:read"]))
        listed = self.ask(200, "GET", "/api/auth/keys", by=self.ada())
        self.assertIsNotNone(listed["items"][0]["last_used_at"])

    def test_ends_when_it_is_said_and_when_it_is_deleted(self) -> None:
        made = self.make(expires_at="2001-09-10T00:00:00Z")
        by = bearer(made["key"])
        self.ask(200, "GET", "/api/profile", by=by)
        self.api.clock.advance(86400.0)
        self.ask(401, "GET", "/api/profile", by=by)
        made = self.make()
        self.ask(204, "DELETE", f"/api/auth/keys/{made['id']}", by=self.ada())
        self.ask(401, "GET", "/api/profile", by=bearer(made["key"]))
        self.ask(404, "DELETE", f"/api/auth/keys/{made['id']}", by=self.ada())

    def test_somebody_elses_is_not_there(self) -> None:
        made = self.make()
        self.ask(404, "DELETE", f"/api/auth/keys/{made['id']}")
        self.assertEqual(self.ask(200, "GET", "/api/auth/keys")["items"], [])

    def test_what_is_wrong_with_it_is_said(self) -> None:
        for body in (
            {"name": ""}, {"name": "x" * 101}, {"name": "a\nb"}, {"expires_at": "2001-09-09"},
            {"expires_at": "2000-01-01T00:00:00Z"}, {"expires_at": "2003-01-01T00:00:00Z"},
            {"expires_at": 1e9}, {"permissions": "users:read"}, {"owner": "operator"},
        ):  # fmt: skip
            self.make(400, **body)
        self.make(403, permissions=["system:admin"])


class PublicKeyTests(ApiTestCase):
    def test_are_there_for_anybody(self) -> None:
        (key,) = self.ask(200, "GET", "/.well-known/jwks.json", by=None)["keys"]
        self.assertEqual(key.keys(), {"kid", "x", "kty", "crv", "alg", "use"})
        self.assertEqual((key["kty"], key["crv"], key["alg"]), ("OKP", "Ed25519", "EdDSA"))
