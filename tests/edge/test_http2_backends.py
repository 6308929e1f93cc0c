"""Backends that speak HTTP/2, for clients of either version."""

import contextlib
import json
from dataclasses import replace
from typing import Any

from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.edge.test_http2 import BIG
from tests.support.authority import issued
from tests.support.edge import GET, POST, UPLOAD, Rig, get, variant
from tests.support.http2 import Http2Backend, Http2Client
from tests.support.secure import BackendsOverTls, SecureBackend
from veloflux.core.model.policies import Mirror
from veloflux.core.model.resilience import Retries
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.core.model.traffic import Keepalive, Pool, Route, Share, Timeouts
from veloflux.core.wire.http2 import frames

REFUSED = 7


class BackendsTestCase(SynchronousTestCase):
    def make(self, *, backends: int = 1, **fields: Any) -> None:
        pool = {"protocol": "h2", **fields.pop("pool", {})}
        listener = {"h2c": True, **fields.pop("listener", {})}
        self.rig = Rig(self, backends=backends, pool=pool, listener=listener, **fields)

    def setUp(self) -> None:
        self.make()

    def backend(self, place: int = 0, connection: int = -1, **fields: Any) -> Http2Backend:
        """The other end of a connection to a backend."""
        return Http2Backend(self.rig.backends[place].connections[connection], **fields)

    def places(self) -> tuple[int, int]:
        """Of two backends, the one that was asked, and the other."""
        first = 0 if self.rig.backends[0].connections else 1
        return first, 1 - first

    def entry(self, count: int = 1) -> dict[str, Any]:
        """The last line of the log."""
        found: dict[str, Any] = json.loads(self.rig.log_lines(count)[-1])
        return found


