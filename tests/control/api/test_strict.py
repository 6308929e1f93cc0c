"""JSON and queries, read strictly."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.api.strict import MAX_DEPTH, MAX_DIGITS, parse_json, parse_query
from veloflux.control.services.errors import InvalidError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


class JsonTests(SynchronousTestCase):
    def refusal(self, content: bytes) -> str:
        error = self.assertRaises(InvalidError, parse_json, content)
        (fault,) = error.problems
        self.assertEqual((fault.pointer, fault.code), ("", "syntax"))
        return fault.detail

    # A slow machine is not a bug.
    @given(VALUES)
    def test_reads_whatever_is_json(self, value: object) -> None:
        self.assertEqual(parse_json(json.dumps(value).encode()), value)
        self.assertEqual(parse_json(json.dumps(value, ensure_ascii=False).encode()), value)

    def test_refuses_what_is_no_json(self) -> None:
        for content in (b"{", b"[1,]", b"'a'", b"1 2", b"\xef\xbb\xbf{}", b"01", b'"\n"', b" "):
            self.refusal(content)

    def test_refuses_what_is_not_utf_8(self) -> None:
        self.assertIn("byte 1", self.refusal(b'"\xff"'))
        self.refusal('"a"'.encode("utf-16"))
        self.refusal(b'"\xed\xa0\x80"')

    def test_refuses_a_name_that_comes_twice(self) -> None:
        self.assertIn('"a" twice', self.refusal(b'{"a": 1, "b": {}, "a": 1}'))
        self.assertIn('"a" twice', self.refusal(b'[{"b": [{"a": 1, "\\u0061": 2}]}]'))

    def test_refuses_numbers_that_are_none(self) -> None:
        for word in (b"NaN", b"Infinity", b"-Infinity", b"[1e999]", b"-1e999"):
            self.refusal(word)

    def test_refuses_more_digits_than_a_number_has(self) -> None:
        self.assertEqual(parse_json(b"1" * MAX_DIGITS), int("1" * MAX_DIGITS))
        self.refusal(b"1" * (MAX_DIGITS + 1))
        self.refusal(b"1" * 1_000_000)
        self.refusal(b"0." + b"1" * MAX_DIGITS)

    def test_refuses_half_of_a_surrogate_pair(self) -> None:
        self.assertEqual(parse_json(rb'"\ud83d\ude00"'), "\U0001f600")
        for content in (rb'"\ud83d"', rb'["\ude00\ud83d"]', rb'{"\ud800": 1}'):
            self.assertIn("surrogate", self.refusal(content))

    def test_refuses_what_is_nested_too_deep(self) -> None:
        parse_json(nested(MAX_DEPTH))
        parse_json(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH)
        for depth in (MAX_DEPTH + 1, 1_000, 100_000):
            self.assertIn("deep", self.refusal(nested(depth)))
        self.refusal(b'{"a":' * 100_000)


class QueryTests(SynchronousTestCase):
    def test_reads_names_and_values(self) -> None:
        self.assertEqual(
            parse_query(b"a=1&b=x%20y+z&a=&%C3%A9=%26&c"),
            {"a": ["1", ""], "b": ["x y z"], "é": ["&"], "c": [""]},
        )
        self.assertEqual(parse_query(b""), {})

    def test_refuses_what_is_not_utf_8(self) -> None:
        for query in (b"a=%ff", b"%ed%a0%80=1", b"a=\xff"):
            self.assertRaises(InvalidError, parse_query, query)
