"""What of the calls is written down."""

from tests.control.api.client import basic
from tests.control.api.test_call import ShelfCase

WRONG = {"Authorization": basic("admin", "wrong")}


class AuditTests(ShelfCase):
    def told(self) -> list[tuple[str, str, str]]:
        return [(each.action, each.object, each.outcome) for each in self.api.audit.entries]

    def test_has_every_change(self) -> None:
        self.call("POST", "/api/v1/books", {"title": "ulysses", "pages": 1})
        self.call("DELETE", "/api/books/ulysses", headers={"X-Request-ID": "abc"})
        self.assertEqual(
            self.told(),
            [
                ("post_api_books", "/api/books", "done"),
                ("delete_api_books_by_title", "/api/books/ulysses", "done"),
            ],
        )
        entry = self.api.audit.entries[1]
        assert entry.by is not None
        self.assertEqual(
            (entry.by.id, entry.address, entry.request_id), ("operator", "127.0.0.1", "abc")
        )

    def test_has_every_refusal_of_a_change_and_why(self) -> None:
        self.call("POST", "/api/books", {"title": "emma", "pages": 1})
        self.call("PUT", "/api/books/emma", {"x": 1})
        self.assertEqual([outcome for *_, outcome in self.told()], ["refused"] * 2)
        self.assertIn("emma", self.api.audit.entries[0].reason)

    def test_has_who_would_change_something_without_signing_in(self) -> None:
        for fields in ({}, WRONG):
            self.api.call("DELETE", "/api/books/emma", fields)
        told = ("delete_api_books_by_title", "/api/books/emma", "refused")
        self.assertEqual(self.told(), [told] * 2)
        self.assertIsNone(self.api.audit.entries[0].by)

    def test_has_nothing_of_reading(self) -> None:
        self.call("GET", "/api/books")
        self.call("GET", "/api/books/none")
        self.assertEqual(self.told(), [])

    def test_has_a_bug(self) -> None:
        self.shelf.books["emma"] = None  # type: ignore[assignment]  # what the test is about
        self.assertEqual(self.call("PUT", "/api/books/emma", {"pages": 1}).status, 500)
        self.assertEqual([outcome for *_, outcome in self.told()], ["failed"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_a_change_that_is_done_is_answered_when_it_cannot_be_written_down(self) -> None:
        self.api.audit.is_full = True
        self.assertEqual(self.call("DELETE", "/api/books/emma").status, 204)


class AllowanceTests(ShelfCase):
    def test_is_a_hundred_calls_a_second(self) -> None:
        statuses = [self.call("PUT", "/api/books/emma").status for _ in range(101)]
        self.assertEqual(statuses, [200] * 100 + [429])
        refused = self.call("DELETE", "/api/books/emma")
        self.assertEqual((refused.status, refused.headers["retry-after"]), (429, "1"))
        self.assertIn("emma", self.shelf.books)
        self.api.clock.advance(0.01)
        self.assertEqual(self.call("DELETE", "/api/books/emma").status, 204)
