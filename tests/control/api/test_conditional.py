"""Entity tags, and calls that have conditions."""

from twisted.internet.defer import Deferred

from tests.control.api.client import SIGNED_IN, Connection, parse
from tests.control.api.test_call import JSON, ShelfCase
from veloflux.control.api.call import MAX_WAITING

EMMA = "/api/books/emma"


class TagTests(ShelfCase):
    def test_is_strong_and_changes_with_the_content(self) -> None:
        first = self.call("GET", EMMA)
        self.assertRegex(first.headers["etag"], r'\A"[0-9a-f]{32}"\Z')
        self.assertEqual(self.call("GET", EMMA).headers["etag"], first.headers["etag"])
        changed = self.call("PUT", EMMA, {"pages": 5})
        self.assertNotEqual(changed.headers["etag"], first.headers["etag"])
        self.assertEqual(self.call("GET", EMMA).headers["etag"], changed.headers["etag"])

    def test_of_what_was_created_is_that_of_reading_it(self) -> None:
        made = self.call("POST", "/api/books", {"title": "ulysses", "pages": 730})
        read = self.call("GET", made.headers["location"])
        self.assertEqual(made.headers["etag"], read.headers["etag"])

    def test_is_the_same_under_both_paths_and_for_head(self) -> None:
        tag = self.call("GET", EMMA).headers["etag"]
        self.assertEqual(self.call("GET", "/api/v1/books/emma").headers["etag"], tag)
        self.assertEqual(self.call("HEAD", EMMA).headers["etag"], tag)


class ReadingTests(ShelfCase):
    def test_what_is_known_is_not_told_again(self) -> None:
        tag = self.call("GET", EMMA).headers["etag"]
        for value in (tag, "*", f'"x", {tag}', f"W/{tag}", f",{tag},"):
            answer = self.call("GET", EMMA, headers={"If-None-Match": value})
            self.assertEqual((answer.status, answer.body), (304, b""), value)
            self.assertEqual(answer.headers["etag"], tag)
            self.assertNotIn("content-length", answer.headers)
        for value in ('"x"', "", '"x", "y"'):
            answer = self.call("GET", EMMA, headers={"If-None-Match": value})
            self.assertEqual(answer.status, 200, value)

    def test_may_ask_for_one_state(self) -> None:
        tag = self.call("GET", EMMA).headers["etag"]
        self.assertEqual(self.call("GET", EMMA, headers={"If-Match": tag}).status, 200)
        self.assertEqual(self.call("GET", EMMA, headers={"If-Match": '"x"'}).status, 412)

    def test_what_is_no_tag_is_refused(self) -> None:
        for value in ("x", "'x'", '"x', '"a" "b"', 'w/"x"', '*, "x"', '"a b"'):
            for name in ("If-Match", "If-None-Match"):
                self.assertEqual(self.call("GET", EMMA, headers={name: value}).status, 400, value)