class FromHttp1(BackendsTestCase):
    def test_a_request_and_its_answer(self) -> None:
        client = self.rig.client()
        client.send(get(b"/a?b", b"Cookie: a=1\r\nConnection: x, TE\r\nX: y\r\nTE: trailers\r\n"))
        backend = self.backend()
        request = backend.request()
        self.assertEqual(
            [request[name] for name in (b":method", b":scheme", b":authority", b":path")],
            [b"GET", b"http", b"example.org", b"/a?b"],
        )
        self.assertEqual((request[b"cookie"], request[b"te"]), (b"a=1", b"trailers"))
        self.assertIn(b"x-request-id", request.fields)
        for name in (b"host", b"connection", b"x"):
            self.assertNotIn(name, request.fields)
        self.assertTrue(request.is_whole)
        backend.answer(request.number, b"hello", [("x-of", "backend"), ("content-length", "5")])
        answer = client.answer()
        self.assertEqual((answer.status, answer.body), (200, b"hello"))
        self.assertIn((b"x-of", b"backend"), answer.fields)
        self.assertEqual(request[b"via"], b"1.1 veloflux")
        self.assertEqual(answer.field(b"via"), b"2.0 veloflux")
        self.assertIn((b"content-length", b"5"), answer.fields)
        entry = self.entry()
        self.assertEqual((entry["status"], entry["bytes_out"]), (200, 5))
        self.assertEqual((entry["termination"], entry["backend"]), ("--", "10.0.0.1:80"))
        self.assertEqual(self.rig.inflight, 0)

    def test_a_body_that_came_before_its_turn_has_to_wait_for_a_slow_backend(self) -> None:
        one = BackendModel(Rig.FIRST, max_connections=1)
        self.make(pools=(Pool("app", (one,), protocol="h2"),))
        first = self.rig.client()
        first.send(GET)
        backend = self.backend(
            settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000}, acknowledges=False
        )
        number = backend.request().number
        client = self.rig.client()
        client.queue(
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n" + bytes(4000000)
        )
        self.rig.reactor.turn()
        backend.answer(number, b"ok")
        self.rig.wait(0.1)
        self.assertEqual(len(backend.requests), 2)
        self.assertGreater(client.unread, 3_500_000)

    def test_many_share_a_connection(self) -> None:
        clients = [self.rig.client() for _ in range(5)]
        for n, client in enumerate(clients):
            client.send(get(b"/%d" % n))
        self.assertEqual(len(self.rig.backends[0].connections), 1)
        backend = self.backend()
        requests = [backend.request() for _ in clients]
        for request in reversed(requests):
            backend.answer(request.number, request[b":path"])
        for n, client in enumerate(clients):
            self.assertEqual(client.answer().body, b"/%d" % n)

    def test_who_left_meanwhile_needs_no_connection(self) -> None:
        [one] = self.rig.backends
        one.is_silent = True
        for _ in range(250):
            client = self.rig.client()
            client.send(GET)
            client.close()
        client = self.rig.client()
        client.send(GET)
        self.assertEqual(one.attempts, 1)
        one.accept()
        backend = self.backend()
        backend.answer(backend.request().number, b"ok")
        self.assertEqual(client.answer().body, b"ok")
        self.assertEqual(len(backend.requests), 1)

    def test_the_same_again_is_the_same_block(self) -> None:
        client = self.rig.client()
        backend = None
        for _ in range(3):
            client.send(GET)
            backend = backend or self.backend()
            backend.answer(backend.request().number, b"ok", [("content-length", "2")])
            self.assertEqual(client.answer().body, b"ok")
        self.assertEqual(len(self.rig.backends[0].connections), 1)

    def test_answers_of_every_shape(self) -> None:
        for method, lines, body, ended, expected in (
            (b"GET", [], b"", True, b""),
            (b"GET", [], b"abc", True, b"abc"),
            (b"GET", [("content-length", "3")], b"abc", True, b"abc"),
            (b"GET", [("content-length", "0")], b"", True, b""),
            (b"HEAD", [("content-length", "3")], b"", True, b""),
        ):
            with variant(f"{method!r} {lines} {body!r}"):
                self.make()
                client = self.rig.client()
                client.send(GET.replace(b"GET", method, 1))
                backend = self.backend()
                backend.answer(backend.request().number, body, lines, ended=ended)
                answer = client.answer(method)
                self.assertEqual((answer.status, answer.body), (200, expected))
                self.assertEqual(self.rig.inflight, 0)
                # And the connection of both is good for more.
                client.send(GET)
                backend.answer(backend.request().number, b"ok")
                self.assertEqual(client.answer().body, b"ok")

    def test_no_content(self) -> None:
        for status in (204, 304):
            self.make()
            client = self.rig.client()
            client.send(GET)
            backend = self.backend()
            backend.answer(backend.request().number, status=status)
            self.assertEqual(client.answer().status, status)

    def test_an_answer_in_pieces_with_trailers(self) -> None:
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        number = backend.request().number
        backend.answer(number, b"ab", ended=False)
        backend.send(number, b"cd")
        self.assertIn(b"2\r\nab\r\n2\r\ncd\r\n", client.received)
        backend.h2.send_headers(number, [("x-sum", "1")], end_stream=True)
        backend.flush()
        answer = client.answer()
        self.assertEqual((answer.body, answer.trailers), (b"abcd", [(b"x-sum", b"1")]))

    def test_interim_answers(self) -> None:
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        number = backend.request().number
        backend.h2.send_headers(number, [(":status", "103"), ("link", "</a>")])
        backend.answer(number, b"ok")
        self.assertIn(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n", client.received)

    def test_interim_answers_without_end(self) -> None:
        """S25"""
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        number = backend.request().number
        for _ in range(17):
            backend.h2.send_headers(number, [(":status", "103")])
        backend.flush()
        self.assertIn(b"HTTP/1.1 502 ", client.received)
        self.assertEqual(backend.requests[number].reset, 8)

    def test_bodies_of_either_kind(self) -> None:
        client = self.rig.client()
        client.send(POST)
        backend = self.backend()
        request = backend.request()
        self.assertEqual((request.body, request[b"content-length"]), (b"hello", b"5"))
        self.assertTrue(request.is_whole)
        backend.answer(request.number, b"ok")
        client.answer()
        client.send(UPLOAD + b"2\r\nab\r\n")
        request = backend.request()
        self.assertEqual((request.body, request.is_whole), (b"ab", False))
        self.assertNotIn(b"transfer-encoding", request.fields)
        client.send(b"1\r\nc\r\n0\r\nX-Sum: 1\r\n\r\n")
        backend.flush()
        self.assertEqual((request.body, request.is_whole), (b"abc", True))
        self.assertEqual(request.trailers, [(b"x-sum", b"1")])
        backend.answer(request.number, b"ok")
        self.assertEqual(client.answer().body, b"ok")

    def test_it_waits_for_leave(self) -> None:
        client = self.rig.client()
        client.send(POST.replace(b"\r\n\r\nhello", b"\r\nExpect: 100-continue\r\n\r\n"))
        backend = self.backend()
        number = backend.request().number
        self.assertEqual(client.received, b"")
        backend.h2.send_headers(number, [(":status", "100")])
        backend.flush()
        self.assertTrue(client.received.startswith(b"HTTP/1.1 100 Continue\r\n"))
        client.send(b"hello")
        backend.flush()
        self.assertTrue(backend.requests[number].is_whole)

    def test_a_client_without_host(self) -> None:
        client = self.rig.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        backend = self.backend()
        request = backend.request()
        self.assertEqual(request[b":authority"], b"10.0.0.1:80")
        backend.answer(request.number, b"ok")
        self.assertTrue(client.received.endswith(b"\r\n\r\nok"))
        self.assertEqual(client.ending, "closed")

    def test_options_for_the_whole_server(self) -> None:
        client = self.rig.client()
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        request = self.backend().request()
        self.assertEqual((request[b":method"], request[b":path"]), (b"OPTIONS", b"*"))

    def test_there_are_no_websockets(self) -> None:
        client = self.rig.client()
        client.send(
            get(
                lines=b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            )
        )
        self.assertEqual(client.answer().status, 501)
        self.assertEqual(self.rig.backends[0].connections, [])


class FromHttp2(BackendsTestCase):
    def setUp(self) -> None:
        self.make()
        self.client = Http2Client(self.rig.client())

    def test_trailers_both_ways(self) -> None:
        number = self.client.ask(method="POST", lines=[("te", "trailers")], ended=False)
        self.client.send(number, b"hello")
        self.client.h2.send_headers(number, [("x-sum", "1")], end_stream=True)
        self.client.flush()
        backend = self.backend()
        request = backend.request()
        self.assertEqual((request.body, request.trailers), (b"hello", [(b"x-sum", b"1")]))
        backend.answer(request.number, b"hi", trailers=[("x-sum", "2")])
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.trailers), (b"hi", {b"x-sum": b"2"}))
        self.assertTrue(answer.is_whole)

    def test_an_answer_that_is_a_head_alone_ends_with_it(self) -> None:
        number = self.client.ask(method="POST", body=b"")
        backend = self.backend()
        backend.answer(backend.request().number, lines=[("grpc-status", "5")])
        answer = self.client.answer(number)
        self.assertEqual((answer.status, answer.head[b"grpc-status"]), (200, b"5"))
        self.assertTrue(answer.is_whole)
        wire = self.client.end.received
        self.assertNotIn(frames.frame(frames.DATA, frames.END_STREAM, number), wire)

    def test_both_ways_at_once(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        backend = self.backend()
        request = backend.request()
        backend.answer(request.number, ended=False)
        for n in range(3):
            self.client.send(number, b"ping%d" % n)
            backend.flush()
            self.assertTrue(request.body.endswith(b"ping%d" % n))
            backend.send(request.number, b"pong%d" % n)
            self.assertTrue(self.client.answer(number).body.endswith(b"pong%d" % n))
        self.client.send(number, b"", ended=True)
        backend.send(request.number, b"", ended=True)
        self.assertTrue(self.client.answer(number).is_whole)
        self.assertTrue(request.is_whole)
        self.assertEqual(self.rig.inflight, 0)

    def test_a_cancelled_request_is_cancelled_there(self) -> None:
        number = self.client.ask()
        backend = self.backend()
        request = backend.request()
        self.client.cancel(number)
        backend.flush()
        self.assertEqual(request.reset, 8)
        self.assertIsNone(backend.end.ending)
        self.assertEqual(self.rig.inflight, 0)

    def test_a_big_body_goes_through_the_windows(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        backend = self.backend()
        request = backend.request()
        sent = 0
        while sent < len(BIG):
            now = self.client.pour(number, BIG[sent:])
            backend.flush()
            self.assertTrue(now)
            sent += now
        self.client.send(number, b"", ended=True)
        backend.flush()
        self.assertTrue(request.body == BIG)
        self.assertTrue(request.is_whole)

    def test_a_big_answer_goes_through_the_windows(self) -> None:
        number = self.client.ask()
        backend = self.backend()
        request = backend.request()
        backend.answer(request.number, ended=False)
        sent = 0
        while sent < len(BIG):
            now = backend.pour(request.number, BIG[sent:])
            self.client.flush()
            self.assertTrue(now)
            sent += now
        backend.send(request.number, b"", ended=True)
        answer = self.client.answer(number)
        self.assertTrue(answer.body == BIG)
        self.assertTrue(answer.is_whole)

    def test_a_client_that_takes_no_more_holds_the_backend_back(self) -> None:
        client = Http2Client(self.rig.client(), acknowledges=False)
        slow, quick = client.ask("/slow"), client.ask("/quick")
        backend = self.backend()
        first, second = backend.request(), backend.request()
        backend.answer(first.number, ended=False)
        # What the client has a window for, what waits for it here, and the backend's window.
        most = 65_535 + 64 * 1024 + 128 * 1024 + 2 * 16_384
        poured = backend.pour(first.number, BIG)
        self.assertLess(poured, most)
        # Others on the same connection go on: another client's have a window.
        other = Http2Client(self.rig.client())
        number = other.ask("/other")
        third = backend.request()
        backend.answer(third.number, b"ok")
        self.assertEqual(other.answer(number).body, b"ok")
        client.acknowledges = True
        client.h2.increment_flow_control_window(1 << 20)
        client.h2.increment_flow_control_window(1 << 20, slow)
        client.flush()
        poured += backend.pour(first.number, BIG[poured:])
        self.assertEqual(poured, len(BIG))
        backend.send(first.number, b"", ended=True)
        self.assertTrue(client.answer(slow).body == BIG)
        backend.answer(second.number, b"ok")
        self.assertEqual(client.answer(quick).body, b"ok")

    def test_a_backend_that_takes_no_more_holds_the_client_back(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        backend = self.backend(acknowledges=False)
        backend.request()
        poured = self.client.pour(number, BIG)
        self.assertLess(poured, 65_535 + 3 * 64 * 1024)

    def test_an_early_answer_ends_the_body(self) -> None:
        number = self.client.ask(method="POST", ended=False)
        self.client.send(number, b"some")
        backend = self.backend()
        request = backend.request()
        backend.answer(request.number, b"enough")
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.is_whole), (b"enough", True))
        backend.flush()
        self.assertEqual(request.reset, 8)
        self.assertEqual(self.rig.inflight, 0)


class Connections(BackendsTestCase):
    def ask(self, count: int) -> list[Any]:
        clients = [self.rig.client() for _ in range(count)]
        for client in clients:
            client.send(GET)
        return clients

    def test_no_more_streams_than_the_backend_takes(self) -> None:
        [first] = self.ask(1)
        backend = self.backend(settings={3: 2})
        self.ask(3)
        connections = self.rig.backends[0].connections
        self.assertEqual(len(connections), 2)
        backend.flush()
        self.assertEqual(len(backend.requests), 2)
        # The second has room for two as well.
        other = self.backend(settings={3: 2})
        other.flush()
        self.assertEqual(len(other.requests), 2)
        for number in list(backend.requests):
            backend.answer(number, b"ok")
        self.assertEqual(first.answer().body, b"ok")
        self.ask(1)
        backend.flush()
        self.assertEqual((len(connections), len(backend.requests)), (2, 3))

    def test_a_backend_that_takes_none_is_gone_around(self) -> None:
        self.make(backends=2)
        [client] = self.ask(1)
        first, other = self.places()
        for _ in range(2):
            backend = self.backend(first)
            backend.raw(frames.frame(frames.SETTINGS, 0, 0, b"\0\3\0\0\0\0"))
            backend.reset(backend.request().number, REFUSED)
        second = self.backend(other)
        second.answer(second.request().number, b"ok")
        self.assertEqual(client.answer().body, b"ok")

    def test_those_who_wait_share_the_connection_being_made(self) -> None:
        backend = self.rig.backends[0]
        backend.is_silent = True
        clients = self.ask(3)
        self.assertEqual(backend.attempts, 1)
        clients[1].close()
        backend.accept()
        other = self.backend()
        other.flush()
        self.assertEqual(len(other.requests), 2)

    def test_when_none_can_be_made_all_who_wait_are_told(self) -> None:
        self.make(pool={"retries": Retries(attempts=0)})
        self.rig.backends[0].is_silent = True
        clients = self.ask(3)
        self.rig.backends[0].waiting.pop().failed(111)
        self.rig.reactor.turn()
        for client in clients:
            self.assertEqual(client.answer().status, 503)

    def test_an_idle_one_is_closed(self) -> None:
        self.make(pool={"keepalive": Keepalive(idle_timeout_s=5.0)})
        [client] = self.ask(1)
        backend = self.backend()
        backend.answer(backend.request().number, b"ok")
        client.answer()
        self.rig.wait(4.0)
        self.assertIsNone(backend.end.ending)
        self.rig.wait(2.0)
        self.assertEqual(backend.end.ending, "closed")
        backend.listen()
        self.assertEqual(backend.goaways, [0])

    def test_none_is_kept_where_none_is_to_be(self) -> None:
        self.make(pool={"keepalive": Keepalive(max_idle=0)})
        [client] = self.ask(1)
        backend = self.backend()
        backend.answer(backend.request().number, b"ok")
        client.answer()
        self.assertEqual(backend.end.ending, "closed")

    def test_one_of_another_configuration_ends_with_its_last_request(self) -> None:
        [client] = self.ask(1)
        backend = self.backend()
        number = backend.request().number
        [pool] = self.rig.snapshot.pools
        self.rig.change(pools=(replace(pool, protocol="http1"),))
        again = self.rig.client()
        again.send(GET)
        self.rig.backends[0].connections[1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(again.answer().status, 200)
        backend.answer(number, b"ok")
        self.assertEqual(client.answer().body, b"ok")
        self.assertEqual(backend.end.ending, "closed")

    def test_a_backend_that_leaves_finishes(self) -> None:
        """GOAWAY: what it has begun is answered, and the next goes by another connection."""
        [client] = self.ask(1)
        backend = self.backend()
        number = backend.request().number
        backend.raw(frames.goaway(frames.MAX_STREAM, 0))
        [other] = self.ask(1)
        second = self.backend()
        second.answer(second.request().number, b"new")
        self.assertEqual(other.answer().body, b"new")
        backend.answer(number, b"old")
        self.assertEqual(client.answer().body, b"old")
        self.assertEqual(backend.end.ending, "closed")

    def test_what_it_has_not_begun_is_asked_again(self) -> None:
        client = self.rig.client()
        client.send(POST)
        backend = self.backend()
        backend.request()
        backend.raw(frames.goaway(0, 0))
        self.assertEqual(backend.end.ending, "closed")
        second = self.backend(connection=1)
        request = second.request()
        self.assertEqual((request.body, request.is_whole), (b"hello", True))
        second.answer(request.number, b"ok")
        self.assertEqual(client.answer().body, b"ok")
        self.assertEqual(self.entry()["attempts"], 2)

    def test_a_refused_stream_is_asked_again(self) -> None:
        self.make(backends=2)
        client = self.rig.client()
        client.send(POST)
        place, other = self.places()
        first = self.backend(place)
        first.reset(first.request().number, REFUSED)
        first.reset(first.request().number, REFUSED)
        second = self.backend(other)
        request = second.request()
        self.assertEqual(request.body, b"hello")
        second.answer(request.number, b"ok")
        self.assertEqual(client.answer().body, b"ok")

    def test_a_big_body_is_not_asked_again(self) -> None:
        client = self.rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" + b"x" * 80000)
        backend = self.backend()
        backend.reset(backend.request().number, REFUSED)
        self.assertEqual(client.answer().status, 503)

    def test_a_reset_is_a_failure_like_any(self) -> None:
        for method, wire, retries, status in (
            ("POST", POST, 1, 502),
            ("GET", GET, 0, 502),
        ):
            with variant(method):
                self.make(pool={"retries": Retries(attempts=retries)})
                client = self.rig.client()
                client.send(wire)
                backend = self.backend()
                backend.reset(backend.request().number, 2)
                self.assertEqual(client.answer().status, status)
                self.assertIsNone(backend.end.ending)

    def test_a_reset_where_others_were_served_is_one_too(self) -> None:
        """The connection is there, so it cannot have ended unseen."""
        self.make(pool={"retries": Retries(attempts=0)})
        [client] = self.ask(1)
        backend = self.backend()
        backend.answer(backend.request().number, b"ok")
        client.answer()
        client.send(GET)
        backend.reset(backend.request().number, 2)
        self.assertEqual(client.answer().status, 502)
        self.assertEqual(len(backend.requests), 2)

    def test_what_may_be_repeated_is(self) -> None:
        self.make(backends=2, pool={"retries": Retries(attempts=1, backoff_s=0.0)})
        client = self.rig.client()
        client.send(GET)
        place, other = self.places()
        first = self.backend(place)
        first.reset(first.request().number, 2)
        self.rig.wait(0.1)
        second = self.backend(other)
        second.answer(second.request().number, b"ok")
        self.assertEqual(client.answer().body, b"ok")

    def test_an_answer_that_breaks_off_is_cut(self) -> None:
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        number = backend.request().number
        backend.answer(number, b"abc", [("content-length", "10")], ended=False)
        backend.reset(number, 2)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(self.entry()["termination"], "SD")

    def test_a_lost_connection_fails_all_its_requests(self) -> None:
        self.make(pool={"retries": Retries(attempts=0)})
        clients = self.ask(3)
        backend = self.backend()
        backend.flush()
        backend.end.reset()
        for client in clients:
            self.assertEqual(client.answer().status, 502)
        self.assertEqual(self.rig.inflight, 0)

    def test_a_kept_one_that_had_ended_does_no_harm(self) -> None:
        [client] = self.ask(1)
        backend = self.backend()
        backend.answer(backend.request().number, b"ok")
        client.answer()
        client.send(GET)
        backend.end.reset()
        second = self.backend(connection=1)
        second.answer(second.request().number, b"again")
        self.assertEqual(client.answer().body, b"again")

    def test_it_is_asked_again_once(self) -> None:
        """A request by which every connection ends must not end all there are."""
        self.make(pool={"retries": Retries(attempts=0)})
        clients, kept = [], []
        for _ in range(3):
            clients += self.ask(1)
            kept.append(self.backend(settings={3: 1}))
        for client, backend in zip(clients, kept, strict=True):
            backend.answer(backend.request().number, b"ok")
            client.answer()
        clients[0].send(GET)
        for backend in kept[:2]:
            backend.request()
            backend.end.reset()
        self.assertEqual(clients[0].answer().status, 502)
        kept[2].flush()
        self.assertEqual(len(kept[2].requests), 1)

    def test_what_may_not_be_repeated_goes_by_none_that_has_ended(self) -> None:
        [client] = self.ask(1)
        backend = self.backend()
        backend.answer(backend.request().number, b"ok")
        client.answer()
        # Closed, and the loop has not come to that.
        backend.end._peer.near.finish()
        client.queue(POST)
        self.rig.reactor.turn()
        second = self.backend()
        self.assertIsNot(second.end, backend.end)
        second.answer(second.request().number, b"new")
        self.assertEqual(client.answer().body, b"new")

    def test_those_of_a_backend_that_left_the_pool_end(self) -> None:
        self.make(backends=2)
        [client] = self.ask(1)
        place, other = self.places()
        backend = self.backend(place)
        [pool] = self.rig.snapshot.pools
        self.rig.change(pools=(replace(pool, backends=(pool.backends[other],)),))
        backend.answer(backend.request().number, b"ok")
        self.assertEqual(client.answer().body, b"ok")
        self.assertEqual(backend.end.ending, "closed")

    def test_a_slow_answer_has_a_deadline_and_others_do_not_suffer(self) -> None:
        self.make(pool={"timeouts": Timeouts(first_byte_s=3.0)})
        [slow] = self.ask(1)
        backend = self.backend()
        number = backend.request().number
        self.rig.wait(2.0)
        [quick] = self.ask(1)
        backend.answer(backend.request().number, b"ok")
        self.assertEqual(quick.answer().body, b"ok")
        self.rig.wait(2.0)
        self.assertEqual(slow.answer().status, 504)
        backend.flush()
        self.assertEqual(backend.requests[number].reset, 8)
        self.assertIsNone(backend.end.ending)

    def test_a_connection_on_which_nothing_comes_is_doubted(self) -> None:
        self.make(pool={"timeouts": Timeouts(first_byte_s=3.0)})
        self.ask(1)
        backend = self.backend()
        backend.request()
        self.rig.wait(4.0)
        # It gets nothing new until it says something.
        self.ask(1)
        self.assertEqual(len(self.rig.backends[0].connections), 2)
        backend.listen()
        self.assertEqual(backend.pings, [b"are you?"])
        backend.flush()
        self.ask(1)
        backend.flush()
        self.assertEqual(len(backend.requests), 2)
        self.rig.wait(6.0)
        self.assertIsNone(backend.end.ending)

    def test_one_that_answers_no_ping_is_given_up(self) -> None:
        self.make(pool={"timeouts": Timeouts(first_byte_s=3.0)})
        self.ask(1)
        connection = self.rig.backends[0].connections[0]
        self.rig.wait(4.0)
        self.assertIsNone(connection.ending)
        self.rig.wait(6.0)
        self.assertEqual(connection.ending, "reset")

    def test_one_that_takes_no_bytes_is_given_up(self) -> None:
        """L5"""
        self.make(pool={"timeouts": Timeouts(idle_s=5.0)}, limits={"max_body_bytes": 0})
        client = Http2Client(self.rig.client())
        number = client.ask(method="POST", ended=False)
        backend = self.backend(settings={4: 1 << 20})
        backend.h2.increment_flow_control_window(1 << 20)
        backend.flush()
        backend.end.stop_reading()
        client.pour(number, BIG)
        self.rig.wait(6.0)
        self.assertEqual(backend.end.ending, "reset")
        self.assertEqual(client.answer(number).status, 504)


class Hygiene(BackendsTestCase):
    """S25, for a backend's frames."""

    def refused(self, *fields: tuple[bytes, bytes], flags: int = 5) -> Any:
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        number = backend.request().number
        block = b"".join(
            b"\x10" + bytes((len(name),)) + name + bytes((len(value),)) + value
            for name, value in fields
        )
        backend.raw(frames.frame(frames.HEADERS, flags, number, block))
        answer = client.answer()
        self.assertEqual(answer.status, 502)
        return backend

    def test_what_is_no_answer_is_refused(self) -> None:
        ok = (b":status", b"200")
        for fields in (
            (),
            ((b"a", b"b"),),
            ((b":status", b"99"),),
            ((b":status", b"1000"),),
            ((b":status", b"2 0"),),
            ((b":status", b"101"),),
            ((b":status", b"600"),),
            (ok, ok),
            (ok, (b":path", b"/")),
            (ok, (b"a", b"b"), ok),
            ((b"a", b"b"), ok),
            (ok, (b"Upper", b"x")),
            (ok, (b"a b", b"x")),
            (ok, (b"", b"x")),
            (ok, (b"a", b"x\r\nevil: 1")),
            (ok, (b"a", b"x\ny")),
            (ok, (b"a", b"x\0")),
            (ok, (b"a", b" x")),
            (ok, (b"connection", b"close")),
            (ok, (b"transfer-encoding", b"chunked")),
            (ok, (b"upgrade", b"websocket")),
            (ok, (b"keep-alive", b"1")),
            (ok, (b"content-length", b"5")),
            (ok, (b"content-length", b"+0")),
            (ok, (b"content-length", b"0"), (b"content-length", b"0")),
        ):
            with variant(repr(fields)):
                self.make()
                backend = self.refused(*fields)
                backend.listen()
                # Only the stream: others on the connection go on.
                self.assertIsNone(backend.end.ending)
                [request] = backend.requests.values()
                self.assertEqual(request.reset, 1)
                self.assertEqual(self.entry()["error"], "bad_answer")

    def test_a_body_that_is_not_as_long_as_was_said(self) -> None:
        for length, body, ended in (("3", b"abcd", False), ("3", b"ab", True)):
            self.make()
            client = self.rig.client()
            client.send(GET)
            backend = self.backend()
            number = backend.request().number
            backend.answer(number, lines=[("content-length", length)], ended=False)
            backend.raw(frames.frame(frames.DATA, int(ended), number, body))
            self.assertEqual(client.ending, "reset")

    def test_a_body_before_its_head(self) -> None:
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        backend.raw(frames.frame(frames.DATA, 1, backend.request().number, b"x"))
        self.assertEqual(client.answer().status, 502)

    def test_a_body_where_there_is_none(self) -> None:
        client = self.rig.client()
        client.send(GET.replace(b"GET", b"HEAD", 1))
        backend = self.backend()
        number = backend.request().number
        backend.answer(number, ended=False)
        self.assertEqual(client.answer(b"HEAD").status, 200)
        backend.raw(frames.frame(frames.DATA, 1, number, b"x"))
        client.send(GET)
        backend.answer(backend.request().number, b"ok")
        self.assertEqual(client.answer().body, b"ok")

    def test_what_breaks_the_protocol_ends_the_connection(self) -> None:
        for name, wire in (
            ("no HTTP/2", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            ("a push", frames.frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2\x88")),
            ("an unknown stream", frames.frame(frames.HEADERS, 5, 9, b"\x88")),
            ("its own stream", frames.frame(frames.HEADERS, 5, 2, b"\x88")),
            ("data on none", frames.frame(frames.DATA, 1, 0, b"x")),
            ("a large frame", b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"),
            ("pushes enabled", frames.frame(frames.SETTINGS, 0, 0, b"\0\2\0\0\0\1")),
            ("no block", frames.frame(frames.HEADERS, 5, 1, b"\xff\xff\xff")),
        ):
            with variant(name):
                self.make()
                client = self.rig.client()
                client.send(GET)
                end = self.rig.backends[0].connections[0]
                if name != "no HTTP/2":
                    end.send(frames.frame(frames.SETTINGS, 0, 0))
                end.send(wire)
                self.assertEqual(client.answer().status, 502)
                self.assertEqual(end.ending, "closed")
                self.assertEqual(self.rig.inflight, 0)

    def test_floods(self) -> None:
        """H3, H5, by a backend"""
        for name, wire in (
            ("pings", frames.frame(frames.PING, 0, 0, b"12345678")),
            ("settings", frames.frame(frames.SETTINGS, 0, 0)),
            ("priorities", frames.frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\1")),
            ("empty data", frames.frame(frames.DATA, 0, 1)),
            ("unknown frames", frames.frame(0x42, 0, 1)),
            ("updates", frames.window_update(0, 1)),
        ):
            with variant(name):
                self.make()
                client = self.rig.client()
                client.send(GET)
                backend = self.backend()
                backend.answer(backend.request().number, b"a", ended=False)
                backend.raw(wire * 1000)
                self.assertEqual(backend.end.ending, "closed")
                self.assertEqual(client.ending, "reset")

    def test_continuations_without_end(self) -> None:
        """H3, by a backend"""
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        number = backend.request().number
        backend.raw(frames.frame(frames.HEADERS, 0, number, b"\x88"))
        backend.raw(frames.frame(frames.CONTINUATION, 0, number, b"") * 100)
        self.assertEqual(client.answer().status, 502)
        self.assertEqual(backend.end.ending, "closed")

    def test_a_bomb_of_fields(self) -> None:
        """H4, by a backend"""
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        number = backend.request().number
        big = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000
        backend.raw(frames.frame(frames.HEADERS, 5, number, b"\x88" + big + b"\xbe" * 12_000))
        self.assertEqual(client.answer().status, 502)


class AnswersOnTheirWay(BackendsTestCase):
    def test_counts_of_a_copy(self) -> None:
        self.make(routes=(Route("all", pools=(Share("app"),), mirror=Mirror("app")),))
        client = self.rig.client()
        client.send(POST)
        backend = self.backend()
        original, copy = backend.request(), backend.request()
        self.assertNotIn(b"x-mirrored", original.fields)
        self.assertEqual(copy[b"x-mirrored"], b"1")
        self.assertEqual((copy.body, copy.is_whole), (b"hello", True))
        backend.answer(original.number, b"ok")
        backend.answer(copy.number, b"dropped")
        self.assertEqual(client.answer().body, b"ok")
        self.assertEqual(self.rig.inflight, 0)

    def test_a_copy_that_is_reset_is_not_made_again(self) -> None:
        self.make(routes=(Route("all", pools=(Share("app"),), mirror=Mirror("app")),))
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        for answers in (True, False):
            original, copy = backend.request(), backend.request()
            backend.answer(original.number, b"ok")
            if answers:
                backend.answer(copy.number)
            else:
                backend.reset(copy.number, 2)
            self.assertEqual(client.answer().body, b"ok")
            if answers:
                client.send(GET)
        self.assertEqual(len(backend.requests), 4)
        self.assertEqual(self.rig.inflight, 0)


class OverTls(BackendsOverTls, BackendsTestCase):
    def test_a_request_and_its_answer(self) -> None:
        client = self.rig.client()
        client.send(GET)
        backend = self.backend()
        request = backend.request()
        self.assertEqual(request[b":scheme"], b"https")
        backend.answer(request.number, b"ok")
        self.assertEqual(client.answer().body, b"ok")
        client.send(GET)
        backend.answer(backend.request().number, b"again")
        self.assertEqual(client.answer().body, b"again")

    def test_a_backend_that_does_not_agree_is_not_asked(self) -> None:
        backend = self.rig.backends[0]
        assert isinstance(backend, SecureBackend)
        for alpn in (None, b"http/1.1"):
            backend.show(issued("10.0.0.1"), alpn=alpn)
            client = self.rig.client()
            client.send(GET)
            self.assertEqual(client.answer().status, 502)
            self.assertEqual(backend.connections[-1].received, b"")


_ACTIONS = (
    "ask", "upload", "more", "end", "cancel", "answer", "begin", "pour", "whole", "trailers",
    "refuse", "reset", "lose", "goaway", "close", "deaf", "hear", "wait", "settings",
)  # fmt: skip


class Anything(BackendsTestCase):
    """Clients and backends of HTTP/2 that do anything at any time."""

    @hypothesis_settings(max_examples=50)
    @given(
        st.lists(st.tuples(st.sampled_from(_ACTIONS), st.integers(0, 30)), max_size=40),
        st.sampled_from(("close", "reset", "drain", "none")),
    )
    def test_nothing_is_left(self, actions: list[tuple[str, int]], end: str) -> None:
        self.make(backends=2)
        self.client = Http2Client(self.rig.client())
        self.numbers: list[int] = []
        self.far: dict[int, Http2Backend] = {}
        for action, which in actions:
            # What h2 does not let either side do is not done.
            with contextlib.suppress(ProtocolError, KeyError, IndexError):
                self.act(action, which)
        if end in ("close", "reset"):
            getattr(self.client.end, end)()
        elif end == "drain":
            self.rig.service.drain()
        self.client.end.read()
        for backend in self.rig.backends:
            for connection in backend.connections:
                connection.read()
        self.rig.wait(200.0)
        self.assertEqual(self.rig.inflight, 0)
        self.assertEqual(self.rig.service.connections, 0)
        for backend in self.rig.backends:
            for connection in backend.connections:
                self.assertIsNotNone(connection.ending)
        self.assertEqual(self.rig.gauge("veloflux_connections"), 0)

    def act(self, action: str, which: int) -> None:
        client = self.client
        number = self.numbers[which % len(self.numbers)] if self.numbers else 1
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
        elif action == "wait":
            self.rig.wait(which / 3)
        else:
            self.act_far(action, which)

    def act_far(self, action: str, which: int) -> None:
        open_ = [
            end for each in self.rig.backends for end in each.connections if end.ending is None
        ]
        if not open_:
            return
        end = open_[which % len(open_)]
        far = self.far.get(id(end)) or self.far.setdefault(id(end), Http2Backend(end))
        far.flush()
        numbers = list(far.requests)
        number = numbers[which % len(numbers)] if numbers else 1
        if action == "answer":
            far.answer(number, b"ok")
        elif action == "begin":
            far.answer(number, b"a", ended=False)
        elif action == "pour":
            far.pour(number, bytes(which * 10_000))
        elif action == "whole":
            far.send(number, b"", ended=True)
        elif action == "trailers":
            far.h2.send_headers(number, [("x-sum", "1")], end_stream=True)
            far.flush()
        elif action == "refuse":
            far.reset(number, REFUSED)
        elif action == "reset":
            far.reset(number, which % 14)
        elif action == "lose":
            end.reset()
        elif action == "goaway":
            far.raw(frames.goaway(max(numbers, default=0) if which % 2 else 0, which % 14))
        elif action == "close":
            end.close()
        elif action == "deaf":
            end.stop_reading(which)
        elif action == "hear":
            end.read()
        else:
            far.raw(frames.frame(frames.SETTINGS, 0, 0, b"\0\3\0\0\0" + bytes((which % 4,))))
