"""Calls that are repeated under a key."""

from twisted.internet.defer import Deferred

from tests.control.api.client import Connection, parse
from tests.control.api.test_call import JSON, SIGNED_IN, ShelfCase
from veloflux.control.api import idempotency
from veloflux.control.api.idempotency import KEPT_S, KIND, Idempotency
from veloflux.control.store.store import StoreError

ULYSSES = {"title": "ulysses", "pages": 730}
KEY = {"Idempotency-Key": "k1"}


class RepeatingTests(ShelfCase):
    def test_gives_the_same_answer_and_does_nothing(self) -> None:
        first = self.call("POST", "/api/books", ULYSSES, KEY)
        again = self.call("POST", "/api/books", ULYSSES, KEY)
        self.assertEqual((first.status, again.status), (201, 201))
        self.assertEqual(first.body, again.body)
        for name in ("location", "etag", "content-type"):
            self.assertEqual(first.headers[name], again.headers[name])
        self.assertNotEqual(first.headers["x-request-id"], again.headers["x-request-id"])
        self.assertEqual(self.call("POST", "/api/books", ULYSSES).status, 409)

    def test_another_request_needs_another_key(self) -> None:
        self.call("POST", "/api/books", ULYSSES, KEY)
        other = ULYSSES | {"title": "dubliners"}
        self.assertEqual(self.call("POST", "/api/books", other, KEY).status, 422)
        self.assertEqual(self.call("POST", "/api/books?dry_run=true", ULYSSES, KEY).status, 422)
        self.assertEqual(
            self.call("POST", "/api/books", other, {"Idempotency-Key": "k2"}).status, 201
        )

    def test_a_refusal_is_not_kept(self) -> None:
        self.call("POST", "/api/books", ULYSSES)
        self.assertEqual(self.call("POST", "/api/books", ULYSSES, KEY).status, 409)
        del self.shelf.books["ulysses"]
        self.assertEqual(self.call("POST", "/api/books", ULYSSES, KEY).status, 201)

    def test_lasts_for_a_day(self) -> None:
        self.call("POST", "/api/books", ULYSSES, KEY)
        self.api.clock.advance(KEPT_S - 1)
        self.assertEqual(self.call("POST", "/api/books", ULYSSES, KEY).status, 201)
        self.api.clock.advance(1)
        self.assertEqual(self.call("POST", "/api/books", ULYSSES, KEY).status, 409)

    def test_lasts_over_a_restart(self) -> None:
        self.call("POST", "/api/books", ULYSSES, KEY)
        frame = self.api.frame
        self.api.serve(
            self.shelf.rows,
            frame.guard,
            Idempotency(self.api.store, lambda: 1e9),
        )
        self.assertEqual(self.call("POST", "/api/books", ULYSSES, KEY).status, 201)

    def test_one_that_is_being_answered_is_not_done_twice(self) -> None:
        gate: Deferred[None] = Deferred()
        self.shelf.before_change.append(gate)
        body = b'{"title":"ulysses","pages":730}'
        fields = SIGNED_IN | JSON | KEY | {"Content-Length": str(len(body))}
        raw = self.api.raw("POST", "/api/books", fields, body)
        first = Connection(self.api.site)
        self.assertEqual(first.send(raw), b"")
        self.assertEqual(parse(Connection(self.api.site).send(raw)).status, 409)
        gate.callback(None)
        self.assertEqual(parse(first.transport.value()).status, 201)

    def test_what_is_no_key_is_refused(self) -> None:
        for key in ("", "a b", "x" * 256, "\xe9"):
            answer = self.call("POST", "/api/books", ULYSSES, {"Idempotency-Key": key})
            self.assertEqual(answer.status, 400, key)
        self.assertNotIn("ulysses", self.shelf.books)

    def test_where_no_key_is_taken_it_is_refused(self) -> None:
        self.assertEqual(self.call("PUT", "/api/books/emma", {"pages": 5}, KEY).status, 400)
        self.assertEqual(self.shelf.books["emma"].pages, 474)


class KeepingTests(ShelfCase):
    def kept(self) -> int:
        return sum(kind == KIND for kind, _ in self.api.store.documents)

    def test_is_bounded(self) -> None:
        self.patch(idempotency, "MAX_ANSWERS", 3)
        for i in range(5):
            body = {"title": "a" * (i + 1), "pages": 1}
            self.call("POST", "/api/books", body, {"Idempotency-Key": f"k{i}"})
        self.assertEqual(self.kept(), 3)

    def test_old_answers_go(self) -> None:
        self.call("POST", "/api/books", ULYSSES, KEY)
        self.api.clock.advance(KEPT_S)
        self.call("POST", "/api/books", {"title": "a", "pages": 1}, {"Idempotency-Key": "k2"})
        self.assertEqual(self.kept(), 1)

    def test_what_cannot_be_kept_is_answered_all_the_same(self) -> None:
        self.call("POST", "/api/books", {"title": "a", "pages": 1}, {"Idempotency-Key": "k0"})
        self.api.store.fault = StoreError("the disk is full")
        self.assertEqual(self.call("POST", "/api/books", ULYSSES, KEY).status, 201)
