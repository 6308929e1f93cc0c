"""Requests' bodies: what is refused on the way, what reaches the backend, and by when."""

import json

import h11
import httptools
from twisted.trial.unittest import SynchronousTestCase

from tests.corpus import chunks
from tests.support.edge import GET, OK, UPLOAD, Client, Rig, get, ok, variant
from tests.support.oracles import UnfinishedError, read_by_h11, read_by_llhttp


def at_once(client: Client, wire: bytes) -> None:
    """The head and its body together."""
    client.send(wire)


def bytewise(client: Client, wire: bytes) -> None:
    """In small pieces, until there is an answer; a byte each unless that is many."""
    step = 1 if len(wire) < 5000 else 999
    for at in range(0, len(wire), step):
        client.send(wire[at : at + step])
        if client.received:
            return


class Chunked(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig(self)

    def refuse(self, bodies: chunks.Bodies, status: int = 400) -> None:
        """Each body is answered, and the backend's request is broken off before its end."""
        sent = 0
        for name, body in bodies:
            for send in (at_once, bytewise):
                with variant(f"{name}, {send.__name__}"):
                    self.refuse_one(send, UPLOAD + body + GET, status)
                sent += 1
        self.assertEqual(self.rig.errors("chunk"), sent)
        self.assertEqual(self.rig.inflight, 0)
        self.rig.wait(5)
        self.assertEqual(self.rig.reactor.descriptors, 0)
        for entry in self.rig.entries(sent):
            self.assertEqual((entry["status"], entry["termination"]), (status, "PR"), entry)
            self.assertEqual(entry["error"], "chunk")

    def refuse_one(self, send, wire: bytes, status: int) -> None:
        client = self.rig.client()
        send(client, wire)
        answer = client.answer()
        self.assertEqual(answer.status, status)
        self.assertEqual(answer.field(b"connection"), b"close")
        self.assertEqual(json.loads(answer.body)["status"], status)
        self.assertEqual(client.news, b"")
        self.assertIsNotNone(client.ending)
        client.close()
        backend = self.rig.backend.connections.pop()
        self.assertEqual(self.rig.backend.connections, [])
        self.assertEqual(backend.ending, "reset")
        self.assertEqual(backend.received.count(b" HTTP/1.1\r\n"), 1)
        for read, error in (
            (read_by_h11, h11.RemoteProtocolError),
            (read_by_llhttp, httptools.HttpParserError),
        ):
            self.assertRaises((UnfinishedError, error), read, backend.received)

    def test_refuses_odd_sizes(self) -> None:
        """S11"""
        self.refuse(chunks.SIZES)

    def test_refuses_odd_extensions(self) -> None:
        """S12"""
        self.refuse(chunks.EXTENSIONS)

    def test_refuses_odd_ends(self) -> None:
        """S13"""
        self.refuse(chunks.ENDS)

    def test_refuses_odd_trailers(self) -> None:
        """S14"""
        self.refuse(chunks.TRAILERS)

    def test_passes_good_ones_in_one_form(self) -> None:
        """S12: extensions stay here"""
        for name, body in chunks.GOOD:
            for send in (at_once, bytewise):
                with variant(f"{name}, {send.__name__}"):
                    client = self.rig.client()
                    send(client, UPLOAD + body)
                    self.assertEqual(self.rig.backend.request().body, b"hello")
                    after = self.rig.backend.received.rpartition(b"X-Request-ID: ")[2]
                    self.assertNotIn(b";", after)
                    self.rig.backend.answer(OK)
                    self.assertEqual(client.answer().status, 200)
                    client.close()

    def test_passes_trailers_that_change_nothing(self) -> None:
        """S14"""
        client = self.rig.client()
        client.send(UPLOAD + b"0\r\nX-Checksum: 1\r\nServer-Timing: a\r\nX-Checksum: 2\r\n\r\n")
        trailers = self.rig.backend.request().trailers
        self.assertEqual(
            trailers, [(b"x-checksum", b"1"), (b"server-timing", b"a"), (b"x-checksum", b"2")]
        )

    def test_drops_trailers_that_could_change_something(self) -> None:
        """S14"""
        for name in (
            b"Content-Length",
            b"Transfer-Encoding",
            b"Host",
            b"Authorization",
            b"Proxy-Authorization",
            b"Cookie",
            b"Set-Cookie",
            b"Connection",
            b"TE",
            b"Trailer",
            b"Upgrade",
            b"Expect",
            b"Content-Type",
            b"Content-Encoding",
            b"Content-Range",
            b"Max-Forwards",
            b"Forwarded",
            b"X-Forwarded-For",
            b"X-Forwarded-Anything",
            b"X-Real-IP",
            b"X-Request-ID",
            b"Via",
            b"Content_Length",
            b"X_Y",
            b"Cache-Control",
            b"HTTP2-Settings",
            b"If-Match",
            b"If-Modified-Since",
            b"If-None-Match",
            b"If-Range",
            b"If-Unmodified-Since",
            b"Pragma",
            b"Proxy-Authenticate",
            b"Range",
            b"Traceparent",
            b"Tracestate",
        ):
            with variant(name.decode()):
                client = self.rig.client()
                client.send(UPLOAD + b"0\r\nX-A: 1\r\n" + name.upper() + b": 5\r\nX-B: 2\r\n\r\n")
                request = self.rig.backend.request()
                self.assertEqual(request.trailers, [(b"x-a", b"1"), (b"x-b", b"2")])
                self.assertNotIn(b"5", [value for _, value in request.fields])
                client.close()

    def test_a_trailer_that_connection_names_is_for_this_hop(self) -> None:
        """S17: RFC 9110 section 7.6.1 speaks of trailers as of headers"""
        client = self.rig.client()
        head = UPLOAD[:-2] + b"Connection: x-mine, X-Other\r\n\r\n"
        client.send(head + b"0\r\nX-Mine: 1\r\nX-Kept: 2\r\nx-other: 3\r\n\r\n")
        self.assertEqual(self.rig.backend.request().trailers, [(b"x-kept", b"2")])

    def test_what_follows_is_the_next_request(self) -> None:
        """S15"""
        client = self.rig.client()
        client.send(UPLOAD + b"5\r\nhello\r\n0\r\n\r\n" + get(b"/next"))
        self.rig.backend.request()
        self.rig.backend.answer(OK)
        self.assertEqual(self.rig.backend.request().target, b"/next")

    def test_a_body_without_an_end_has_a_deadline(self) -> None:
        """S13: the last empty line does not come."""
        rig = Rig(self, limits={"min_body_rate": 0})
        client = rig.client()
        client.send(UPLOAD + b"5\r\nhello\r\n0\r\n")
        rig.wait(31)
        self.assertEqual(client.answer().status, 408)
        self.assertEqual(client.ending, "finished")
        self.assertEqual(rig.backend.connection.ending, "reset")
        entry = rig.entry()
        self.assertEqual((entry["status"], entry["termination"]), (408, "cR"))

    def test_little_extensions_are_allowed_in_proportion(self) -> None:
        """S12: a sixteenth of the payload, and a little."""
        body = b"".join(b"400;a=%d\r\n%b\r\n" % (n, b"x" * 1024) for n in range(5000))
        client = self.rig.client()
        client.send(UPLOAD + body + b"0\r\n\r\n")
        self.assertEqual(len(self.rig.backend.request().body), 5000 * 1024)

    def test_chunks_of_a_byte_do_not_multiply(self) -> None:
        """S11: (i) no input makes 100 times its own size; what came together goes together."""
        client = self.rig.client()
        client.send(UPLOAD + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
        self.assertEqual(self.rig.backend.request().body, b"x" * 100_000)
        self.assertLess(len(self.rig.backend.received), 110_000)


class Size(SynchronousTestCase):
    """L2: the limit on bodies"""

    def rig(self, limit: int) -> Rig:
        return Rig(self, limits={"max_body_bytes": limit})

    def test_an_announced_length_is_refused_before_it_is_read(self) -> None:
        """L2"""
        rig = self.rig(1000)
        for lines in (b"", b"Expect: 100-continue\r\n"):
            client = rig.client()
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"Content-Length: 1001\r\n\r\n")
            answer = client.answer()
            self.assertEqual((answer.status, answer.interim), (413, []))
            self.assertEqual(answer.field(b"connection"), b"close")
            self.assertEqual(client.ending, "finished")
            client.close()
        self.assertEqual(rig.backend.attempts, 0)
        self.assertEqual(rig.errors("body"), 2)
        self.assertEqual({entry["status"] for entry in rig.entries(2)}, {413})

    def test_a_stream_is_cut_when_it_goes_over(self) -> None:
        """L2: and not tried again"""
        rig = Rig(self, backends=2, limits={"max_body_bytes": 1000})
        client = rig.client()
        client.send(UPLOAD + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        one, other = sorted(rig.backends, key=lambda each: -each.attempts)
        backend = one.connection
        self.assertTrue(backend.received.endswith(b"x" * 1000 + b"\r\n"))
        client.send(b"1\r\nx\r\n0\r\n\r\n")
        self.assertEqual(client.answer().status, 413)
        self.assertEqual(client.ending, "finished")
        self.assertEqual(backend.ending, "reset")
        self.assertEqual((one.attempts, other.attempts), (1, 0))
        self.assertEqual(rig.errors("body"), 1)
        entry = rig.entry()
        self.assertEqual((entry["status"], entry["termination"]), (413, "PR"))
        self.assertEqual(rig.count("veloflux_upstream_requests_total", "none"), 0)

    def test_a_stream_of_the_allowed_size_passes(self) -> None:
        """L2"""
        rig = self.rig(1000)
        for wire in (
            UPLOAD + b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000,
        ):
            client = rig.client()
            client.send(wire)
            self.assertEqual(len(rig.backend.request().body), 1000)
            rig.backend.answer(OK)
            self.assertEqual(client.answer().status, 200)

    def test_none_is_no_limit(self) -> None:
        """L2"""
        rig = self.rig(0)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % 10**15)
        self.assertEqual(rig.backend.attempts, 1)
        client.send(UPLOAD)

    def test_a_huge_chunk_costs_nothing_before_it_comes(self) -> None:
        """S11"""
        rig = self.rig(1000)
        client = rig.client()
        client.send(UPLOAD + b"f" * 15 + b"\r\n")
        client.send(b"x" * 1000)
        self.assertEqual(client.received, b"")
        client.send(b"x")
        self.assertEqual(client.answer().status, 413)


class Expectations(SynchronousTestCase):
    """S16"""

    HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"

    def test_the_backend_gives_leave(self) -> None:
        """S16"""
        rig = Rig(self)
        for value in (b"100-continue", b"100-Continue", b" 100-CONTINUE "):
            client = rig.client()
            client.send(self.HEAD + b"Expect:" + value + b"\r\n\r\n")
            backend = rig.backend.connections[-1]
            self.assertIn(b"\r\nExpect: 100-continue\r\n", backend.received)
            backend.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.assertTrue(client.received.startswith(b"HTTP/1.1 100 Continue\r\n"))
            client.send(b"hello")
            self.assertEqual(backend.requests()[-1].body, b"hello")
            backend.send(OK)
            answer = client.answer()
            self.assertEqual((answer.status, answer.interim), (200, [100]))
            self.assertIsNone(client.ending)

    def test_other_expectations_are_not_met(self) -> None:
        """S16"""
        for lines in (
            b"Expect: nonsense",
            b"Expect:",
            b"Expect: 100-continue, 100-continue",
            b"Expect: 100-continue\r\nExpect: 100-continue",
            b"Expect: 100-continue;x",
            b"Expect: 100",
            b"Expect: y 100-continue",
            b"Expect: 100-continue\x85",
        ):
            rig = Rig(self)
            client = rig.client()
            client.send(self.HEAD + lines + b"\r\n\r\nhello")
            with variant(repr(lines)):
                self.assertEqual(client.answer().status, 417)
                self.assertEqual(client.ending, "finished")
            self.assertEqual(rig.backend.attempts, 0)
            self.assertEqual(rig.errors("expect"), 1)

    def test_http_1_0_knows_none(self) -> None:
        """RFC 9110 section 10.1.1"""
        rig = Rig(self)
        client = rig.client()
        client.send(
            b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
        )
        request = rig.backend.request()
        self.assertEqual((request.body, request.field(b"expect")), (b"hello", None))
        rig.backend.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        self.assertEqual(client.answer().interim, [])

    def test_an_early_answer_ends_it(self) -> None:
        """S16: the body may come or not, so nothing after it could be told from it."""
        rig = Rig(self)
        client = rig.client()
        client.send(self.HEAD + b"Expect: 100-continue\r\n\r\n")
        rig.backend.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        answer = client.answer()
        self.assertEqual((answer.status, answer.field(b"connection")), (403, b"close"))
        self.assertEqual(client.ending, "finished")
        self.assertEqual(rig.backend.connection.ending, "reset")
        client.send(b"hello" + GET)
        self.assertEqual(client.news, b"")
        self.assertEqual(rig.backend.attempts, 1)

    def test_the_body_may_come_without_leave(self) -> None:
        """S16"""
        rig = Rig(self)
        client = rig.client()
        client.send(self.HEAD + b"Expect: 100-continue\r\n\r\nhello")
        self.assertEqual(rig.backend.request().body, b"hello")
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertIsNone(client.ending)

    def test_a_backend_that_says_nothing(self) -> None:
        """S16, X2: it is the backend that is late."""
        rig = Rig(self)
        client = rig.client()
        client.send(self.HEAD + b"Expect: 100-continue\r\n\r\n")
        rig.wait(31)
        self.assertEqual(client.answer().status, 504)

    def test_the_wait_for_leave_is_not_the_clients(self) -> None:
        """S16, L4: its pace counts from when it may begin."""
        rig = Rig(self)
        client = rig.client()
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n"
        )
        rig.wait(24.9)
        rig.backend.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"x")
        rig.wait(4)
        client.send(b"x" * 1999)
        self.assertEqual(len(rig.backend.request().body), 2000)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_another_interim_answer_is_no_leave(self) -> None:
        """S16, X2: the backend's deadline stands."""
        rig = Rig(self)
        client = rig.client()
        client.send(self.HEAD + b"Expect: 100-continue\r\n\r\n")
        rig.wait(20)
        rig.backend.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        rig.wait(11)
        answer = client.answer()
        self.assertEqual((answer.status, answer.interim), (504, [103]))

    def test_a_client_that_has_leave_and_says_nothing(self) -> None:
        """S16, L4"""
        rig = Rig(self)
        client = rig.client()
        client.send(self.HEAD + b"Expect: 100-continue\r\n\r\n")
        rig.wait(1)
        rig.backend.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
        rig.wait(36)
        answer = client.answer()
        self.assertEqual((answer.status, answer.interim), (408, [100]))


