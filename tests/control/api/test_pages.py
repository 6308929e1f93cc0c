"""Pages of other origins."""

from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import PASSWORD, SIGNED_IN, Api, Response
from tests.control.api.rows import Shelf
from veloflux.core.model.node import Admin

OURS = "https://app.example.org"
EVIL = "https://evil.example"
PREFLIGHT = {"Origin": OURS, "Access-Control-Request-Method": "PUT"}


class OriginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.serve(OURS)

    def serve(self, *origins: str) -> None:
        admin = Admin(password=PASSWORD, cors_origins=origins)
        self.api = Api(admin, rows=Shelf().rows)

    def allowed(self, answer: Response) -> str | None:
        return answer.headers.get("access-control-allow-origin")

    def test_one_that_is_listed_may_read(self) -> None:
        answer = self.api.call("GET", "/api/books", {"Origin": OURS})
        self.assertEqual(self.allowed(answer), OURS)
        self.assertEqual(answer.headers["vary"], "Origin")
        self.assertIn("ETag", answer.headers["access-control-expose-headers"])
        self.assertNotIn("access-control-allow-credentials", answer.headers)
        problem = self.api.call("GET", "/api/nothing", {"Origin": OURS})
        self.assertEqual((problem.status, self.allowed(problem)), (404, OURS))

    def test_another_may_not(self) -> None:
        for origin in (
            EVIL,
            "null",
            OURS + ":444",
            "http://app.example.org",
            "*",
        ):
            answer = self.api.call("GET", "/api/books", {"Origin": origin})
            self.assertEqual((answer.status, self.allowed(answer)), (200, None), origin)
            self.assertEqual(answer.headers["vary"], "Origin")

    def test_without_a_list_nothing_is_said(self) -> None:
        self.serve()
        answer = self.api.call("GET", "/api/books", {"Origin": OURS})
        self.assertNotIn("vary", answer.headers)
        self.assertEqual([name for name in answer.headers if "access-control" in name], [])

    def test_is_told_beforehand_what_it_may(self) -> None:
        asked = {"Access-Control-Request-Headers": "authorization,if-match,content-type"}
        answer = self.api.call("OPTIONS", "/api/books/emma", PREFLIGHT | asked)
        self.assertEqual((answer.status, self.allowed(answer)), (204, OURS))
        self.assertIn("PUT", answer.headers["access-control-allow-methods"])
        self.assertIn("if-match", answer.headers["access-control-allow-headers"])
        refused = self.api.call("OPTIONS", "/api/books/emma", PREFLIGHT | {"Origin": EVIL})
        self.assertEqual((refused.status, self.allowed(refused)), (204, None))
        other = {"Access-Control-Request-Headers": "x-other"}
        self.assertIsNone(self.allowed(self.api.call("OPTIONS", "/api/books", PREFLIGHT | other)))


class CookieTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api(Admin(password=PASSWORD, cors_origins=(OURS,)), rows=Shelf().rows)

    def status(self, method: str, fields: dict[str, str]) -> int:
        return self.api.call(method, "/api/books/emma", SIGNED_IN | fields).status

    def test_changes_come_from_our_own_pages_and_those_listed(self) -> None:
        for origin in ("http://127.0.0.1:9090", OURS):
            self.assertEqual(self.status("PUT", {"Cookie": "a=b", "Origin": origin}), 200)

    def test_changes_from_elsewhere_are_refused(self) -> None:
        for origin in (
            EVIL,
            "null",
            "http://127.0.0.1",
            "https://127.0.0.1:9090",
            "",
        ):
            self.assertEqual(self.status("PUT", {"Cookie": "a=b", "Origin": origin}), 403, origin)
        self.assertEqual(self.status("DELETE", {"Cookie": "a=b"}), 403)

    def test_reading_and_who_sends_no_cookie_are_not_asked(self) -> None:
        self.assertEqual(self.status("GET", {"Cookie": "a=b", "Origin": EVIL}), 200)
        self.assertEqual(self.status("PUT", {"Origin": EVIL}), 200)
