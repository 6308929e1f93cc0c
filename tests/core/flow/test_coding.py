"""What a compressed answer says of itself."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.flow import coding, exchange
from veloflux.core.model.policies import Compression
from veloflux.core.model.traffic import Limits
from veloflux.core.policy.compression import IDENTITY, Rule
from veloflux.core.wire.grammar import FIELDS
from veloflux.core.wire.http1 import RequestHead, ResponseHead, read_request, read_response

RULE = Rule(Compression(min_bytes=1), ("gzip",))


def request(lines: bytes = b"Accept-Encoding: gzip\r\n", version: bytes = b"1.1") -> RequestHead:
    head = read_request(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, lines), Limits(), None)
    assert head is not None
    return head


def answer(lines: bytes = b"Content-Type: text/plain\r\nContent-Length: 5\r\n") -> ResponseHead:
    head = read_response(b"HTTP/1.1 200 OK\r\n%b\r\n" % lines, None)
    assert head is not None
    return head


class Judging(SynchronousTestCase):
    def test_compresses_for_who_asks(self) -> None:
        self.assertEqual(coding.judge(RULE, request(), answer()), b"gzip")

    def test_others_get_it_as_it_is(self) -> None:
        for asks in (
            request(b""),
            request(version=b"1.0"),
            request(b"Accept-Encoding: gzip;q=0\r\n"),
            request(b"Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n"),
        ):
            self.assertEqual(coding.judge(RULE, asks, answer()), IDENTITY)

    def test_lines_of_one_field_are_one_list(self) -> None:
        asks = request(b"Accept-Encoding: gzip\r\nAccept-Encoding: gzip;q=0\r\n")
        self.assertEqual(coding.judge(RULE, asks, answer()), IDENTITY)

    def test_what_is_never_compressed(self) -> None:
        self.assertIsNone(coding.judge(RULE, request(), answer(b"Content-Type: image/png\r\n")))


class Framing(SynchronousTestCase):
    def test_its_length_is_not_known_before_its_end(self) -> None:
        relayed = coding.recoded(exchange.relay(answer(), b"GET", 1))
        self.assertEqual(relayed.framing, b"Transfer-Encoding: chunked\r\n")
        self.assertTrue(relayed.chunked)
        self.assertFalse(relayed.until_close)

    def test_head_says_no_length(self) -> None:
        relayed = coding.recoded(exchange.relay(answer(), b"HEAD", 1))
        self.assertEqual((relayed.framing, relayed.body), (b"", None))


class Describing(SynchronousTestCase):
    def test_what_is_no_longer_so_goes(self) -> None:
        lines = (
            b"Accept-Ranges: bytes\r\nX: y\r\nDigest: a\r\ncontent-md5: b\r\nContent-Digest: c\r\n"
            b"Repr-Digest: d\r\n"
        )
        self.assertEqual(
            coding.described(lines, b"gzip"),
            b"X: y\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n",
        )

    def test_tags_become_weak(self) -> None:
        for tag, weak in (
            (b'"a"', b'ETag: W/"a"\r\n'),
            (b'W/"a"', b'ETag: W/"a"\r\n'),
            (b"a", b""),
            (b"W/a", b""),
        ):
            lines = coding.described(b"ETag: %b\r\n" % tag, b"gzip")
            self.assertEqual(lines.partition(b"Content-Encoding")[0], weak)

    def test_what_goes_as_it_is_only_varies(self) -> None:
        lines = b'ETag: "a"\r\nAccept-Ranges: bytes\r\n'
        self.assertEqual(coding.described(lines, IDENTITY), lines + b"Vary: Accept-Encoding\r\n")

    def test_says_once_that_it_varies(self) -> None:
        for said in (b"*", b"Accept-Encoding", b"Origin, accept-ENCODING", b"a,\t* "):
            lines = b"vary: %b\r\n" % said
            self.assertEqual(coding.described(lines, IDENTITY), lines)
        lines = b"Vary: Origin\r\nVary: X-Accept-Encoding\r\n"
        self.assertEqual(coding.described(lines, IDENTITY), lines + b"Vary: Accept-Encoding\r\n")

    def test_trailers_lose_their_digests(self) -> None:
        self.assertEqual(coding.trailers(b"Content-Digest: a\r\nX: y\r\n"), b"X: y\r\n")
        self.assertEqual(coding.trailers(b""), b"")

    @given(
        st.lists(
            st.tuples(
                st.sampled_from((b"ETag", b"Vary", b"Digest", b"X", b"Content-Encoding")),
                st.sampled_from(
                    (b"", b'"', b'"a"', b"W/", b"*", b",", b"\xff", b"Accept-Encoding")
                ),
            ).map(lambda field: field[0] + b":" + field[1] + b"\r\n"),
            max_size=8,
        ).map(b"".join),
        st.sampled_from((IDENTITY, b"gzip")),
    )
    def test_lines_stay_lines_and_once_is_enough(self, lines: bytes, chosen: bytes) -> None:
        described = coding.described(lines, chosen)
        self.assertIsNotNone(FIELDS.fullmatch(b"\n" + described + b"\r\n"))
        again = coding.described(described, chosen)
        self.assertEqual(sorted(again.split(b"\r\n")), sorted(described.split(b"\r\n")))
        if chosen:
            self.assertEqual(described.count(b"Content-Encoding:"), 1)
