"""Clients that speak HTTP/2: the same requests for backends, and answers in frames."""

import contextlib
import gzip
import json
from collections.abc import Sequence
from typing import Any

from h2.exceptions import ProtocolError
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.http2.raw import GET as PLAIN
from tests.core.wire.http2.raw import POST as SENDING
from tests.core.wire.http2.raw import Field
from tests.core.wire.http2.test_translation import MALFORMED, REFUSED, TUNNEL
from tests.edge.test_tls import TlsTestCase, tls
from tests.support.edge import GET, OK, Client, Rig, get, ok, variant
from tests.support.http2 import Http2Client
from tests.support.secure import secure
from veloflux.core.model.policies import Compression, Mirror, RateLimit
from veloflux.core.model.traffic import Route, Share
from veloflux.core.wire.http2 import frames

HELLO = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0)
BIG = bytes(range(256)) * 4096
TWO = (Share("app"),)


class Http2TestCase(SynchronousTestCase):
    listening: dict[str, Any] = {"h2c": True}

    def make(self, *, client: dict[str, Any] | None = None, **fields: Any) -> None:
        listener = {**self.listening, **fields.pop("listener", {})}
        self.rig = Rig(self, listener=listener, **fields)
        self.backend = self.rig.backends[0]
        self.client = Http2Client(self.connect(), **(client or {}))

    def connect(self) -> Client:
        return self.rig.client()

    def setUp(self) -> None:
        self.make()

    def entry(self, count: int = 1) -> dict[str, Any]:
        """The last line of the log."""
        found: dict[str, Any] = json.loads(self.rig.log_lines(count)[-1])
        return found


