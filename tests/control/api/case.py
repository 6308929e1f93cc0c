"""Calls of the admin API with JSON, as somebody or nobody."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api, Response, basic

PASSWORD = "correct horse battery"
ADA = {"email": "ada@example.org", "password": PASSWORD, "role": "admin"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class ApiTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        by: dict[str, str] | None = SIGNED_IN,
        peer: str = "127.0.0.1",
        **headers: str,
    ) -> Response:
        """Call as the operator, unless `by` says otherwise; names of headers have underscores."""
        self.api.clock.advance(0.1)  # or it would be too often
        fields = {name.replace("_", "-"): value for name, value in headers.items()} | (by or {})
        if body is None:
            return self.api.call(method, path, fields, peer=peer)
        content = json.dumps(body).encode()
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        return self.api.call(method, path, fields, content, peer)

    def ask(self, status: int, method: str, path: str, *rest: Any, **more: Any) -> Any:
        """Call, and give what the answer holds; its status must be as said."""
        answer = self.call(method, path, *rest, **more)
        self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def add(self, **more: Any) -> Any:
        return self.ask(201, "POST", "/api/users", ADA | more)

    def login(self, email: str = ADA["email"], password: str = PASSWORD, **more: Any) -> Any:
        body = {"email": email, "password": password} | more
        return self.ask(200, "POST", "/api/auth/login", body, None)

    def ada(self) -> dict[str, str]:
        """What Ada's calls have, by her password."""
        return {"Authorization": basic(ADA["email"], PASSWORD)}
