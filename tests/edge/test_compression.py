"""Answers compressed on their way: the bytes that come out are the bytes that went in."""

import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.content import blocks
from tests.support.edge import GET, Rig, get, variant
from tests.support.oracles import Response
from veloflux.core.model.policies import Coding, Compression
from veloflux.core.model.traffic import HeaderEdits, Route, Share
from veloflux.edge.compression import presses

TEXT = b"Content-Type: text/plain\r\n"
BODY = b"All work and no play makes Jack a dull boy.\n" * 200
ASKING = get(lines=b"Accept-Encoding: gzip\r\n")
BROWSER = get(lines=b"Accept-Encoding: gzip, deflate, br, zstd\r\n")


def rig(
    case: SynchronousTestCase,
    codings: tuple[Coding, ...] = ("zstd", "gzip"),
    edits: HeaderEdits = HeaderEdits(),  # noqa: B008  it is frozen
) -> Rig:
    compression = Compression(codings)
    route = Route("all", pools=(Share("app"),), compression=compression, response_headers=edits)
    return Rig(case, routes=(route,))


def counted(body: bytes, lines: bytes = TEXT) -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (lines, len(body), body)


def in_chunks(*pieces: bytes, lines: bytes = TEXT, trailers: bytes = b"") -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % lines
    return head + chunks + b"0\r\n%b\r\n" % trailers


def plain(answer: Response) -> bytes:
    """The body of an answer, decompressed; fails when it is not whole."""
    coding = answer.field(b"content-encoding")
    if coding == b"gzip":
        stream = zlib.decompressobj(31)
        body = stream.decompress(answer.body)
        assert stream.eof
        assert not stream.unused_data
        return body
    if coding == b"zstd":
        unpacking = zstandard.ZstdDecompressor().decompressobj()
        body = unpacking.decompress(answer.body)
        assert unpacking.eof
        return body
    assert coding is None, coding
    return answer.body