class Exchanges(Http2TestCase):
    def test_a_request_and_its_answer(self) -> None:
        number = self.client.ask("/a?b", [("accept", "text/plain"), ("cookie", "a=1")])
        request = self.backend.request()
        self.assertEqual((request.method, request.target), (b"GET", b"/a?b"))
        self.assertEqual(dict(request.fields)[b"accept"], b"text/plain")
        self.backend.answer(ok(b"hello", b"X-Of: backend\r\n"))
        answer = self.client.answer(number)
        self.assertEqual((answer.status, answer.body, answer.is_whole), (200, b"hello", True))
        self.assertEqual(answer.head[b"x-of"], b"backend")
        self.assertEqual(answer.head[b"content-length"], b"5")
        self.assertIn(b"x-request-id", answer.head)
        entry = self.entry()
        self.assertEqual((entry["protocol"], entry["termination"]), ("HTTP/2", "--"))
        self.assertEqual((entry["status"], entry["bytes_out"]), (200, 5))

    def test_via_tells_the_version_that_was_received(self) -> None:
        """RFC 9110 section 7.6.3: of the request, and of the answer"""
        number = self.client.ask("/")
        self.assertEqual(self.backend.request().field(b"via"), b"2.0 veloflux")
        self.backend.answer(OK)
        self.assertEqual(self.client.answer(number).head[b"via"], b"1.1 veloflux")

    def test_the_same_again(self) -> None:
        for _ in range(3):
            number = self.client.ask()
            self.backend.request()
            self.backend.answer(OK)
            self.assertEqual(self.client.answer(number).body, b"ok")
        self.assertEqual(len(self.backend.connections), 1)

    def test_answers_come_in_any_order(self) -> None:
        numbers = [self.client.ask(f"/{n}", flush=False) for n in range(5)]
        self.client.flush()
        self.assertEqual(len(self.backend.connections), 5)
        for connection in reversed(self.backend.connections):
            [request] = connection.requests()
            connection.send(ok(request.target))
        for n, number in enumerate(numbers):
            self.assertEqual(self.client.answer(number).body, b"/%d" % n)
        self.assertEqual(self.rig.inflight, 0)

    def test_answers_without_a_body(self) -> None:
        for method, wire, status in (
            ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", 200),
            ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
            ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
            ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
            ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
        ):
            with variant(f"{method} {status}"):
                number = self.client.ask(method=method)
                self.backend.request()
                self.backend.answer(wire)
                answer = self.client.answer(number)
                self.assertEqual((answer.status, answer.body), (status, b""))
                self.assertTrue(answer.is_whole)
                self.assertIsNone(answer.reset)

    def test_interim_answers_are_passed_on(self) -> None:
        number = self.client.ask()
        self.backend.request()
        self.backend.answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
        answer = self.client.answer(number)
        self.assertEqual((answer.interim, answer.status), ([b"103"], 200))

    def test_an_answer_until_the_connection_closes(self) -> None:
        number = self.client.ask()
        self.backend.request()
        self.backend.answer(b"HTTP/1.1 200 OK\r\n\r\nabc")
        self.assertFalse(self.client.answer(number).is_whole)
        self.backend.connection.send(b"def")
        self.backend.connection.close()
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.is_whole), (b"abcdef", True))

    def test_trailers_both_ways(self) -> None:
        number = self.client.ask(method="POST", lines=[("te", "trailers")], ended=False)
        self.client.send(number, b"hello")
        self.client.h2.send_headers(number, [("x-sum", "1")], end_stream=True)
        self.client.flush()
        request = self.backend.request()
        self.assertEqual((request.body, request.trailers), (b"hello", [(b"x-sum", b"1")]))
        self.backend.answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 2\r\n\r\n"
        )
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.trailers), (b"hi", {b"x-sum": b"2"}))
        self.assertTrue(answer.is_whole)

    def test_what_no_route_takes(self) -> None:
        self.make(routes=(Route("a", path_prefix="/a", pools=TWO),))
        number = self.client.ask()
        answer = self.client.answer(number)
        self.assertEqual((answer.status, answer.is_whole), (404, True))
        self.assertEqual(json.loads(answer.body)["status"], 404)
        number = self.client.ask("/a")
        self.backend.request()
        self.backend.answer(OK)
        self.assertEqual(self.client.answer(number).status, 200)
        self.assertEqual([json.loads(line)["status"] for line in self.rig.log_lines(2)], [404, 200])

    def test_what_the_rules_of_http_1_1_refuse(self) -> None:
        number = self.client.ask("/", [("x-long", "a" * 40_000)])
        self.assertEqual(self.client.answer(number).status, 431)
        number = self.client.ask("/%00")
        self.assertEqual(self.client.answer(number).status, 400)
        self.assertEqual(self.backend.connections, [])

    def test_a_backend_that_cannot_be_reached(self) -> None:
        self.backend.refuses = 111
        number = self.client.ask()
        answer = self.client.answer(number)
        self.assertEqual((answer.status, answer.is_whole), (503, True))
        self.assertIn(b"retry-after", answer.head)

    def test_an_answer_that_breaks_off_is_cut(self) -> None:
        number, other = self.client.ask("/a"), self.client.ask("/b")
        first, second = self.backend.connections
        first.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        first.reset()
        answer = self.client.answer(number)
        self.assertEqual((answer.is_whole, answer.reset), (False, 2))
        second.send(OK)
        self.assertEqual(self.client.answer(other).body, b"ok")

    def test_compression_and_a_copy(self) -> None:
        self.make(
            routes=(
                Route(
                    "all",
                    pools=TWO,
                    compression=Compression(("gzip",)),
                    mirror=Mirror("app"),
                ),
            )
        )
        text = b"hello " * 500
        number = self.client.ask("/", [("accept-encoding", "gzip")])
        original, copy = self.backend.connections
        self.assertNotIn(b"X-Mirrored", original.received)
        self.assertIn(b"X-Mirrored", copy.received)
        original.send(ok(text, b"Content-Type: text/plain\r\n"))
        answer = self.client.answer(number)
        self.assertEqual(answer.head[b"content-encoding"], b"gzip")
        self.assertNotIn(b"content-length", answer.head)
        self.assertEqual(gzip.decompress(answer.body), text)
        copy.send(OK)

    def test_a_limit_of_its_route(self) -> None:
        limit = RateLimit(0.1, 1)
        self.make(routes=(Route("all", pools=TWO, rate_limit=limit),))
        first, second = self.client.ask(), self.client.ask()
        self.backend.request()
        self.backend.answer(OK)
        self.assertEqual(self.client.answer(first).status, 200)
        answer = self.client.answer(second)
        self.assertEqual((answer.status, answer.is_whole), (429, True))
        self.assertIn(b"retry-after", answer.head)

    def test_a_trusted_proxy_names_each_client(self) -> None:
        self.make(listener={"trusted_proxies": ("198.51.100.0/24",)})
        for n in range(2):
            self.client.ask("/", [("x-forwarded-for", f"192.0.2.{n}")])
        for connection in self.backend.connections:
            connection.send(OK)
        lines = map(json.loads, self.rig.log_lines(2))
        self.assertEqual([line["client_ip"] for line in lines], ["192.0.2.0", "192.0.2.1"])


