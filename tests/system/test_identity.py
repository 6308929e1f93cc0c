"""People, tokens and keys of the real daemon, which is killed meanwhile."""

import http.client
import json
import signal
from base64 import b64encode, urlsafe_b64decode
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support.case import SystemTestCase, settings, text
from tests.support.daemon import PATIENCE_S, Daemon

ADA = {"email": "ada@example.org", "password": "correct horse battery", "role": "admin"}


class IdentityTests(SystemTestCase):
    def setUp(self) -> None:
        self.running = self.daemon(settings("127.0.0.1:1", workers=1))
        self.kept = self.running.directory / "var"
        operator = f"admin:{self.running.password}".encode()
        self.operator = {"Authorization": f"Basic {b64encode(operator).decode()}"}

    def restart(self) -> None:
        """Kill it, and start another one on what it has left."""
        self.running.process.send_signal(signal.SIGKILL)
        self.running.process.wait()
        self.running = Daemon(text(settings("127.0.0.1:1", data_dir=str(self.kept))))
        self.addCleanup(self.running.close)
        self.running.ready()

    def call(
        self, method: str, path: str, body: Any = None, by: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        client = http.client.HTTPConnection(self.running.admin, timeout=PATIENCE_S)
        self.addCleanup(client.close)
        headers = {"Content-Type": "application/json"} | (by or {})
        client.request(method, path, None if body is None else json.dumps(body), headers)
        answer = client.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None

    def bearer(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def test_last_over_a_kill(self) -> None:
        status, user = self.call("POST", "/api/users", ADA, self.operator)
        self.assertEqual(status, 201)
        credentials = {"email": ADA["email"], "password": ADA["password"]}
        _, signed = self.call("POST", "/api/auth/login", credentials)
        by = self.bearer(signed["token"])
        _, key = self.call("POST", "/api/auth/keys", {"name": "ci"}, by)
        _, gone = self.call("POST", "/api/auth/keys", {"name": "old"}, by)
        self.assertEqual(self.call("DELETE", f"/api/auth/keys/{gone['id']}", None, by)[0], 204)
        self.restart()
        self.assertEqual(self.call("GET", "/api/profile", None, by)[0], 200)
        self.assertEqual(self.call("GET", "/api/users", None, self.bearer(key["key"]))[0], 200)
        self.assertEqual(self.call("GET", "/api/users", None, self.bearer(gone["key"]))[0], 401)
        body = {"refresh_token": signed["refresh_token"]}
        status, _ = self.call("POST", "/api/auth/refresh", body)
        self.assertEqual(status, 200)
        self.restart()
        self.assertEqual(self.call("POST", "/api/auth/refresh", body)[0], 401)
        self.assertEqual(self.call("GET", "/api/profile", None, by)[0], 401)
        status, found = self.call("GET", "/api/audit?page_size=100", None, self.operator)
        self.assertEqual(status, 200)
        told = [(each["action"], each["outcome"]) for each in found["items"]]
        self.assertEqual(
            told[::-1],
            [
                ("post_api_users", "done"),
                ("post_api_auth_login", "done"),
                ("post_api_auth_keys", "done"),
                ("post_api_auth_keys", "done"),
                ("delete_api_auth_keys_by_key_id", "done"),
                ("get_api_users", "refused"),
                ("post_api_auth_refresh", "done"),
                ("post_api_auth_refresh", "refused"),
                ("get_api_profile", "refused"),
            ],
        )
        self.assertEqual(found["items"][-2]["actor_id"], user["id"])

    def test_no_secret_is_written_anywhere_but_where_it_is_kept(self) -> None:
        self.call("POST", "/api/users", ADA, self.operator)
        credentials = {"email": ADA["email"], "password": ADA["password"]}
        _, signed = self.call("POST", "/api/auth/login", credentials)
        by = self.bearer(signed["token"])
        _, key = self.call("POST", "/api/auth/keys", {"name": "ci"}, by)
        self.call("POST", "/api/auth/login", credentials | {"password": "a slip of the hand"})
        files = [file for file in self.kept.iterdir() if "admin" not in file.name]
        kept = b"".join(file.read_bytes() for file in files)
        for secret in (
            ADA["password"], "a slip of the hand", signed["token"], signed["refresh_token"][-43:],
            key["key"][-43:], self.running.password,
        ):  # fmt: skip
            self.assertNotIn(secret.encode(), kept)
            self.assertNotIn(secret, self.running.output)

    def test_anybody_may_check_a_token_with_what_is_published(self) -> None:
        credentials = {"username": "admin", "password": self.running.password}
        _, signed = self.call("POST", "/api/auth/login", credentials)
        _, published = self.call("GET", "/.well-known/jwks.json")
        head, claims, signature = signed["token"].split(".")
        (key,) = published["keys"]
        self.assertEqual(json.loads(_decoded(head))["kid"], key["kid"])
        public = Ed25519PublicKey.from_public_bytes(_decoded(key["x"]))
        public.verify(_decoded(signature), f"{head}.{claims}".encode())


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
