from base64 import b64encode

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import PASSWORD, SIGNED_IN, Api, Connection, basic, parse
from tests.control.store.places import Turns
from veloflux.control.api.endpoint import Endpoint, Reply
from veloflux.control.api.guard import Guard
from veloflux.control.api.problem import Problem
from veloflux.control.services.identity.hashing import AT_ONCE, WAITING
from veloflux.control.store.store import StoreError
from veloflux.core.model.node import Admin

WRONG = {"Authorization": basic("admin", "wrong")}


def encoded(decoded: bytes) -> str:
    return "Basic " + b64encode(decoded).decode()


class CredentialsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def status(self, authorization: str) -> int:
        return self.api.call("GET", "/metrics", {"Authorization": authorization}).status

    def test_the_operator_may(self) -> None:
        self.assertEqual(self.status(basic("admin", PASSWORD)), 200)
        self.assertEqual(self.status(basic("admin", PASSWORD).replace("Basic", "bASIC")), 200)

    def test_every_refusal_is_the_same(self) -> None:
        """A8: bad base64, no colon, no UTF-8, another scheme."""
        refusals = set()
        for authorization in (
            None,
            basic("admin", "wrong"),
            basic("nobody", PASSWORD),
            "Bearer abc",
            "Basic",
            "Basic %%%",
            "Basic abc",
            encoded(b"no colon"),
            encoded(b"admin:\xff\xfe"),
        ):
            headers = {"X-Request-ID": "same"}
            if authorization is not None:
                headers["Authorization"] = authorization
            answer = self.api.call("GET", "/metrics", headers)
            self.assertEqual(answer.status, 401, authorization)
            challenge = 'Bearer realm="VeloFlux", Basic realm="VeloFlux", charset="UTF-8"'
            if authorization == "Bearer abc":
                challenge = 'Bearer realm="VeloFlux", error="invalid_token"'
            self.assertEqual(answer.headers["www-authenticate"], challenge)
            refusals.add(answer.body)
        self.assertEqual(len(refusals), 1)

    def test_a_colon_belongs_to_the_password(self) -> None:
        """A8: the first one ends the name (RFC 7617, section 2)."""
        self.api = Api(Admin(password="a:b:"))
        self.assertEqual(self.status(basic("admin", "a:b:")), 200)

    def test_two_headers_are_refused(self) -> None:
        """A8: twice the same, or two schemes."""
        right = basic("admin", PASSWORD)
        head = self.api.raw("GET", "/metrics", {"Authorization": right, "AUTHORIZATION": right})
        self.assertEqual(parse(Connection(self.api.site).send(head)).status, 401)

    def test_a_long_password_is_refused_unread(self) -> None:
        self.assertEqual(self.status(basic("admin", "x" * 1025)), 401)
        self.assertEqual(self.status(basic("admin", "x" * 6000)), 401)

    def test_wrong_credentials_are_refused_where_they_would_tell_more(self) -> None:
        self.assertEqual(self.api.call("GET", "/api/status", WRONG).status, 401)
        self.assertEqual(self.api.call("GET", "/health", WRONG).status, 200)

    def test_without_authentication_everybody_is_the_operator(self) -> None:
        self.api = Api(Admin(auth_enabled=False))
        self.assertEqual(self.api.call("GET", "/metrics").status, 200)
        self.assertIn("workers", self.api.call("GET", "/api/status").json())


class ThrottleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def status(self, headers: dict[str, str], peer: str = "192.0.2.1") -> int:
        return self.api.call("GET", "/metrics", headers, peer=peer).status

    def test_five_wrong_tries_are_enough(self) -> None:
        for _ in range(5):
            answer = self.api.call("GET", "/metrics", WRONG, peer="192.0.2.1")
            self.assertEqual(answer.status, 401)
            self.assertNotIn("retry-after", answer.headers)
        answer = self.api.call("GET", "/metrics", SIGNED_IN, peer="192.0.2.1")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (401, "180"))
        self.assertEqual(self.status(SIGNED_IN, peer="192.0.2.2"), 200)
        self.api.clock.advance(180.0)
        self.assertEqual(self.status(SIGNED_IN), 200)

    def test_right_tries_do_not_count(self) -> None:
        self.assertEqual({self.status(SIGNED_IN) for _ in range(20)}, {200})

    def test_asking_without_credentials_does_not_count(self) -> None:
        self.assertEqual([self.status({}) for _ in range(20)], [401] * 20)

    def test_who_signed_in_a_while_ago_is_not_locked_out_by_another(self) -> None:
        self.assertEqual(self.status(SIGNED_IN), 200)
        for _ in range(9):
            self.status(WRONG)
        self.assertEqual((self.status(WRONG), self.status(SIGNED_IN)), (401, 200))

    def test_tries_count_before_they_are_decided(self) -> None:
        api = Api(Admin(), data_dir=self.mktemp(), in_thread=Turns())
        guesses = [{"Authorization": basic("admin", f"wrong {i}")} for i in range(6)]
        answers = [
            Connection(api.site).send(api.raw("GET", "/metrics", guess)) for guess in guesses
        ]
        self.assertEqual(answers[:5], [b""] * 5)
        self.assertIn("retry-after", parse(answers[5]).headers)

    def test_too_many_at_once_are_told_to_come_back(self) -> None:
        api = Api(Admin(), data_dir=self.mktemp(), in_thread=Turns())
        head = api.raw("GET", "/metrics", WRONG)
        peers = [f"192.0.2.{i}" for i in range(AT_ONCE + WAITING + 1)]
        answers = [Connection(api.site, peer).send(head) for peer in peers]
        self.assertEqual(set(answers[:-1]), {b""})
        answer = parse(answers[-1])
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "1"))


class PermissionTests(SynchronousTestCase):
    def test_who_lacks_the_permission_is_refused(self) -> None:
        api = Api()
        guard = Guard(api.people.identity)
        row = Endpoint("GET", "/x", "moon:write", lambda asked: Reply(None))
        authorization = [SIGNED_IN["Authorization"].encode()]
        admitted = ensureDeferred(guard.admit(row, authorization, "192.0.2.1"))
        problem = self.failureResultOf(admitted, Problem).value
        self.assertEqual(problem.status, 403)
        self.assertIn("moon:write", problem.detail)

    def test_who_may_is_named(self) -> None:
        api = Api()
        guard = Guard(api.people.identity)
        row = Endpoint("GET", "/x", "metrics:read", lambda asked: Reply(None))
        authorization = [SIGNED_IN["Authorization"].encode()]
        admitted = ensureDeferred(guard.admit(row, authorization, "192.0.2.1"))
        principal = self.successResultOf(admitted)
        assert principal is not None
        self.assertEqual((principal.id, principal.name), ("operator", "admin"))


class StoreTests(SynchronousTestCase):
    """Who there is cannot be looked up."""

    def setUp(self) -> None:
        self.api = Api()
        self.assertEqual(self.api.call("GET", "/metrics", SIGNED_IN).status, 200)
        self.api.store.fault = StoreError("/var/lib/veloflux/store.db: the disk gave an error")

    def test_the_operator_is_known_all_the_same(self) -> None:
        self.assertEqual(self.api.call("GET", "/metrics", SIGNED_IN).status, 200)

    def test_for_others_it_is_said_without_what_the_store_says(self) -> None:
        other = {"Authorization": basic("ada@example.org", "correct horse")}
        answer = self.api.call("GET", "/metrics", other)
        self.assertEqual(answer.status, 503)
        self.assertIn("the log says why", answer.json()["detail"])
        self.assertNotIn("/var", answer.body.decode())