class Uploads(Http2TestCase):
    def test_a_body_of_known_length(self) -> None:
        number = self.client.ask(method="POST", lines=[("content-length", "5")], body=b"hello")
        request = self.backend.request()
        self.assertEqual((request.body, dict(request.fields)[b"content-length"]), (b"hello", b"5"))
        self.backend.answer(OK)
        self.assertTrue(self.client.answer(number).is_whole)
        self.assertEqual(self.entry()["bytes_in"], 5)

    def test_an_end_that_comes_after_all_that_was_announced(self) -> None:
        number = self.client.ask(method="POST", lines=[("content-length", "5")], ended=False)
        self.client.send(number, b"hello")
        self.client.send(number, b"", ended=True)
        self.assertEqual(self.backend.request().body, b"hello")
        self.backend.answer(OK)
        self.assertTrue(self.client.answer(number).is_whole)

    def test_a_big_one_goes_through_the_window(self) -> None:
        for length in (True, False):
            self.make()
            lines = [("content-length", str(len(BIG)))] if length else []
            number = self.client.ask(method="POST", lines=lines, ended=False)
            self.assertEqual(self.client.pour(number, BIG), len(BIG))
            self.client.send(number, b"", ended=True)
            self.assertEqual(self.backend.request().body, BIG)
            self.backend.answer(OK)
            self.assertTrue(self.client.answer(number).is_whole)

    def test_a_backend_that_takes_no_more_holds_the_client_back(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        self.backend.connection.stop_reading()
        first = self.client.pour(number, BIG)
        self.assertLess(first, 256 * 1024)
        # Others are not held back by it.
        other = self.client.ask("/other")
        self.backend.connections[1].send(OK)
        self.assertEqual(self.client.answer(other).body, b"ok")
        self.backend.connections[0].read()
        self.assertEqual(self.client.pour(number, BIG[first:]), len(BIG) - first)
        self.client.send(number, b"", ended=True)
        [request] = self.backend.connections[0].requests()
        self.assertEqual(request.body, BIG)

    def test_what_comes_before_the_backend_is_there_is_kept(self) -> None:
        self.backend.is_silent = True
        number = self.client.ask(method="POST", ended=False)
        self.assertEqual(self.client.pour(number, BIG), 65_536)
        self.backend.accept()
        self.client.flush()
        self.client.pour(number, BIG[65_536:])
        self.client.send(number, b"", ended=True)
        self.assertEqual(self.backend.request().body, BIG)

    def test_one_that_is_too_large(self) -> None:
        self.make(limits={"max_body_bytes": 1000})
        announced = self.client.ask(method="POST", lines=[("content-length", "1001")], ended=False)
        self.assertEqual(self.client.answer(announced).status, 413)
        self.assertEqual(self.backend.connections, [])
        sent = self.client.ask(method="POST", ended=False)
        self.client.send(sent, b"x" * 1001)
        answer = self.client.answer(sent)
        # It is told to stop, without blame.
        self.assertEqual((answer.status, answer.is_whole, answer.reset), (413, True, 0))
        self.assertEqual(self.backend.connection.ending, "reset")
        self.assertEqual(self.rig.errors("body"), 2)
        # The window is not lost with it.
        self.assertGreater(self.client.h2.outbound_flow_control_window, 65_535)

    def test_one_that_comes_too_slowly(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        self.client.send(number, b"x")
        self.rig.wait(31.0)
        self.assertEqual(self.client.answer(number).status, 408)
        self.assertEqual(self.rig.errors("body_timeout"), 1)

    def test_it_waits_for_leave(self) -> None:
        number = self.client.ask(method="POST", lines=[("expect", "100-continue")], ended=False)
        self.backend.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(self.client.answer(number).interim, [b"100"])
        self.client.send(number, b"hello", ended=True)
        self.assertEqual(self.backend.request().body, b"hello")

    def test_an_early_answer_ends_it(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        self.client.send(number, b"hello")
        self.backend.connection.send(OK)
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.is_whole, answer.reset), (b"ok", True, 0))
        self.assertEqual(self.backend.connection.ending, "reset")


class AnyUpload(Http2TestCase):
    @settings(max_examples=30)
    @given(st.lists(st.binary(max_size=3000), max_size=12), st.booleans(), st.booleans())
    def test_any_pieces_are_the_same_body(
        self, pieces: list[bytes], is_counted: bool, ends_apart: bool
    ) -> None:
        self.make()
        body = b"".join(pieces)
        lines = [("content-length", str(len(body)))] if is_counted else []
        number = self.client.ask(method="POST", lines=lines, ended=False)
        for place, piece in enumerate(pieces):
            self.client.send(number, piece, ended=not ends_apart and place == len(pieces) - 1)
        if ends_apart or not pieces:
            self.client.send(number, b"", ended=True)
        self.assertEqual(self.backend.request().body, body)
        self.backend.answer(OK)
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.is_whole), (b"ok", True))