class ChangingTests(ShelfCase):
    def test_goes_on_when_nothing_has_changed(self) -> None:
        tag = self.call("GET", EMMA).headers["etag"]
        answer = self.call("PUT", EMMA, {"pages": 5}, {"If-Match": f'"x", {tag}'})
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.shelf.books["emma"].pages, 5)

    def test_is_refused_when_somebody_was_faster(self) -> None:
        before = self.call("GET", EMMA).headers["etag"]
        now = self.call("PUT", EMMA, {"pages": 5}).headers["etag"]
        for method in ("PUT", "DELETE"):
            answer = self.call(method, EMMA, headers={"If-Match": before})
            self.assertEqual((answer.status, answer.headers["etag"]), (412, now))
        self.assertEqual(self.shelf.books["emma"].pages, 5)

    def test_a_weak_tag_is_no_condition_that_holds(self) -> None:
        tag = self.call("GET", EMMA).headers["etag"]
        self.assertEqual(self.call("DELETE", EMMA, headers={"If-Match": f"W/{tag}"}).status, 412)

    def test_of_what_is_not_there_is_refused(self) -> None:
        answer = self.call("DELETE", "/api/books/none", headers={"If-Match": "*"})
        self.assertEqual(answer.status, 412)
        self.assertNotIn("etag", answer.headers)
        self.assertEqual(self.call("DELETE", "/api/books/none").status, 404)

    def test_may_be_meant_for_what_is_new_only(self) -> None:
        answer = self.call("PUT", EMMA, {"pages": 5}, {"If-None-Match": "*"})
        self.assertEqual(answer.status, 412)
        self.assertIn("etag", answer.headers)
        self.assertEqual(
            self.call("PUT", "/api/books/none", {}, {"If-None-Match": "*"}).status, 404
        )

    def test_of_what_has_no_tag_is_refused(self) -> None:
        for name in ("If-Match", "If-None-Match"):
            answer = self.call("POST", "/api/books", {"title": "x", "pages": 1}, {name: "*"})
            self.assertEqual(answer.status, 400)
            self.assertIn("no ETag", answer.json()["detail"])
        self.assertEqual(set(self.shelf.books), {"emma"})

    def test_nothing_comes_between_the_condition_and_the_change(self) -> None:
        gate: Deferred[None] = Deferred()
        self.shelf.before_change.append(gate)
        tag = self.call("GET", EMMA).headers["etag"]
        body = b'{"pages":5}'
        fields = SIGNED_IN | JSON | {"If-Match": tag, "Content-Length": str(len(body))}
        raw = self.api.raw("PUT", EMMA, fields, body)
        first, second = Connection(self.api.site), Connection(self.api.site)
        self.assertEqual((first.send(raw), second.send(raw)), (b"", b""))
        second.transport.clear()
        first.transport.clear()
        gate.callback(None)
        self.assertEqual(parse(first.transport.value()).status, 200)
        self.assertEqual(parse(second.transport.value()).status, 412)

    def test_too_many_that_wait_are_told_to_come_back(self) -> None:
        gate: Deferred[None] = Deferred()
        self.shelf.before_change.append(gate)
        raw = self.api.raw("PUT", EMMA, SIGNED_IN)
        waiting = [Connection(self.api.site) for _ in range(MAX_WAITING + 1)]
        for connection in waiting:
            self.assertEqual(connection.send(raw), b"")
        refused = Connection(self.api.site).send(raw)
        self.assertTrue(refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n"), refused)
        self.assertEqual(parse(refused).headers["retry-after"], "1")
        gate.callback(None)


class LeavingTests(ShelfCase):
    def test_a_change_that_has_begun_goes_on(self) -> None:
        gate: Deferred[None] = Deferred()
        self.shelf.before_change.append(gate)
        body = b'{"pages":5}'
        fields = SIGNED_IN | JSON | {"Content-Length": str(len(body))}
        connection = Connection(self.api.site)
        connection.send(self.api.raw("PUT", EMMA, fields, body))
        connection.close()
        gate.callback(None)
        self.assertEqual(self.shelf.books["emma"].pages, 5)
        self.assertEqual(self.api.audit.entries[-1].outcome, "done")

    def test_a_change_that_takes_too_long_goes_on(self) -> None:
        gate: Deferred[None] = Deferred()
        self.shelf.before_change.append(gate)
        body = b'{"pages":5}'
        fields = SIGNED_IN | JSON | {"Content-Length": str(len(body))}
        connection = Connection(self.api.site)
        connection.send(self.api.raw("PUT", EMMA, fields, body))
        self.api.clock.advance(30.0)
        self.assertEqual(parse(connection.transport.value()).status, 503)
        gate.callback(None)
        self.assertEqual(self.shelf.books["emma"].pages, 5)

    def test_what_fails_unheard_is_logged(self) -> None:
        gate: Deferred[None] = Deferred()
        self.shelf.before_change.append(gate)
        connection = Connection(self.api.site)
        connection.send(self.api.raw("PUT", EMMA, SIGNED_IN))
        connection.close()
        gate.errback(ZeroDivisionError("x"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
