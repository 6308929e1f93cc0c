from dataclasses import replace

import h11
import httptools
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.corpus import answers, heads
from tests.support import messages
from tests.support.oracles import read_by_llhttp
from veloflux.core.model.traffic import Limits
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import END, RequestHead, read_request, read_response
from veloflux.core.wire.target import normalise_host

LIMITS = Limits()


def read_in_pieces(wire: bytes, cuts: list[int], limits: Limits = LIMITS) -> RequestHead | None:
    """As a connection does: what is there, again and again."""
    buffer, seen = b"", 0
    for piece in messages.pieces(wire, cuts):
        buffer += piece
        head = read_request(buffer, limits, None, seen)
        if head is not None:
            return head
        seen = len(buffer)
    return None


def meaning(head: RequestHead | None) -> object:
    """All that a head says."""
    if head is None:
        return None
    fields = head.fields
    said = (fields.length, fields.persistent, fields.expects_continue, fields.upgrade, fields.kept)
    return (head.method, head.path, head.query, head.host, head.authority, head.raw, said)


class Requests(SynchronousTestCase):
    @given(messages.heads(), messages.CUTS)
    def test_pieces_mean_the_same(self, wire: bytes, cuts: list[int]) -> None:
        """Split anywhere, same events"""
        try:
            whole = meaning(read_request(wire, LIMITS, None))
        except ProtocolError:
            self.assertRaises(ProtocolError, read_in_pieces, wire, cuts)
        else:
            self.assertEqual(meaning(read_in_pieces(wire, cuts)), whole)

    def test_pieces_mean_the_same_for_what_is_known_to_be_bad(self) -> None:
        """S1-S10, S20-S22: cut at each place"""
        for table in (
            heads.CL_TE,
            heads.TE_IN_HTTP10,
            heads.LENGTHS,
            heads.FOLDED,
            heads.REQUEST_LINES,
            heads.OTHER_VERSIONS,
            heads.HOSTS,
            heads.PATHS,
        ):
            for name, wire in table:
                if b"\r\n\r\n" not in wire:
                    continue
                end = wire.index(b"\r\n\r\n") + 4
                for cut in range(1, min(end, 300)):
                    with self.assertRaises(ProtocolError, msg=name):
                        read_in_pieces(wire[:end], [cut])

    @given(st.binary(max_size=60), messages.CUTS)
    def test_any_bytes_are_a_head_or_part_of_one_or_refused(
        self, wire: bytes, cuts: list[int]
    ) -> None:
        try:
            head = read_in_pieces(wire, cuts)
        except ProtocolError as problem:
            self.assertIn(problem.status, (400, 414, 417, 431, 501, 505))
            self.assertTrue(problem.kind)
            self.assertTrue(str(problem))
        else:
            self.assertTrue(head is None or wire.startswith(head.raw))

    @given(messages.heads())
    @example(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\t \x80\r\n\r\n")
    @example(b"GET / HTTP/1.0\r\n\r\n")
    def test_h11_takes_what_we_take(self, wire: bytes) -> None:
        """And with the same meaning; it takes more than we do."""
        try:
            head = read_request(wire, LIMITS, None)
        except ProtocolError:
            return
        assert head is not None
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(head.raw)
        event = connection.next_event()
        assert isinstance(event, h11.Request)
        self.assertEqual(event.method, head.method)
        self.assertTrue(head.raw.startswith(head.method + b" " + event.target + b" "))
        self.assertEqual(event.http_version, b"1.1" if head.fields.minor else b"1.0")
        fields = dict(event.headers)
        chunked = b"transfer-encoding" in fields
        length = None if chunked else int(fields.get(b"content-length", 0))
        self.assertEqual(length, head.fields.length)
        if b"host" in fields and not event.target.startswith(b"http"):
            self.assertEqual(normalise_host(fields[b"host"]), (head.host, head.authority))

    @given(messages.heads())
    def test_llhttp_takes_what_we_take(self, wire: bytes) -> None:
        """And with the same framing."""
        try:
            head = read_request(wire, LIMITS, None)
        except ProtocolError:
            return
        assert head is not None
        if head.fields.length is None:
            body, payload = b"5\r\nhello\r\n0\r\n\r\n", b"hello"
        else:
            body = payload = b"x" * head.fields.length
        (request,) = read_by_llhttp(head.raw + body)
        self.assertEqual((request.method, request.body), (head.method, payload))
        self.assertTrue(head.raw.startswith(head.method + b" " + request.target + b" "))

    @given(messages.heads(), messages.heads())
    def test_what_is_remembered_changes_nothing(self, first: bytes, second: bytes) -> None:
        """A head means the same whichever came before it."""
        try:
            last = read_request(first, LIMITS, None)
            expected = meaning(read_request(second, LIMITS, None))
        except ProtocolError:
            return
        self.assertEqual(meaning(read_request(second, LIMITS, last)), expected)
        self.assertEqual(meaning(read_request(first, LIMITS, last)), meaning(last))

    def test_a_remembered_block_is_of_its_version(self) -> None:
        """S5"""
        block = b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        last = read_request(b"GET / HTTP/1.1\r\n" + block, LIMITS, None)
        self.assertRaises(ProtocolError, read_request, b"GET / HTTP/1.0\r\n" + block, LIMITS, last)

    def test_a_head_that_begins_like_the_last_is_another(self) -> None:
        wire = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
        last = read_request(wire, LIMITS, None)
        self.assertIsNone(read_request(wire[:-1], LIMITS, last))
        other = read_request(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n", LIMITS, last)
        assert other is not None
        self.assertEqual(other.path, b"/b")

    def test_sizes_at_their_limits_in_pieces(self) -> None:
        """L1, S20"""
        limits = replace(LIMITS, max_target_bytes=20, max_headers=3, max_header_bytes=60)
        for target, lines, good in (
            (b"/" + b"x" * 19, b"", True),
            (b"/" + b"x" * 20, b"", False),
            (b"/", b"A: b\r\n" * 2, True),
            (b"/", b"A: b\r\n" * 3, False),
            (b"/", b"A: " + b"b" * 46 + b"\r\n", True),
            (b"/", b"A: " + b"b" * 47 + b"\r\n", False),
        ):
            wire = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"
            for cut in range(len(wire) + 1):
                try:
                    head = read_in_pieces(wire, [cut], limits)
                except ProtocolError as problem:
                    self.assertIn(problem.status, (414, 431))
                    self.assertFalse(good, (wire, cut))
                else:
                    self.assertTrue(good and head is not None, (wire, cut))


class Responses(SynchronousTestCase):
    LINES = st.sampled_from(
        (
            b"Content-Length: 5",
            b"Content-Length: 0",
            b"Content-Length: 5, 5",
            b"Content-Length: +5",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Connection: close",
            b"Connection: keep-alive",
            b"Set-Cookie: a=b",
            b"Date: x",
            b"X: y\x00",
            b" folded",
            b"X : y",
        )
    )
    HEADS = st.tuples(
        st.sampled_from((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0")),
        st.sampled_from((b"200 OK", b"204", b"304 ", b"404 Not Found", b"99 x", b"1000", b"600 x")),
        st.lists(st.one_of(LINES, messages.FIELDS), max_size=3),
    ).map(lambda parts: b"\r\n".join((parts[0] + b" " + parts[1], *parts[2])) + b"\r\n\r\n")

    @given(HEADS)
    def test_h11_takes_what_we_take(self, wire: bytes) -> None:
        """S25"""
        try:
            head = read_response(wire, None)
        except ProtocolError as problem:
            self.assertEqual(problem.status, 502)
            return
        assert head is not None
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(head.raw)
        event = connection.next_event()
        assert isinstance(event, h11.Response)
        self.assertEqual(event.status_code, head.status)
        fields = dict(event.headers)
        self.assertEqual(b"transfer-encoding" in fields, head.fields.chunked)
        if not head.fields.chunked:
            length = fields.get(b"content-length")
            self.assertEqual(None if length is None else int(length), head.fields.length)

    @given(HEADS, st.integers(0, 100))
    def test_pieces_mean_the_same(self, wire: bytes, cut: int) -> None:
        """Split anywhere, same events"""
        cut %= len(wire)

        def in_pieces() -> object:
            early = read_response(wire[:cut], None)
            self.assertIsNone(early)
            head = read_response(wire, None, cut)
            assert head is not None
            return (head.status, head.status_line, head.fields.kept, head.raw)

        try:
            whole = read_response(wire, None)
        except ProtocolError:
            self.assertRaises(ProtocolError, in_pieces)
        else:
            assert whole is not None
            expected = (whole.status, whole.status_line, whole.fields.kept, whole.raw)
            self.assertEqual(in_pieces(), expected)

    def test_refuses_what_is_known_to_be_bad(self) -> None:
        """S25"""
        for table in (answers.FRAMING, answers.GRAMMAR, answers.STATUS_LINES):
            for name, wire in table:
                with self.assertRaises(ProtocolError, msg=name):
                    read_response(wire, None)

    def test_httptools_is_no_stricter(self) -> None:
        """S25: what we pass on, a client built on llhttp reads."""
        wire = b"HTTP/1.1 200 \r\nX: \xff\tb\r\nContent-Length: 0\r\n\r\n"
        self.assertIsNotNone(read_response(wire, None))
        httptools.HttpResponseParser(object()).feed_data(wire)


class Counting(bytes):
    """Counts how much of itself is searched for the end of a head."""

    searched = 0

    def find(self, *args: int) -> int:  # type: ignore[override]
        if args[0] == END:
            Counting.searched += len(self) - (args[1] if len(args) > 1 else 0)
        return bytes.find(self, *args)


class CostTests(SynchronousTestCase):
    """(i) no input makes 100 times its own size in work"""

    def test_heads_byte_by_byte_are_looked_at_once(self) -> None:
        """L3, X2"""
        head = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5000
        answer = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 5000
        for wire, read in (
            (head, lambda buffer, seen: read_request(buffer, LIMITS, None, seen)),
            (answer, lambda buffer, seen: read_response(buffer, None, seen)),
        ):
            Counting.searched = 0
            for size in range(1, len(wire)):
                self.assertIsNone(read(Counting(wire[:size]), size - 1))
            self.assertLess(Counting.searched, 10 * len(wire))