class Bodies(SynchronousTestCase):
    """What comes out is what went in."""

    def test_for_who_asks(self) -> None:
        each = rig(self)
        for asking, coding in ((ASKING, b"gzip"), (BROWSER, b"zstd")):
            for wire in (counted(BODY), in_chunks(BODY), in_chunks(BODY[:9], BODY[9:])):
                client = each.client()
                client.send(asking)
                each.backend.request()
                each.backend.answer(wire)
                answer = client.answer()
                self.assertEqual(answer.field(b"content-encoding"), coding)
                self.assertEqual(answer.field(b"vary"), b"Accept-Encoding")
                self.assertIsNone(answer.field(b"content-length"))
                self.assertEqual(plain(answer), BODY)
                self.assertLess(len(answer.body), len(BODY) // 10)
                self.assertIsNone(client.ending)
                client.close()
        # The backend's connection was kept all the while.
        self.assertEqual(each.backend.attempts, 1)

    def test_until_the_backend_closes(self) -> None:
        """S25: what ends well ends well in chunks."""
        each = rig(self)
        client = each.client()
        client.send(ASKING)
        each.backend.answer(b"HTTP/1.1 200 OK\r\n%b\r\n" % TEXT)
        for at in range(0, len(BODY), 1000):
            each.backend.answer(BODY[at : at + 1000])
        each.backend.connection.finish()
        self.assertEqual(plain(client.answer()), BODY)
        self.assertIsNone(client.ending)

    def test_who_does_not_ask_gets_it_as_it_is(self) -> None:
        each = rig(self)
        for asking in (GET, get(lines=b"Accept-Encoding: gzip;q=0\r\n")):
            client = each.client()
            client.send(asking)
            each.backend.answer(counted(BODY, TEXT + b'ETag: "a"\r\nAccept-Ranges: bytes\r\n'))
            answer = client.answer()
            self.assertEqual(answer.body, BODY)
            self.assertEqual(answer.field(b"content-length"), b"%d" % len(BODY))
            self.assertEqual(answer.field(b"etag"), b'"a"')
            self.assertEqual(answer.field(b"accept-ranges"), b"bytes")
            self.assertEqual(answer.field(b"vary"), b"Accept-Encoding")
            client.close()

    def test_what_is_never_compressed_does_not_vary(self) -> None:
        each = rig(self)
        client = each.client()
        for wire in (
            counted(BODY, b"Content-Type: image/png\r\n"),
            counted(BODY[:100]),
            counted(BODY, TEXT + b"Content-Encoding: br\r\n"),
            counted(BODY, TEXT + b"Cache-Control: no-transform\r\n"),
        ):
            client.send(ASKING)
            each.backend.answer(wire)
            answer = client.answer()
            self.assertIn(answer.body, (BODY, BODY[:100]))
            self.assertIsNone(answer.field(b"vary"))

    def test_http_1_0_gets_it_as_it_is(self) -> None:
        each = rig(self)
        client = each.client()
        client.send(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        each.backend.answer(in_chunks(BODY))
        answer = client.answer()
        self.assertEqual((answer.body, answer.field(b"content-encoding")), (BODY, None))

    def test_head_says_what_get_would(self) -> None:
        each = rig(self)
        client = each.client()
        lines = TEXT + b'ETag: "a"\r\nAccept-Ranges: bytes\r\n'
        client.send(ASKING.replace(b"GET", b"HEAD", 1))
        each.backend.answer(counted(BODY, lines).removesuffix(BODY))
        head = client.answer(b"HEAD")
        client.send(ASKING)
        each.backend.answer(counted(BODY, lines))
        answer = client.answer()
        for name in (b"content-encoding", b"etag", b"vary", b"content-length", b"accept-ranges"):
            self.assertEqual(head.field(name), answer.field(name), name)
        self.assertEqual(answer.field(b"etag"), b'W/"a"')
        self.assertEqual((head.body, plain(answer)), (b"", BODY))

    def test_an_answer_without_a_body(self) -> None:
        each = rig(self)
        client = each.client()
        for wire in (
            counted(b""),
            b"HTTP/1.1 304 Not Modified\r\n%bContent-Length: 5000\r\n\r\n" % TEXT,
            b"HTTP/1.1 204 No Content\r\n%b\r\n" % TEXT,
        ):
            client.send(ASKING)
            each.backend.answer(wire)
            answer = client.answer()
            self.assertEqual((answer.body, answer.field(b"content-encoding")), (b"", None))
        client.send(ASKING)
        each.backend.answer(in_chunks())
        self.assertEqual(plain(client.answer()), b"")

    def test_trailers_come_after_it(self) -> None:
        """S14"""
        each = rig(self)
        client = each.client()
        client.send(ASKING)
        each.backend.answer(in_chunks(BODY, trailers=b"Content-Digest: a\r\nX-Sum: 5\r\n"))
        answer = client.answer()
        self.assertEqual(answer.trailers, [(b"x-sum", b"5")])
        self.assertEqual(plain(answer), BODY)

    def test_edits_do_not_undo_it(self) -> None:
        edits = HeaderEdits(set=(("Vary", "Origin"), ("ETag", '"mine"')))
        each = rig(self, edits=edits)
        client = each.client()
        client.send(ASKING)
        each.backend.answer(counted(BODY))
        answer = client.answer()
        vary = [value for name, value in answer.fields if name == b"vary"]
        self.assertEqual(vary, [b"Origin", b"Accept-Encoding"])
        self.assertEqual(answer.field(b"etag"), b'W/"mine"')
        self.assertEqual(plain(answer), BODY)

    def test_the_next_answer_is_not_the_one_before(self) -> None:
        """A head that comes again is not asked about again, but for who asks."""
        each = rig(self)
        client = each.client()
        for asking, coding in ((ASKING, b"gzip"), (GET, None), (BROWSER, b"zstd"), (GET, None)) * 2:
            client.send(asking)
            each.backend.answer(counted(BODY))
            answer = client.answer()
            self.assertEqual(answer.field(b"content-encoding"), coding)
            self.assertEqual(plain(answer), BODY)

    def test_the_log_counts_what_was_sent(self) -> None:
        each = rig(self)
        client = each.client()
        client.send(ASKING)
        each.backend.answer(counted(BODY))
        self.assertEqual(each.entry()["bytes_out"], len(client.answer().body))

    @settings(max_examples=30)
    @given(
        st.lists(st.binary(max_size=3000), max_size=6),
        st.lists(st.integers(0, 20_000), max_size=6),
        st.sampled_from((ASKING, BROWSER)),
        st.booleans(),
    )
    def test_split_anywhere(
        self, pieces: list[bytes], cuts: list[int], asking: bytes, is_counted: bool
    ) -> None:
        body = b"".join(pieces) + BODY
        wire = counted(body) if is_counted else in_chunks(*filter(None, pieces), BODY)
        each = rig(self)
        client = each.client()
        client.send(asking)
        at = 0
        for cut in [*sorted(cut for cut in cuts if cut < len(wire)), len(wire)]:
            each.backend.connection.send(wire[at:cut])
            at = cut
        answer = client.answer()
        self.assertIsNotNone(answer.field(b"content-encoding"))
        self.assertEqual(plain(answer), body)


class Streams(SynchronousTestCase):
    """What has come goes on at once, and only as fast as the client takes it."""

    def stream(self, each: Rig, asking: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
        """The head of an answer, and what decompresses the chunks after it."""
        client = each.client()
        client.send(asking)
        kind = b"Content-Type: text/event-stream\r\n"
        each.backend.answer(b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % kind)
        head = client.received
        unpacking = (
            zlib.decompressobj(31)
            if b"\r\nContent-Encoding: gzip\r\n" in head
            else zstandard.ZstdDecompressor().decompressobj()
        )
        seen = len(head)

        def event(data: bytes) -> bytes:
            nonlocal seen
            each.backend.answer(b"%x\r\n%b\r\n" % (len(data), data))
            news = client.received[seen:]
            seen += len(news)
            size, _, chunk = news.partition(b"\r\n")
            assert len(chunk) == int(size, 16) + 2, news
            return unpacking.decompress(chunk[:-2])

        return head, event

    def test_events_are_not_held_back(self) -> None:
        """An event may be the last for an hour."""
        for asking in (ASKING, BROWSER):
            with variant(asking.decode()):
                head, event = self.stream(rig(self), asking)
                self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", head)
                for data in (b"data: 1\n\n", b"data: 2\n\n", b"x" * 5000, b"data: 1\n\n"):
                    self.assertEqual(event(data), data)

    def test_the_head_does_not_wait_for_the_body(self) -> None:
        head, _ = self.stream(rig(self), ASKING)
        self.assertTrue(head.endswith(b"\r\n\r\n"))

    def test_a_slow_reader_holds_the_backend_back(self) -> None:
        """L5: what is compressed is not kept here either."""
        each = rig(self)
        client = each.client()
        client.send(ASKING)
        client.stop_reading(1000)
        backend = each.backend.connection
        # Of which nothing is made smaller.
        body = b"".join(blocks(4_000_000))
        backend.send(counted(body))
        self.assertGreater(backend.unread, 3_000_000)
        client.read()
        self.assertEqual(backend.unread, 0)
        self.assertEqual(plain(client.answer()), body)

    def test_a_reader_that_stands_still_is_cut(self) -> None:
        """L5"""
        each = rig(self)
        client = each.client()
        client.send(ASKING)
        client.stop_reading(1000)
        backend = each.backend.connection
        backend.send(counted(b"".join(blocks(4_000_000))))
        each.wait(31)
        self.assertEqual((client.ending, backend.ending), ("reset", "reset"))
        self.assertEqual(each.inflight, 0)

    def test_a_client_that_goes_takes_the_backend_with_it(self) -> None:
        """X4: and nothing is compressed for nobody."""
        each = rig(self)
        client = each.client()
        client.send(ASKING)
        each.backend.answer(counted(BODY)[:-5])
        client.reset()
        self.assertEqual(each.backend.connection.ending, "reset")
        self.assertEqual(each.inflight, 0)
        self.assertEqual(each.entry()["termination"], "CD")

    def test_a_body_that_breaks_off_does_not_end_well(self) -> None:
        """S25: never pretend success."""
        for wire in (counted(BODY)[:-5], in_chunks(BODY)[:-5]):
            each = rig(self)
            client = each.client()
            client.send(ASKING)
            each.backend.answer(wire)
            each.backend.connection.close()
            self.assertEqual(client.ending, "reset")
            self.assertNotIn(b"0\r\n\r\n", client.received[-5:])

    def test_chunks_that_break_off_do_not_end_well(self) -> None:
        """S25"""
        each = rig(self)
        client = each.client()
        client.send(ASKING)
        each.backend.answer(in_chunks(BODY).removesuffix(b"0\r\n\r\n") + b"x\r\n")
        self.assertEqual(client.answer().status, 502)


class Libraries(SynchronousTestCase):
    """zstd needs one that may not be there."""

    @contextmanager
    def without(self) -> Iterator[None]:
        """It is not installed."""
        presses.cache_clear()
        try:
            with mock.patch.dict(sys.modules, {"zstandard": None}):
                yield
        finally:
            presses.cache_clear()

    def test_without_zstandard_there_is_gzip(self) -> None:
        self.assertEqual(set(presses()), {b"gzip", b"zstd"})
        with self.without():
            self.assertEqual(set(presses()), {b"gzip"})
            each = rig(self)
        client = each.client()
        client.send(BROWSER)
        each.backend.answer(counted(BODY))
        answer = client.answer()
        self.assertEqual(answer.field(b"content-encoding"), b"gzip")
        self.assertEqual(plain(answer), BODY)

    def test_when_none_of_the_codings_is_there_all_goes_as_it_is(self) -> None:
        with self.without():
            each = rig(self, ("zstd",))
        client = each.client()
        client.send(BROWSER)
        each.backend.answer(counted(BODY))
        answer = client.answer()
        self.assertEqual((answer.body, answer.field(b"vary")), (BODY, None))

    def test_any_length_announced_before_gives_the_same_back(self) -> None:
        for length in (None, 1, 200, 255, 256, 257, 5000, 8192, 100_000):
            press = presses()[b"gzip"](length)
            body = b"".join(blocks(length or 70_000))
            found = press.squeeze(body[:100], False) + press.squeeze(body[100:], True)
            self.assertEqual(zlib.decompress(found, 31), body)
