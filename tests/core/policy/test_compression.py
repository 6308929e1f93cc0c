"""Which answers are compressed, and how: RFC 9110 section 12.5.3 and its corners."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.policies import Compression
from veloflux.core.policy.compression import IDENTITY, Rule, forbids

BOTH = Rule(Compression(), ("zstd", "gzip"))
GZIP = Rule(Compression(), ("gzip",))
CHROME = b"gzip, deflate, br, zstd"
TEXT = b"Content-Type: text/plain\r\n"

_MEMBERS = st.tuples(
    st.sampled_from(
        (b"gzip", b"x-gzip", b"zstd", b"br", b"identity", b"*", b"GZip", b"", b"g zip")
    ),
    st.sampled_from(
        (b"", b";q=0", b"; q=0.0", b";q=0.5", b" ; Q=1.000", b";q=1.1", b";q=", b";q=-1", b";x=1")
    ),
).map(b"".join)


class Choosing(SynchronousTestCase):
    def choose(self, accepted: bytes | None, rule: Rule = BOTH) -> bytes:
        return rule.choose(accepted)

    def test_says_which(self) -> None:
        for accepted, expected in (
            (CHROME, b"zstd"),
            (b"gzip, deflate, br", b"gzip"),
            (b"deflate, gzip", b"gzip"),
            (b"GZIP", b"gzip"),
            (b"x-gzip", b"gzip"),
            (b"*", b"zstd"),
            (b"gzip;q=1.0, zstd;q=0.9", b"gzip"),
            (b"gzip;q=0.5, *;q=0.1", b"gzip"),
            (b"gzip;q=0.1, *;q=0.5", b"zstd"),
            (b"zstd;q=0, *", b"gzip"),
            (b" gzip\t;\tq=0.001 ,", b"gzip"),
            (b"gzip, identity", b"gzip"),
            (b"identity;q=0, gzip;q=0.2", b"gzip"),
            (b"*;q=0, gzip", b"gzip"),
        ):
            self.assertEqual(self.choose(accepted), expected, accepted)

    def test_says_that_none(self) -> None:
        for accepted in (
            None, b"", b" ", b",", b"br", b"identity", b"gzip;q=0, zstd;q=0", b"*;q=0",
            b"gzip;q=0.000", b"gzip;q=0.5, identity", b"gzip;q=0, gzip", b"gzip, x-gzip;q=0",
            b"identity;q=0", b"gzip;q=2", b"gzip;q=0.0001", b"gzip;q=abc", b"gzip q=1",
            b"gzip;level=9", b"\xff", b"gzip\x00", b"gzipped", b"gzip;q=1;q=0",
        ):  # fmt: skip
            self.assertEqual(self.choose(accepted), IDENTITY, accepted)

    def test_takes_what_is_here(self) -> None:
        self.assertEqual(self.choose(CHROME, GZIP), b"gzip")
        self.assertEqual(self.choose(b"zstd", GZIP), IDENTITY)
        self.assertEqual(self.choose(CHROME, Rule(Compression(), ())), IDENTITY)

    def test_the_order_is_the_operators_where_the_client_has_none(self) -> None:
        rule = Rule(Compression(), ("gzip", "zstd"))
        self.assertEqual(self.choose(CHROME, rule), b"gzip")
        self.assertEqual(self.choose(b"gzip;q=0.3, zstd;q=0.4", rule), b"zstd")

    @given(st.binary(max_size=400))
    @example(b"gzip," * 1000)
    @example(b"gzip" + b";q=0" * 1000)
    def test_any_bytes_have_an_answer(self, accepted: bytes) -> None:
        self.assertIn(self.choose(accepted), (IDENTITY, b"gzip", b"zstd"))

    @given(st.lists(_MEMBERS, max_size=6))
    def test_never_takes_what_is_refused(self, members: list[bytes]) -> None:
        accepted = b", ".join(members)
        chosen = self.choose(accepted)
        if chosen:
            named = [member.lower().replace(b" ;", b";").replace(b"; ", b";") for member in members]
            self.assertNotIn(chosen + b";q=0", named)
            self.assertTrue(any(each.startswith((chosen, b"x-" + chosen, b"*")) for each in named))

    @given(st.lists(_MEMBERS, max_size=6), st.randoms(use_true_random=False))
    def test_the_order_of_members_says_nothing(self, members: list[bytes], random: Any) -> None:
        shuffled = random.sample(members, len(members))
        self.assertEqual(self.choose(b",".join(members)), self.choose(b" , ".join(shuffled)))


class Covering(SynchronousTestCase):
    def covers(
        self, lines: bytes = TEXT, status: int = 200, length: int | None = 5000, **model: Any
    ) -> bool:
        return Rule(Compression(**model), ("gzip",)).covers(status, length, lines)

    def test_texts_and_what_travels_as_text(self) -> None:
        for kind in (
            b"text/html; charset=utf-8", b"TEXT/CSS", b"application/json", b"text/event-stream",
            b"application/problem+json", b"application/atom+xml", b"image/svg+xml",
        ):  # fmt: skip
            self.assertTrue(self.covers(b"X: y\r\ncontent-type:%b\r\n" % kind), kind)
        for kind in (
            b"image/png", b"application/zip", b"text", b"", b"x/text/html", b"text/a/b",
            b"application/jsonp", b"application/octet-stream", b"application/grpc+proto",
        ):  # fmt: skip
            self.assertFalse(self.covers(b"Content-Type: %b\r\n" % kind), kind)

    def test_without_a_type_or_with_two_it_is_left_alone(self) -> None:
        self.assertFalse(self.covers(b"X-Content-Type: text/html\r\n"))
        self.assertFalse(self.covers(TEXT + TEXT))

    def test_types_are_the_operators(self) -> None:
        self.assertTrue(self.covers(b"Content-Type: a/b.c\r\n", types=("a/b.c",)))
        self.assertFalse(self.covers(b"Content-Type: a/bxc\r\n", types=("a/b.c",)))
        self.assertFalse(self.covers(types=()))

    def test_short_ones_are_not_worth_it(self) -> None:
        self.assertFalse(self.covers(length=1023))
        self.assertTrue(self.covers(length=1024))
        self.assertTrue(self.covers(length=None))
        self.assertTrue(self.covers(length=1, min_bytes=0))
        self.assertFalse(self.covers(length=0, min_bytes=0))

    def test_what_has_no_body_or_a_part_of_one(self) -> None:
        for status in (204, 205, 206, 304):
            self.assertFalse(self.covers(status=status))
        for status in (200, 201, 404, 500):
            self.assertTrue(self.covers(status=status))

    def test_nothing_when_no_coding_is_here(self) -> None:
        self.assertFalse(Rule(Compression(), ()).covers(200, None, TEXT))

    def test_what_the_backend_says(self) -> None:
        for line in (
            b"Content-Encoding: gzip",
            b"content-encoding:br",
            b"Content-Range: bytes 0-9/10",
            b"Cache-Control: no-transform",
            b"Cache-Control: max-age=5,No-Transform",
        ):
            self.assertFalse(self.covers(TEXT + line + b"\r\n"), line)
            self.assertFalse(self.covers(line + b"\r\n" + TEXT), line)
        for line in (b"Cache-Control: max-age=5", b"Cache-Control: x-no-transform-y"):
            self.assertTrue(self.covers(TEXT + line + b"\r\n"), line)

    def test_a_client_may_forbid_it_too(self) -> None:
        self.assertTrue(forbids(b"no-cache, no-transform"))
        self.assertFalse(forbids(b"no-cache"))
        self.assertFalse(forbids(None))