class EarlyAnswers(SynchronousTestCase):
    """S16: the final answer before the body's end"""

    def test_it_is_passed_on_and_the_connection_closed(self) -> None:
        """S16"""
        rig = Rig(self)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        rig.backend.answer(ok(b"no thanks"))
        answer = client.answer()
        self.assertEqual(answer.body, b"no thanks")
        self.assertEqual(answer.field(b"connection"), b"close")
        self.assertEqual(client.ending, "finished")
        self.assertEqual(rig.backend.connection.ending, "reset")
        client.send(b"GET /")
        client.send(b" HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(rig.backend.attempts, 1)

    def test_a_long_one_goes_on_beside_the_body(self) -> None:
        """S16"""
        rig = Rig(self)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        rig.backend.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        client.send(b"world")
        self.assertEqual(rig.backend.request().body, b"helloworld")
        rig.backend.answer(b"cd")
        self.assertEqual(client.answer().body, b"abcd")
        self.assertEqual(client.ending, "closed")
        self.assertEqual(rig.entry()["termination"], "--")

    def test_what_is_left_of_a_body_is_not_kept(self) -> None:
        """S15, S16: the backend may read it, or take it for the next request."""
        rig = Rig(self)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n")
        rig.backend.connection.stop_reading(100)
        client.send(b"x" * 50_000)
        rig.backend.answer(ok(b"early"))
        self.assertEqual(client.answer().body, b"early")
        self.assertEqual(rig.backend.connection.ending, "reset")
        client.send(GET)
        self.assertEqual(rig.backend.attempts, 2)

    def test_a_client_that_sends_on_for_ever_is_cut_off(self) -> None:
        """S16, L4"""
        rig = Rig(self)
        client = rig.client()
        client.send(UPLOAD)
        rig.backend.answer(ok(b""))
        self.assertEqual(client.answer().status, 200)
        for _ in range(20):
            client.send(b"x" * 60_000)
        self.assertEqual(client.ending, "reset")

    def test_a_client_that_lingers_is_cut_off(self) -> None:
        """S16, L4"""
        rig = Rig(self)
        client = rig.client()
        client.send(UPLOAD)
        rig.backend.answer(ok(b""))
        for _ in range(10):
            rig.wait(0.5)
            client.send(b"x")
        self.assertIn(client.ending, ("closed", "reset"))
