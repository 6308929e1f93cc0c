"""What holds for the calls of every row."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api, Response
from tests.control.api.rows import Shelf
from veloflux.control.api.endpoint import OPEN, Asked, Endpoint
from veloflux.control.api.signature import read

JSON = {"Content-Type": "application/json"}


class ShelfCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.shelf = Shelf()
        self.api = Api(rows=self.shelf.rows)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is None:
            content = b""
        fields = SIGNED_IN | (JSON if content else {}) | (headers or {})
        if content:
            fields = {"Content-Length": str(len(content))} | fields
        return self.api.call(method, path, fields, content)

    def faults(self, answer: Response, status: int = 400) -> dict[str, str]:
        self.assertEqual(answer.status, status, answer.body)
        return {each["pointer"]: each["code"] for each in answer.json()["errors"]}


class BodyTests(ShelfCase):
    def test_is_what_the_function_gets(self) -> None:
        answer = self.call("POST", "/api/books", {"title": "ulysses", "pages": 730})
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.headers["location"], "/api/books/ulysses")
        self.assertEqual(answer.body, b'{"title":"ulysses","pages":730,"dry":false}')

    def test_has_all_its_faults_told_at_once(self) -> None:
        answer = self.call(
            "POST", "/api/books", {"title": "A", "chapters": ["x", 1, "Y"], "a/b~c": 1}
        )
        self.assertEqual(
            self.faults(answer),
            {
                "/title": "value",
                "/pages": "missing",
                "/chapters/1": "value",
                "/chapters/2": "value",
                "/a~1b~0c": "unknown",
            },
        )

    def test_types_are_not_guessed(self) -> None:
        for pages in ("7", True, 7.5, None, [7]):
            answer = self.call("POST", "/api/books", {"title": "a", "pages": pages})
            self.assertEqual(self.faults(answer), {"/pages": "value"})
        for body in ([], "text", 1):
            self.assertEqual(self.faults(self.call("POST", "/api/books", body)), {"": "value"})

    def test_is_read_strictly(self) -> None:
        answer = self.call("POST", "/api/books", b'{"title":"a","title":"a","pages":1}')
        self.assertEqual(self.faults(answer), {"": "syntax"})

    def test_is_json_and_says_so(self) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/json;x=1"):
            answer = self.call("POST", "/api/books", {}, {"Content-Type": kind})
            self.assertEqual(answer.status, 415, kind)
        for kind in ("application/json; charset=UTF-8", 'Application/JSON;charset="utf-8"'):
            answer = self.call("POST", "/api/books", {}, {"Content-Type": kind})
            self.assertEqual(answer.status, 400, kind)

    def test_is_refused_where_none_is_taken(self) -> None:
        answer = self.call("DELETE", "/api/books/emma", {"reason": "read"})
        self.assertEqual(answer.status, 400)
        self.assertIn("takes no body", answer.json()["detail"])
        self.assertEqual(self.call("DELETE", "/api/books/emma", b"{}").status, 204)

    def test_compressed_is_refused(self) -> None:
        for coding, status in (("gzip", 415), ("gzip, identity", 415), ("identity", 201)):
            body = {"title": "ulysses", "pages": 730}
            answer = self.call("POST", "/api/books", body, {"Content-Encoding": coding})
            self.assertEqual(answer.status, status, coding)

    def test_is_asked_for_where_there_must_be_one(self) -> None:
        self.assertEqual(self.call("POST", "/api/books").status, 400)
        self.assertEqual(self.call("PUT", "/api/books/emma").json()["pages"], 474)
        self.assertEqual(self.call("PUT", "/api/books/emma", {"pages": 5}).json()["pages"], 5)


class QueryTests(ShelfCase):
    def test_has_defaults(self) -> None:
        self.assertEqual(self.call("GET", "/api/books").status, 200)
        (which,) = self.shelf.which
        self.assertEqual((which.page, which.page_size, which.order), (1, 20, "title"))

    def test_is_typed(self) -> None:
        answer = self.call("GET", "/api/books?page=2&order=pages&long=true&share=1&page_size=500")
        self.assertEqual(answer.status, 200, answer.body)
        (which,) = self.shelf.which
        self.assertEqual((which.page, which.order, which.long), (2, "pages", True))

    def test_has_all_its_faults_told_at_once(self) -> None:
        answer = self.call("GET", "/api/books?page=0&page_size=501&order=x&long=1&share=a&sort=1")
        self.assertEqual(
            self.faults(answer),
            dict.fromkeys(("/page", "/page_size", "/order", "/long", "/share"), "value")
            | {"/sort": "unknown"},
        )

    def test_numbers_have_one_spelling(self) -> None:
        for page in ("", "01", "+1", "1.0", "1e0", "%201", "1_0", "%D9%A1", "1&page=1"):
            self.assertEqual(
                self.faults(self.call("GET", f"/api/books?page={page}")),
                {"/page": "value"},
                page,
            )

    def test_is_refused_where_there_is_none(self) -> None:
        answer = self.call("GET", "/api/books/emma?x=1&y=2")
        self.assertEqual(self.faults(answer), {"/x": "unknown", "/y": "unknown"})

    def test_may_ask_for_a_dry_run(self) -> None:
        body = {"title": "ulysses", "pages": 730}
        answer = self.call("POST", "/api/books?dry_run=true", body)
        self.assertEqual((answer.status, answer.json()["dry"]), (201, True))
        self.assertNotIn("ulysses", self.shelf.books)
        for value in ("1", "", "True", "true&dry_run=true"):
            answer = self.call("POST", f"/api/books?dry_run={value}", body)
            self.assertEqual(self.faults(answer), {"/dry_run": "value"})
        answer = self.call("PUT", "/api/books/emma?dry_run=true", {"pages": 5})
        self.assertEqual(self.faults(answer), {"/dry_run": "unknown"})


class PathTests(ShelfCase):
    def test_has_parameters(self) -> None:
        self.assertEqual(self.call("GET", "/api/books/emma").json()["title"], "emma")
        self.assertEqual(self.call("GET", "/api/v1/books/emma").json()["title"], "emma")
        self.assertEqual(self.call("GET", "/api/books/%65mma").json()["title"], "emma")

    def test_what_cannot_be_is_not_there(self) -> None:
        for title in ("nobody", "EMMA", "a%00", "a%0a", "x" * 21):
            self.assertEqual(self.call("GET", f"/api/books/{title}").status, 404)

    def test_a_change_may_have_no_content(self) -> None:
        answer = self.call("DELETE", "/api/books/emma")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertNotIn("content-type", answer.headers)
        self.assertEqual(self.call("DELETE", "/api/books/emma").status, 404)

    def test_every_path_knows_its_methods(self) -> None:
        answer = self.call("PATCH", "/api/books/emma")
        self.assertEqual(
            (answer.status, answer.headers["allow"]), (405, "DELETE, GET, HEAD, OPTIONS, PUT")
        )


class AskedTests(ShelfCase):
    def test_tells_who_asks_and_under_which_id(self) -> None:
        self.call("GET", "/api/books", headers={"X-Request-ID": "abc"})
        (asked,) = self.shelf.asked
        self.assertEqual((asked.address, asked.request_id, asked.by), ("127.0.0.1", "abc", None))


class SignatureTests(SynchronousTestCase):
    def test_a_function_that_does_not_fit_its_row_is_refused(self) -> None:
        def one(asked: Asked, name: str) -> None:
            """Do something."""

        for path in ("/api/x", "/api/x/{other}", "/api/x/{name}/{other}"):
            self.assertRaises(TypeError, read, Endpoint("GET", path, OPEN, one))
        read(Endpoint("GET", "/api/x/{name}", OPEN, one))