class Downloads(Http2TestCase):
    def test_a_big_one_comes_whole(self) -> None:
        number = self.client.ask()
        self.backend.request()
        self.backend.answer(ok(BIG))
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.is_whole), (BIG, True))

    def test_a_client_with_its_window_shut_holds_the_backend_back(self) -> None:
        """H4"""
        self.make(client={"acknowledges": False})
        number = self.client.ask()
        first = self.backend.connection
        first.send(ok(BIG))
        self.assertEqual(len(self.client.answer(number).body), 65_535)
        self.assertGreater(first.unread, len(BIG) // 2)
        # What is acknowledged lets so much more pass.
        for _ in range(100):
            got = len(self.client.answer(number).body)
            if got == len(BIG):
                break
            self.client.h2.acknowledge_received_data(
                got - self.client.found[number].continued, number
            )
            self.client.found[number].continued = got
            self.client.flush()
        self.assertEqual(self.client.answer(number).body, BIG)
        self.assertTrue(self.client.answer(number).is_whole)

    def test_a_window_that_stays_shut_has_a_deadline(self) -> None:
        """H4, H5"""
        self.make(client={"window": 0})
        long, short = self.client.ask("/long"), self.client.ask("/short")
        first, second = self.backend.connections
        first.send(ok(BIG))
        second.send(OK)
        self.assertEqual(self.client.answer(long).status, 200)
        self.assertEqual(self.client.answer(short).body, b"")
        self.rig.wait(31.0)
        self.assertIsNotNone(self.client.answer(long).reset)
        self.assertIsNotNone(self.client.answer(short).reset)
        self.assertEqual(first.ending, "reset")
        self.assertEqual(self.rig.inflight, 0)
        self.assertEqual(self.entry(2)["termination"], "cD")

    def test_what_shut_windows_can_make_us_keep_is_bounded(self) -> None:
        """H4"""
        self.make(client={"window": 0})
        for n in range(100):
            self.client.ask(f"/{n}", flush=False)
        self.client.flush()
        for connection in self.backend.connections:
            connection.send(ok(BIG))
        kept = sum(len(BIG) - connection.unread for connection in self.backend.connections)
        self.assertLess(kept, 10 * len(BIG))
        self.rig.wait(31.0)
        self.assertEqual(self.rig.inflight, 0)
        self.assertTrue(all(each.ending for each in self.backend.connections))

    def test_a_client_that_takes_no_bytes_is_cut_off(self) -> None:
        """H4"""
        self.make(client={"window": 1 << 30})
        self.client.h2.increment_flow_control_window(1 << 30)
        self.client.flush()
        self.client.end.stop_reading()
        self.client.ask()
        self.backend.connection.send(ok(BIG * 4))
        self.assertGreater(self.backend.connection.unread, 3 * len(BIG))
        self.rig.wait(31.0)
        self.assertIn(self.client.end.ending, ("reset", "closed"))
        self.assertEqual(self.rig.inflight, 0)
        self.assertEqual(self.rig.service.connections, 0)

    def test_a_client_that_asks_on_and_takes_no_answers_is_not_read(self) -> None:
        self.make(client={"window": 1 << 20})
        self.client.end.stop_reading()
        for n in range(100):
            self.client.ask(f"/{n}", flush=False)
        self.client.flush()
        for connection in self.backend.connections:
            connection.send(ok(b"x" * 10_000))
        before = self.client.end.unread
        self.client.h2.ping(b"12345678")
        self.client.flush()
        self.assertGreater(self.client.end.unread, before)
        self.client.end.read()
        self.client.flush()
        self.client.flush()
        self.assertEqual(self.client.pongs, [b"12345678"])
        self.assertTrue(all(found.is_whole for found in self.client.found.values()))

    def test_many_at_once_come_whole(self) -> None:
        numbers = [self.client.ask(f"/{n}", flush=False) for n in range(100)]
        self.client.flush()
        for connection in self.backend.connections:
            [request] = connection.requests()
            connection.send(ok(request.target * 10_000))
        for n, number in enumerate(numbers):
            answer = self.client.answer(number)
            self.assertEqual(answer.body, b"/%d" % n * 10_000)
            self.assertTrue(answer.is_whole)


class Downgrades(Http2TestCase):
    """H7, H8, H2.CL and H2.TE: what HTTP/1.1 would read otherwise, or as two"""

    HIDDEN = b"0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

    def test_a_backend_hears_only_of_what_is_sound(self) -> None:
        """H7, H8: with a body that hides a request, and without; the next request is served"""
        refused = {name: fields for name, (_, fields) in REFUSED.items()}
        for name, fields in {**MALFORMED, **refused}.items():
            if fields is TUNNEL:
                # Here it is offered.
                continue
            for body in (b"", self.HIDDEN):
                with variant(f"{name}, {len(body)} bytes"):
                    self.make()
                    client = self.connect()
                    ended = 0 if body else frames.END_STREAM
                    wire = HELLO + self.head(1, fields, ended)
                    if body:
                        wire += frames.frame(frames.DATA, frames.END_STREAM, 1, body)
                    client.send(wire + self.head(3, PLAIN, frames.END_STREAM))
                    self.check_only_the_next()

    def test_a_length_that_the_frames_do_not_keep(self) -> None:
        """H7, H2.CL: what was sent of it is broken off, and no request goes on behind it"""
        for length in (0, 5, len(self.HIDDEN) - 1, len(self.HIDDEN) + 1):
            with variant(str(length)):
                self.make()
                client = self.connect()
                fields = (*SENDING, (b"content-length", b"%d" % length))
                client.send(HELLO + self.head(1, fields, 0))
                client.send(frames.frame(frames.DATA, frames.END_STREAM, 1, self.HIDDEN))
                for connection in self.backend.connections:
                    self.assertEqual(connection.ending, "reset")
                    self.assertNotIn(b"/hidden", connection.received)
                self.assertEqual(self.rig.inflight, 0)

    @staticmethod
    def head(number: int, fields: Sequence[Field], ended: int) -> bytes:
        """A block that leaves the table as it is, in pieces if it is long."""
        block = bytes(Encoder().encode([(name, value, True) for name, value in fields]))
        first, rest = block[:16_384], block[16_384:]
        wire = frames.frame(frames.HEADERS, ended, number, first)
        for at in range(0, len(rest), 16_384):
            wire += frames.frame(frames.CONTINUATION, 0, number, rest[at : at + 16_384])
        return wire + frames.frame(frames.CONTINUATION, frames.END_HEADERS, number)

    def check_only_the_next(self) -> None:
        request = self.backend.request()
        self.assertEqual((request.method, request.target), (b"GET", b"/"))
        self.assertEqual(request.body, b"")
        [connection] = self.backend.connections
        self.assertEqual(len(connection.requests()), 1)


class Endings(Http2TestCase):
    def test_a_cancelled_request_stops_its_backend(self) -> None:
        number, other = self.client.ask("/a"), self.client.ask("/b")
        first, second = self.backend.connections
        self.client.cancel(number)
        self.assertEqual(first.ending, "reset")
        second.send(OK)
        self.assertEqual(self.client.answer(other).body, b"ok")
        terminations = [json.loads(line)["termination"] for line in self.rig.log_lines(2)]
        self.assertEqual(terminations, ["CH", "--"])

    def test_one_cancelled_amid_its_body_or_answer(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        self.client.send(number, b"hello")
        self.client.cancel(number)
        self.assertEqual(self.backend.connections[0].ending, "reset")
        number = self.client.ask()
        self.backend.connections[1].send(ok(BIG)[:1000])
        self.client.cancel(number)
        self.assertEqual(self.backend.connections[1].ending, "reset")
        terminations = [json.loads(line)["termination"] for line in self.rig.log_lines(2)]
        self.assertEqual(terminations, ["CR", "CD"])
        self.assertEqual(self.rig.inflight, 0)

    def test_a_rapid_reset_ends_the_connection(self) -> None:
        """H1, CVE-2023-44487"""
        for _ in range(150):
            if self.client.end.ending is not None:
                break
            number = self.client.ask(flush=False)
            self.client.h2.reset_stream(number, 8)
        self.client.end.send(self.client.h2.data_to_send())
        self.client.listen()
        self.assertEqual(self.client.goaways[-1][1], 11)
        self.assertEqual(self.rig.errors("flood"), 1)
        self.assertEqual(self.backend.connections, [])
        self.rig.wait(5.0)
        self.assertIsNotNone(self.client.end.ending)
        self.assertEqual(self.rig.service.connections, 0)

    def test_a_rapid_reset_over_time_stops_all_work(self) -> None:
        """H1"""
        for _ in range(150):
            if self.client.goaways:
                break
            self.client.cancel(self.client.ask())
        self.assertEqual(self.client.goaways[-1][1], 11)
        self.assertEqual(self.rig.inflight, 0)
        self.assertTrue(all(each.ending for each in self.backend.connections))

    def test_floods_of_frames_end_the_connection(self) -> None:
        """H5"""
        for name, frame in (
            ("ping", frames.frame(frames.PING, 0, 0, b"12345678")),
            ("settings", frames.frame(frames.SETTINGS, 0, 0)),
            ("stuffed", frames.frame(frames.SETTINGS, 0, 0, b"\0\3\0\0\0\1" * 2000)),
        ):
            with variant(name):
                self.make()
                self.client.end.send(frame * 600)
                self.client.listen()
                self.assertEqual(self.client.goaways[-1][1], 11)
                self.assertEqual(self.rig.errors("flood"), 1)

    def test_the_end_of_a_connection_ends_all_its_requests(self) -> None:
        for how in (Client.close, Client.reset):
            with variant(how.__name__):
                self.make()
                for n in range(3):
                    self.client.ask(f"/{n}")
                end = self.client.end
                assert isinstance(end, Client)
                how(end)
                self.rig.wait(5.0)
                self.assertEqual([each.ending for each in self.backend.connections], ["reset"] * 3)
                self.assertEqual(self.rig.service.connections, 0)
                self.assertEqual(self.rig.inflight, 0)

    def test_a_client_that_has_closed_is_not_waited_for(self) -> None:
        """It would count towards `max_connections` for nothing."""
        for asks in (False, True):
            with variant(f"amid a request: {asks}"):
                self.make()
                if asks:
                    self.client.ask()
                self.client.end.finish()
                self.assertEqual(self.rig.service.connections, 0)

    def test_what_is_no_http2_ends_it(self) -> None:
        """H9"""
        client = self.connect()
        client.send(b"PRI * HTTP/2.0\r\n\r\nXX")
        self.rig.wait(5.0)
        self.assertIsNotNone(client.ending)
        self.assertEqual(self.rig.errors("preface"), 1)

    def test_an_unfinished_head_has_a_deadline(self) -> None:
        for name, wire in (
            ("preface", HELLO[:10]),
            ("block", HELLO + frames.frame(frames.HEADERS, 0, 1, b"\x82")),
        ):
            with variant(name):
                self.make()
                client = self.connect()
                client.send(wire)
                self.rig.wait(9.0)
                self.assertIsNone(client.ending)
                self.rig.wait(5.0)
                self.assertIsNotNone(client.ending)
                self.assertEqual(self.rig.errors("header_timeout"), 1)

    def test_an_idle_connection_is_closed(self) -> None:
        self.rig.wait(50.0)
        # What carries nothing does not keep it.
        self.client.h2.ping(b"12345678")
        self.client.flush()
        self.rig.wait(15.0)
        self.client.listen()
        self.assertEqual(self.client.goaways, [(0, 0)])
        self.assertIsNotNone(self.client.end.ending)
        self.rig.wait(5.0)
        self.assertEqual(self.rig.service.connections, 0)

    def test_a_request_under_way_keeps_it(self) -> None:
        number = self.client.ask()
        self.rig.wait(20.0)
        self.assertIsNone(self.client.end.ending)
        self.backend.connection.send(OK)
        self.assertEqual(self.client.answer(number).body, b"ok")
        self.rig.wait(55.0)
        self.assertIsNone(self.client.end.ending)

    def test_a_draining_worker_serves_what_is_on_its_way(self) -> None:
        number = self.client.ask("/a")
        self.rig.service.drain()
        # It has not heard of it yet.
        late = self.client.ask("/b", flush=False)
        self.client.end.send(self.client.h2.data_to_send())
        self.assertEqual(len(self.backend.connections), 2)
        self.client.flush()
        self.assertEqual(self.client.goaways, [((1 << 31) - 1, 0), (late, 0)])
        self.assertIsNone(self.client.end.ending)
        for connection in self.backend.connections:
            connection.send(OK)
        self.client.flush()
        self.assertEqual([self.client.found[n].body for n in (number, late)], [b"ok", b"ok"])
        self.rig.wait(5.0)
        self.assertIsNotNone(self.client.end.ending)
        self.assertEqual(self.rig.service.connections, 0)

    def test_a_draining_worker_closes_idle_connections(self) -> None:
        silent = self.connect()
        silent.send(HELLO)
        self.rig.service.drain()
        self.client.flush()
        self.assertIsNotNone(self.client.end.ending)
        self.rig.wait(7.0)
        # It never said that it has heard.
        self.assertIsNotNone(silent.ending)
        self.assertEqual(self.rig.service.connections, 0)

    def test_a_draining_worker_waits_for_no_preface(self) -> None:
        late = self.connect()
        late.send(HELLO[:10])
        self.rig.service.drain()
        self.rig.wait(7.0)
        self.assertIsNotNone(late.ending)
        self.assertEqual(self.rig.errors("header_timeout"), 0)

    def test_a_worker_that_goes_now(self) -> None:
        self.client.ask()
        self.rig.service.close()
        self.rig.reactor.turn()
        self.assertEqual(self.client.end.ending, "reset")
        self.assertEqual(self.backend.connection.ending, "reset")


class Knocking(Http2TestCase):
    def test_clear_text_may_be_either_version(self) -> None:
        for wire in (GET, get(b"/x"), b"P" + GET[1:]):
            client = self.rig.client()
            for at in range(len(wire)):
                client.send(wire[at : at + 1])
            if wire.startswith(b"G"):
                self.backend.request()
                self.backend.answer(OK)
                self.assertEqual(client.answer().status, 200)
        self.assertEqual(self.rig.count("veloflux_http_requests_total", "all"), 2)

    def test_byte_by_byte(self) -> None:
        client = self.rig.client()
        h2 = Http2Client(self.rig.client())
        number = h2.ask(flush=False)
        for byte in h2.h2.data_to_send():
            h2.end.send(bytes((byte,)))
        self.backend.request()
        self.backend.answer(OK)
        self.assertEqual(h2.answer(number).body, b"ok")
        client.close()

    def test_a_silent_one_has_a_deadline(self) -> None:
        client = self.rig.client()
        self.rig.wait(11.0)
        self.assertIsNotNone(client.ending)

    def test_only_where_it_is_allowed(self) -> None:
        """H9"""
        rig = Rig(self)
        client = rig.client()
        client.send(HELLO)
        self.assertIn(client.answer().status, (400, 505))

    def test_it_ends_with_the_worker(self) -> None:
        client = self.rig.client()
        self.rig.service.drain()
        self.rig.wait(1.5)
        self.assertIsNotNone(client.ending)


class Secured(Http2TestCase):
    listening: dict[str, Any] = {"tls": tls()}

    def connect(self) -> Client:
        return secure(self.rig, alpn=[b"h2", b"http/1.1"])


class ExchangesOverTls(Secured, Exchanges):
    pass


class UploadsOverTls(Secured, Uploads):
    pass


class DownloadsOverTls(Secured, Downloads):
    pass


class EndingsOverTls(Secured, Endings):
    pass


class UploadsOverStockTransports(Uploads):
    has_stock_transports = True


class DownloadsOverStockTransports(Downloads):
    has_stock_transports = True


class EndingsOverStockTransports(Endings):
    has_stock_transports = True


class OverTls(TlsTestCase):
    def test_what_the_backend_and_the_log_are_told(self) -> None:
        rig = self.rig()
        client = Http2Client(secure(rig, alpn=[b"h2", b"http/1.1"]))
        number = client.ask()
        request = rig.backend.request()
        self.assertEqual(request.field(b"x-forwarded-proto"), b"https")
        rig.backend.answer(OK)
        self.assertTrue(client.answer(number).is_whole)
        [line] = rig.log_lines(1)
        entry = json.loads(line)
        self.assertEqual((entry["protocol"], entry["tls"]["version"]), ("HTTP/2", "TLSv1.3"))

    def test_a_host_that_the_certificate_is_not_for(self) -> None:
        rig = self.rig()
        client = Http2Client(secure(rig, alpn=[b"h2"]))
        self.assertEqual(client.answer(client.ask(authority="other.test")).status, 421)
        number = client.ask()
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer(number).status, 200)


_ACTIONS = ("ask", "upload", "more", "end", "cancel", "begin", "answer", "break", "deaf", "hear")


class Anything(Http2TestCase):
    """X1: whatever both ends do, nothing fails and nothing is left behind."""

    @settings(max_examples=25)
    @given(
        st.lists(
            st.tuples(st.sampled_from((*_ACTIONS, "update", "wait")), st.integers(0, 30)),
            max_size=40,
        ),
        st.sampled_from((None, 0, 10, 1 << 20)),
        st.booleans(),
        st.sampled_from(("close", "reset", "drain", "none")),
    )
    def test_nothing_is_left(
        self, actions: list[tuple[str, int]], window: int | None, acknowledges: bool, end: str
    ) -> None:
        self.make(client={"window": window, "acknowledges": acknowledges}, backends=1)
        client = self.client
        for action, which in actions:
            with contextlib.suppress(ProtocolError, KeyError):
                self.act(action, which)
        if end in ("close", "reset"):
            getattr(client.end, end)()
        elif end == "drain":
            self.rig.service.drain()
        client.end.read()
        self.rig.wait(150.0)
        self.assertEqual(self.rig.inflight, 0)
        self.assertEqual(self.rig.service.connections, 0)

    def act(self, action: str, which: int) -> None:
        client, numbers = self.client, list(self.numbers)
        number = numbers[which % len(numbers)] if numbers else 1
        ends = [each for each in self.backend.connections if each.ending is None]
        if action == "ask":
            self.numbers.append(client.ask(f"/{which}"))
        elif action == "upload":
            self.numbers.append(client.ask(method="POST", ended=False))
        elif action == "more":
            client.pour(number, bytes(which * 5000))
        elif action == "end":
            client.send(number, b"", ended=True)
        elif action == "cancel":
            client.cancel(number)
        elif action == "deaf":
            client.end.stop_reading(which)
        elif action == "hear":
            client.end.read()
            client.flush()
        elif action == "update":
            client.h2.increment_flow_control_window(1 + which * 1000, number)
            client.h2.increment_flow_control_window(1 + which * 1000)
            client.flush()
        elif action == "wait":
            self.rig.wait(which / 10)
        elif ends:
            backend = ends[which % len(ends)]
            if action == "answer":
                backend.send(OK)
            elif action == "begin":
                backend.send(ok(bytes(which * 10_000))[:-1])
            else:
                backend.reset()

    def make(self, **fields: Any) -> None:
        super().make(**fields)
        self.numbers: list[int] = []
