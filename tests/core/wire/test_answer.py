import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.oracles import Response, read_responses
from veloflux.core.wire.answer import answer

DATE = b"Tue, 14 Nov 2023 22:30:00 GMT"


def read(wire: bytes, method: bytes = b"GET") -> Response:
    (found,), rest = read_responses(wire, [method], at_end=True)
    assert not rest, rest
    return found


class AnswerTests(SynchronousTestCase):
    @given(
        st.sampled_from((400, 403, 404, 408, 413, 431, 499, 502, 503, 599)), st.text(max_size=50)
    )
    def test_a_problem_says_what_and_which(self, status: int, detail: str) -> None:
        """RFC 9457; whatever stands in the detail, it is one JSON document of one message"""
        found = read(answer(status, detail, b"id-1", DATE, lines=b"X: y\r\n"))
        self.assertEqual(found.status, status)
        self.assertEqual(found.field(b"content-type"), b"application/problem+json")
        self.assertEqual(found.field(b"x-request-id"), b"id-1")
        self.assertEqual(found.field(b"date"), DATE)
        self.assertEqual(found.field(b"x"), b"y")
        problem = json.loads(found.body)
        self.assertEqual(set(problem), {"type", "title", "status", "detail", "instance"})
        self.assertEqual(problem["status"], status)
        self.assertEqual((problem["detail"], problem["instance"]), (detail, "id-1"))

    def test_a_problem_is_for_one_client(self) -> None:
        """RFC 9111 section 4.2.2 would allow a cache to keep a 404, 414 or 501."""
        for status in (400, 404, 414, 501, 503):
            found = read(answer(status, "", b"id", DATE))
            self.assertEqual(found.field(b"cache-control"), b"no-store")

    def test_other_answers_are_empty(self) -> None:
        for status, length in ((204, None), (302, b"0"), (304, None), (308, b"0")):
            found = read(answer(status, "not shown", b"id", DATE))
            self.assertEqual((found.body, found.field(b"content-length")), (b"", length))
            self.assertIsNone(found.field(b"content-type"))
            self.assertIsNone(found.field(b"cache-control"))

    def test_head_gets_the_fields_alone(self) -> None:
        whole = read(answer(404, "x", b"id", DATE))
        head = read(answer(404, "x", b"id", DATE, bodiless=True), b"HEAD")
        self.assertEqual(head.fields, whole.fields)
        self.assertEqual(head.body, b"")
