"""What holds for every row of the table."""

import json
import re
from dataclasses import replace
from typing import Any

from openapi_spec_validator import validate
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api, Response
from veloflux.control.api.endpoint import MAX_BODY_BYTES, OPEN, Endpoint
from veloflux.control.api.endpoint import SIGNED_IN as ANYBODY
from veloflux.control.api.endpoints.documentation import documentation
from veloflux.control.api.signature import read
from veloflux.control.api.table import METRICS_ROWS, ROWS
from veloflux.control.services.principal import PERMISSIONS

ALL = (*ROWS, *documentation(ROWS, lambda work: succeed(work())))
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
JSON = {"Content-Type": "application/json"}


def filled(path: str) -> str:
    """A path with something in place of its parameters."""
    return re.sub(r"\{\w+\}", "1", path)


def methods(path: str) -> str:
    known = {row.method for row in ALL if path in row.paths}
    return ", ".join(sorted(known | {"OPTIONS"} | ({"HEAD"} if "GET" in known else set())))


class RowTests(SynchronousTestCase):
    def test_has_a_permission_or_says_it_is_open(self) -> None:
        for row in (*ALL, *METRICS_ROWS):
            self.assertIn(row.permission, {OPEN, ANYBODY, *PERMISSIONS}, row)

    def test_has_a_docstring(self) -> None:
        for row in (*ALL, *METRICS_ROWS):
            self.assertRegex(row.answer.__doc__ or "", r"\A[A-Z].*\.", row.path)

    def test_is_the_only_one_for_what_it_answers(self) -> None:
        for table in (ALL, METRICS_ROWS):
            claimed = [
                (row.method, re.sub(r"\{\w+\}", "{}", path)) for row in table for path in row.paths
            ]
            self.assertEqual(len(claimed), len(set(claimed)))
            self.assertEqual(len({row.name for row in table}), len(table))

    def test_has_a_function_that_fits_it(self) -> None:
        for row in (*ALL, *METRICS_ROWS):
            read(row)

    def test_gives_content_or_says_that_there_is_none(self) -> None:
        for row in ALL:
            self.assertEqual(row.status == 204, read(row).answer is None and not row.also, row.path)


class CallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def call(
        self, row: Endpoint, path: str, headers: dict[str, str], body: bytes = b""
    ) -> Response:
        self.api.clock.advance(1.0)
        if body:
            headers = {"Content-Length": str(len(body))} | headers
        return self.api.call(row.method, filled(path), headers, body)

    def problem(self, answer: Response, status: int) -> Any:
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        return answer.json()

    def pointers(self, answer: Response) -> list[str]:
        return [each["pointer"] for each in self.problem(answer, 400)["errors"]]

    def test_asks_who_is_there(self) -> None:
        for row in ALL:
            for path in row.paths if row.permission != OPEN else ():
                answer = self.call(row, path, JSON, b"{" if read(row).body else b"")
                self.problem(answer, 401)
                self.assertIn("www-authenticate", answer.headers)

    def test_refuses_who_may_not(self) -> None:
        rows = [
            row if row.permission in (OPEN, ANYBODY) else replace(row, permission="moon:write")
            for row in ROWS
        ]
        self.api = Api(rows=rows)
        for row in rows:
            for path in row.paths if row.permission == "moon:write" else ():
                self.problem(self.call(row, path, SIGNED_IN), 403)

    def test_knows_no_other_method(self) -> None:
        for path in {path for row in ALL for path in row.paths}:
            allowed = methods(path)
            for method in sorted({"TRACE", "BREW", *METHODS} - set(allowed.split(", "))):
                answer = self.api.call(method, filled(path), SIGNED_IN)
                self.problem(answer, 405)
                self.assertEqual(answer.headers["allow"], allowed)

    def test_tells_the_methods(self) -> None:
        for path in {path for row in ALL for path in row.paths}:
            answer = self.api.call("OPTIONS", filled(path))
            self.assertEqual((answer.status, answer.body), (204, b""), path)
            self.assertEqual(answer.headers["allow"], methods(path))

    def test_takes_no_body_that_is_not_json(self) -> None:
        for row in ALL:
            for path in row.paths if read(row).body else ():
                self.problem(self.call(row, path, SIGNED_IN, b"a=1"), 415)
                self.problem(self.call(row, path, SIGNED_IN | JSON, b"{"), 400)
                self.problem(self.call(row, path, SIGNED_IN | JSON, b'{"a":1,"a":1}'), 400)

    def test_takes_no_field_that_is_not_known(self) -> None:
        for row in ALL:
            for path in row.paths if read(row).body else ():
                problem = self.problem(
                    self.call(row, path, SIGNED_IN | JSON, b'{"unknown!":1}'), 400
                )
                self.assertIn("/unknown!", [each["pointer"] for each in problem["errors"]], path)

    def test_takes_no_parameter_that_is_not_known(self) -> None:
        for row in ALL:
            for path in row.paths if row.path.startswith("/api/") and "{" not in row.path else ():
                problem = self.problem(self.call(row, path + "?unknown!=1", SIGNED_IN), 400)
                self.assertIn("/unknown!", [each["pointer"] for each in problem["errors"]], path)

    def test_takes_no_body_that_is_too_large(self) -> None:
        for row in ALL:
            for path in row.paths:
                for limit in {MAX_BODY_BYTES, row.max_body_bytes}:
                    length = {"Content-Length": str(limit + 1)}
                    signed = SIGNED_IN if limit == row.max_body_bytes else {}
                    self.problem(self.call(row, path, length | signed), 413)

    def test_head_tells_the_length_of_what_get_gives(self) -> None:
        for row in ALL:
            if row.method != "GET" or "{" in row.path:
                continue
            got, head = self.got_around_head(row)
            self.assertEqual((head.status, head.body), (got.status, b""))
            self.assertEqual(head.headers["content-length"], str(len(got.body)), row.path)

    def got_around_head(self, row: Endpoint) -> tuple[Response, Response]:
        """What GET gives as long before HEAD as after it: measured figures may get a digit more."""
        for _ in range(10):
            got = self.call(row, row.path, SIGNED_IN)
            head = self.api.call("HEAD", row.path, SIGNED_IN)
            if len(self.call(row, row.path, SIGNED_IN).body) == len(got.body):
                return got, head
        raise AssertionError(f"{row.path} is never twice as long")


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.document = Api().call("GET", "/api/openapi.json").json()

    def test_is_valid(self) -> None:
        validate(self.document)

    def test_has_every_row(self) -> None:
        found = {
            (method.upper(), path, operation["operationId"])
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }
        self.assertEqual(found, {(row.method, row.path, row.name) for row in ALL})

    def test_says_what_each_needs(self) -> None:
        for row in ALL:
            operation = self.document["paths"][row.path][row.method.lower()]
            self.assertEqual(
                operation["security"] == [], row.permission == OPEN and not row.knows_caller
            )
            asks = operation["security"] != [] or 401 in row.problems
            self.assertEqual("401" in operation["responses"], asks)
            if row.permission in PERMISSIONS:
                self.assertIn(row.permission, operation["description"])

    def test_refers_to_nothing_that_is_missing_and_has_nothing_unused(self) -> None:
        references = set(re.findall(r'"#/components/(\w+/[^"]+)"', json.dumps(self.document)))
        components = self.document["components"]
        known = {
            f"{kind}/{name}"
            for kind in ("schemas", "headers", "responses")
            for name in components[kind]
        }
        self.assertEqual(references - known, set())
        self.assertEqual(
            {each for each in known - references if each.startswith("schemas/")}, set()
        )

    def test_is_the_same_until_something_changes(self) -> None:
        api = Api()
        first = api.call("GET", "/api/openapi.json")
        again = api.call("GET", "/api/openapi.json", {"If-None-Match": first.headers["etag"]})
        self.assertEqual((again.status, again.body), (304, b""))


class PageTests(SynchronousTestCase):
    def test_needs_nothing_from_elsewhere(self) -> None:
        api = Api()
        page = api.call("GET", "/api/docs")
        self.assertEqual(page.headers["content-type"], "text/html; charset=utf-8")
        policy = page.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        links = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
        self.assertIn("docs/page.js", links)
        for link in links:
            self.assertEqual(api.call("GET", f"/api/{link}").status, 200, link)
        self.assertNotIn("<style", page.body.decode())
        self.assertNotRegex(page.body.decode(), r"<script>|\son\w+=|style=")
