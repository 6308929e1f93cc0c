"""Copies for a second pool: the same requests there, and nothing of it for the client."""

import errno
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, POST, UPLOAD, Backend, Rig, get, ok
from veloflux.core.model.address import Address
from veloflux.core.model.policies import Compression, Mirror
from veloflux.core.model.resilience import StickySessions
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.core.model.traffic import Pool, Route, Share, Timeouts

MAIN, SECOND = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
COUNT = "veloflux_mirrored_requests_total"
ASKING = get(lines=b"Accept-Encoding: gzip\r\n")
TEXT = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n"
)
HANDSHAKE = get(
    lines=b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class MirrorTestCase(SynchronousTestCase):
    def make(
        self,
        mirror: dict[str, Any] | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  it is frozen
        **route: Any,
    ) -> None:
        """One backend in the main pool, and one in the mirror's."""
        pools = (
            Pool("app", (BackendModel(MAIN),)),
            Pool("next", (BackendModel(SECOND),), timeouts=timeouts),
        )
        model = Mirror("next", **(mirror or {}))
        routes = (Route("all", pools=(Share("app"),), mirror=model, **route),)
        self.rig = Rig(self, backends=2, pools=pools, routes=routes)
        self.main, self.second = self.rig.backends

    def setUp(self) -> None:
        self.make()

    def counts(self) -> tuple[float, float, float]:
        """Copies sent, dropped and failed."""
        sent, dropped, failed = (
            self.rig.count(COUNT, "all", result) for result in ("sent", "dropped", "failed")
        )
        return sent, dropped, failed

    def serve(self, client_says: bytes, answer: bytes = OK) -> None:
        """One request, from a client to the main backend and back."""
        client = self.rig.client()
        client.send(client_says)
        self.main.request()
        self.main.answer(answer)
        self.assertEqual(client.answer().status, 200)
        self.assertIsNone(client.ending)
        client.close()

    def assert_nothing_left(self) -> None:
        """(f): no connection at work, no copy under way."""
        self.assertEqual(self.rig.inflight, 0)
        self.assertEqual(len(self.rig.service._plane.copies), 0)


class Copies(MirrorTestCase):
    """What the second pool gets."""

    def test_it_is_the_same_request(self) -> None:
        for wire in (
            get(b"/a/../b?c=d", b"Cookie: e=f\r\nX: y\r\n"),
            POST,
            UPLOAD + b"5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 5\r\n\r\n",
            b"DELETE /x HTTP/1.1\r\nHost: example.org\r\n\r\n",
        ):
            self.serve(wire)
            got = self.main._last.requests()[-1]  # type: ignore[union-attr]
            copy = self.second.request()
            self.second.answer(OK)
            self.assertEqual(copy[:2], got[:2])
            self.assertEqual((copy.body, copy.trailers), (got.body, got.trailers))
            marked = [field for field in copy.fields if field[0] != b"x-mirrored"]
            self.assertEqual(sorted(marked), sorted(got.fields))
            self.assertEqual(copy.field(b"x-mirrored"), b"1")
            self.assertIsNone(got.field(b"x-mirrored"))
        self.assertEqual(self.counts(), (4, 0, 0))
        # One connection each, kept.
        self.assertEqual((self.main.attempts, self.second.attempts), (1, 1))
        self.assert_nothing_left()

    def test_the_routes_edits_are_in_it(self) -> None:
        self.make(path_prefix="/api", strip_prefix=True, preserve_host=False)
        self.serve(get(b"/api/x"))
        copy = self.second.request()
        self.assertEqual((copy.target, copy.field(b"host")), (b"/x", b"10.0.0.2:80"))

    def test_a_clients_mark_is_not_believed(self) -> None:
        self.serve(get(lines=b"X-Mirrored: 2\r\n"))
        self.assertEqual(self.second.request().field(b"x-mirrored"), b"1")

    def test_it_says_who_the_client_is(self) -> None:
        """In a pool that is told so by a PROXY header."""
        [app, second] = self.rig.snapshot.pools
        self.rig.change(pools=(app, replace(second, proxy_protocol="v1")))
        self.serve(GET)
        self.assertTrue(
            self.second.received.startswith(b"PROXY TCP4 198.51.100.7 127.0.0.1 40000 80\r\nGET / ")
        )

    def test_leave_was_asked_for_once(self) -> None:
        """S16: the copy's body is there when it is sent."""
        client = self.rig.client()
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        self.main.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(self.second.attempts, 0)
        client.send(b"hello")
        copy = self.second.request()
        self.assertEqual((copy.body, copy.field(b"expect")), (b"hello", None))

    def test_a_clients_cookie_for_its_backend_is_not_in_it(self) -> None:
        [app, second] = self.rig.snapshot.pools
        app = replace(app, sticky_sessions=StickySessions())
        self.rig.change(pools=(app, second), secret=bytes(32))
        client = self.rig.client()
        client.send(GET)
        self.main.request()
        self.main.answer(OK)
        self.second.request()
        self.second.answer(OK)
        cookie, _, _ = (client.answer().field(b"set-cookie") or b"").partition(b";")
        client.send(get(lines=b"Cookie: a=b; " + cookie + b"\r\n"))
        self.assertEqual(self.main.request().field(b"cookie"), b"a=b")
        self.assertEqual(self.second.request().field(b"cookie"), b"a=b")

    def test_a_share_of_them(self) -> None:
        self.make({"percent": 0.0})
        self.serve(GET)
        self.assertEqual((self.second.attempts, self.counts()), (0, (0, 0, 0)))
        self.make({"percent": 30.0})
        for _ in range(300):
            self.serve(GET)
        sent = len(self.second.received.split(b"GET / ")) - 1
        self.assertGreater(sent, 0)
        self.assertLess(sent, 300)

    def test_handshakes_are_not_copied(self) -> None:
        client = self.rig.client()
        client.send(HANDSHAKE)
        self.assertEqual(self.main.attempts, 1)
        self.assertEqual((self.second.attempts, self.counts()), (0, (0, 0, 0)))

    def test_what_is_refused_here_is_not_copied(self) -> None:
        client = self.rig.client()
        client.send(b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(client.answer().status, 501)
        self.assertEqual(self.second.attempts, 0)

    def test_the_log_has_one_line(self) -> None:
        self.serve(GET)
        self.second.answer(OK)
        self.assertEqual(self.rig.entry()["backend"], str(MAIN))

    @settings(max_examples=30)
    @given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=5), st.booleans())
    def test_split_anywhere(self, body: bytes, cuts: list[int], is_counted: bool) -> None:
        """The body comes as it comes, its copy at once."""
        self.make()
        wire = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if not is_counted:
            at = len(body) // 2
            chunks = b"".join(
                b"%x\r\n%b\r\n" % (len(each), each) for each in (body[:at], body[at:]) if each
            )
            wire = UPLOAD + chunks + b"0\r\n\r\n"
        client = self.rig.client()
        at = 0
        for cut in [*sorted(cut for cut in cuts if cut < len(wire)), len(wire)]:
            client.send(wire[at:cut])
            at = cut
        self.assertEqual(self.main.request().body, body)
        self.assertEqual(self.second.request().body, body)


class Answers(MirrorTestCase):
    """What becomes of what the second pool says: nothing."""

    def test_they_are_dropped(self) -> None:
        for answer in (
            ok(b"secret"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\n\r\n",
        ):
            client = self.rig.client()
            client.send(GET)
            self.second.request()
            for at in range(0, len(answer), 7):
                self.second.answer(answer[at : at + 7])
            self.assertEqual(client.received, b"")
            self.main.request()
            self.main.answer(ok(b"mine"))
            self.assertEqual(client.answer().body, b"mine")
            client.close()
        self.assertEqual(self.counts(), (4, 0, 0))
        self.assertEqual(self.second.attempts, 1)
        self.assertEqual(self.rig.count("veloflux_upstream_requests_total", "next", "5xx"), 1)
        self.assert_nothing_left()

    def test_how_late_they_are_is_known(self) -> None:
        """Or who answers copies alone would be the fastest of all."""
        [app, second] = self.rig.snapshot.pools
        self.rig.change(pools=(app, replace(second, algorithm="peak_ewma")))
        self.serve(GET)
        self.second.request()
        self.rig.wait(2.0)
        self.second.answer(OK)
        [_, report] = self.rig.service.report()
        self.assertAlmostEqual(report.backends[0].latency_s or 0.0, 2.0, places=1)

    def test_until_the_backend_closes(self) -> None:
        self.serve(GET)
        self.second.request()
        self.second.answer(b"HTTP/1.1 200 OK\r\n\r\nsecret")
        self.second.connection.close()
        self.assertEqual(self.counts(), (1, 0, 0))
        self.assert_nothing_left()

    def test_what_comes_after_an_answer_condemns_the_connection(self) -> None:
        """S25"""
        for answer in (OK + OK, b"HTTP/1.1 304 Not Modified\r\n\r\nbody"):
            self.make()
            self.serve(GET)
            self.second.request()
            self.second.answer(answer)
            self.assertEqual(self.second.connection.ending, "reset")
            self.assert_nothing_left()

    def test_bad_ones_are_failures(self) -> None:
        """S25"""
        for answer in (
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ):
            self.make()
            self.serve(GET)
            self.second.request()
            self.second.answer(answer)
            if self.second.connection.ending is None:
                self.second.answer(b"x\r\n")
            self.assertEqual(self.second.connection.ending, "reset")
            self.assertEqual(self.counts(), (0, 0, 1))
            self.assert_nothing_left()


class Trouble(MirrorTestCase):
    """The second pool is ill, and the client never knows."""

    def test_it_refuses(self) -> None:
        """X1"""
        self.second.refuses = errno.ECONNREFUSED
        self.serve(GET)
        self.serve(POST)
        self.assertEqual(self.counts(), (0, 0, 2))
        self.assert_nothing_left()

    def test_it_has_no_backends(self) -> None:
        self.rig.service.mark("next", str(SECOND), False)
        self.serve(GET)
        self.assertEqual(self.counts(), (0, 0, 1))

    def test_it_has_enough_to_do(self) -> None:
        """What waits in the pool's queue are requests that somebody waits for."""
        [app, second] = self.rig.snapshot.pools
        busy = replace(second, backends=(BackendModel(SECOND, max_connections=1),))
        self.rig.change(pools=(app, busy))
        self.serve(GET)
        self.serve(GET)
        self.assertEqual((self.second.attempts, self.counts()), (1, (0, 0, 1)))
        self.second.connection.send(OK)
        self.assertEqual(self.counts(), (1, 0, 1))
        self.assert_nothing_left()

    def test_it_cannot_be_reached(self) -> None:
        """X1"""
        self.second.is_silent = True
        self.serve(GET)
        self.rig.wait(4)
        self.assertEqual(self.counts(), (0, 0, 1))
        self.assert_nothing_left()

    def test_it_says_nothing(self) -> None:
        """X2"""
        self.make(timeouts=Timeouts(first_byte_s=5.0))
        self.serve(GET)
        self.rig.wait(6)
        self.assertEqual(self.second.connection.ending, "reset")
        self.assertEqual(self.counts(), (0, 0, 1))
        self.assert_nothing_left()

    def test_it_never_ends(self) -> None:
        """X2: a stream of events that nobody reads."""
        self.make(timeouts=Timeouts(first_byte_s=3600.0, idle_s=3600.0))
        self.serve(GET)
        self.second.answer(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(29):
            self.rig.wait(1)
            self.second.answer(b"data: 1\n\n")
        self.assertIsNone(self.second.connection.ending)
        self.rig.wait(2)
        self.assertEqual(self.second.connection.ending, "reset")
        self.assert_nothing_left()

    def test_it_breaks_off(self) -> None:
        for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"):
            self.make()
            self.serve(GET)
            self.second.answer(answer)
            self.second.connection.reset()
            self.assertEqual(self.counts(), (0, 0, 1))
            self.assert_nothing_left()

    def test_a_kept_connection_that_was_closed_is_replaced(self) -> None:
        self.serve(GET)
        self.second.request()
        self.second.answer(OK)
        old = self.second.connections[0]
        client = self.rig.client()
        old._peer.near.finish()
        client.send(GET)
        self.assertEqual(self.second.attempts, 2)
        self.assertEqual(self.second.connections[1].requests()[0].target, b"/")

    def test_it_reads_slowly(self) -> None:
        """The copy waits for it, the client does not."""
        self.make({"max_body_bytes": 2_000_000})
        self.second.is_silent = False
        client = self.rig.client()
        body = b"x" * 1_000_000
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        client.send(body[:-1])
        self.assertEqual(self.second.attempts, 0)
        self.second.is_silent = True
        client.send(b"x")
        self.second.waiting[0].socket.peer.window = 10
        self.second.accept()
        self.assertEqual(self.main.request().body, body)
        self.main.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.rig.wait(31)
        self.assertEqual(self.counts(), (0, 0, 1))
        self.assert_nothing_left()


class Bounds(MirrorTestCase):
    """How much of it there is."""

    def test_no_more_at_a_time_than_allowed(self) -> None:
        self.make({"max_requests": 2})
        for _ in range(5):
            self.serve(GET)
        self.assertEqual(self.second.attempts, 2)
        self.assertEqual(self.counts(), (0, 3, 0))
        for connection in self.second.connections:
            connection.send(OK)
        self.assertEqual(self.counts(), (2, 3, 0))
        self.serve(GET)
        self.assertEqual(self.counts(), (2, 3, 0))
        self.assertEqual(len(self.rig.service._plane.copies), 1)

    def test_bodies_being_collected_count(self) -> None:
        self.make({"max_requests": 1})
        client = self.rig.client()
        client.send(POST[:-1])
        self.rig.client().send(GET)
        self.assertEqual(self.main.attempts, 2)
        self.assertEqual((self.second.attempts, self.counts()), (0, (0, 1, 0)))
        client.send(POST[-1:])
        self.assertEqual(self.second.request().body, b"hello")

    def test_long_bodies_are_not_copied(self) -> None:
        self.make({"max_body_bytes": 4})
        self.serve(POST)
        self.serve(UPLOAD + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        self.serve(UPLOAD + b"4\r\nabcd\r\n0\r\n\r\n")
        self.assertEqual(self.second.request().body, b"abcd")
        self.second.answer(OK)
        self.assertEqual(self.counts(), (1, 2, 0))

    def test_a_client_that_goes_takes_what_was_collected_with_it(self) -> None:
        """X4"""
        client = self.rig.client()
        client.send(POST[:-1])
        client.reset()
        self.assertEqual((self.second.attempts, self.counts()), (0, (0, 1, 0)))
        self.assert_nothing_left()

    def test_what_was_sent_outlives_its_client(self) -> None:
        """X4: it is bounded by its own time."""
        client = self.rig.client()
        client.send(GET)
        client.reset()
        self.assertEqual(self.main.connection.ending, "reset")
        self.assertIsNone(self.second.connection.ending)
        self.second.answer(OK)
        self.assertEqual(self.counts(), (1, 0, 0))
        self.assert_nothing_left()

    def test_an_early_answer_ends_the_collecting(self) -> None:
        """S16"""
        client = self.rig.client()
        client.send(POST[:-1])
        self.main.answer(OK)
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(self.counts(), (0, 1, 0))
        self.assert_nothing_left()

    def test_a_request_that_found_no_backend_has_no_copy(self) -> None:
        self.rig.service.mark("app", str(MAIN), False)
        client = self.rig.client()
        client.send(GET)
        self.assertEqual(client.answer().status, 503)
        self.assertEqual((self.second.attempts, self.counts()), (0, (0, 1, 0)))

    def test_the_main_backend_may_come_late(self) -> None:
        """The body waits with the client until then."""
        self.main.is_silent = True
        client = self.rig.client()
        client.send(POST)
        self.assertEqual(self.second.attempts, 0)
        self.main.accept()
        self.assertEqual(self.main.request().body, b"hello")
        self.assertEqual(self.second.request().body, b"hello")


class Changes(MirrorTestCase):
    """Another configuration comes."""

    def test_a_mirror_that_goes_ends_with_its_copies(self) -> None:
        """C3: what is under way goes on."""
        self.serve(GET)
        [pool, _] = self.rig.snapshot.pools
        [route] = self.rig.snapshot.routes
        self.rig.change(pools=(pool,), routes=(Route("all", pools=route.pools),))
        self.second.request()
        self.second.answer(OK)
        self.assertEqual(self.second.connection.ending, "closed")
        self.assertEqual(self.counts(), (1, 0, 0))
        self.serve(GET)
        self.assertEqual(self.second.attempts, 1)

    def test_a_mirror_to_nowhere_is_refused(self) -> None:
        [route] = self.rig.snapshot.routes
        wrong = Route("all", pools=route.pools, mirror=Mirror("nowhere"))
        error = self.assertRaises(ValueError, self.rig.change, routes=(wrong,))
        self.assertIn("nowhere", str(error))

    def test_the_pool_of_a_mirror_may_be_replaced(self) -> None:
        """A lane is kept only with the pools it has."""
        [app, _] = self.rig.snapshot.pools
        [route] = self.rig.snapshot.routes
        self.rig.change(pools=(app,), routes=(Route("all", pools=route.pools),))
        third: Backend = self.rig.backend_at(Address("10.0.0.3", 80))
        self.rig.change(pools=(app, Pool("next", (BackendModel(third.address),))), routes=(route,))
        self.serve(GET)
        self.assertEqual((self.second.attempts, third.attempts), (0, 1))

    def test_the_process_goes(self) -> None:
        self.serve(GET)
        self.rig.service.close()
        self.rig.reactor.turn()
        self.assertEqual(self.second.connection.ending, "reset")
        self.assertEqual(len(self.rig.service._plane.copies), 0)


class Chance(MirrorTestCase):
    """Clients and backends that do whatever they can, compressed answers included."""

    @settings(max_examples=80)
    @given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), max_size=40), st.booleans())
    def test_nothing_is_left_when_all_are_gone(
        self, steps: list[tuple[int, int]], is_short: bool
    ) -> None:
        """(f)"""
        self.make(
            {"max_requests": 3, "max_body_bytes": 8 if is_short else 64},
            compression=Compression(min_bytes=1),
        )
        clients = [self.rig.client()]
        for step, n in steps:
            client = clients[-1]
            backend = self.rig.backends[n % 2]
            ends = [each for each in backend.connections if each.ending is None]
            if step == 0:
                clients.append(self.rig.client())
            elif step == 1:
                client.send((ASKING, POST, POST[:-2], UPLOAD, b"5\r\nhello\r\n", b"0\r\n\r\n")[n])
            elif step == 2:
                (client.close, client.reset, client.finish)[n % 3]()
            elif step == 3:
                backend.refuses = errno.ECONNREFUSED if n > 2 else 0
            elif step == 4:
                self.rig.wait(n)
            elif ends and step < 8:
                ends[n % len(ends)].send(
                    (OK, TEXT, TEXT[:-3], TEXT[:30], b"x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")[n]
                )
            elif ends:
                (ends[0].close, ends[-1].reset)[n % 2]()
        for client in clients:
            client.close()
        self.rig.wait(35)
        self.assert_nothing_left()
        kept = [each for end in self.rig.backends for each in end.connections if not each.ending]
        self.rig.service.close()
        self.rig.reactor.turn()
        self.assertEqual([each.ending for each in kept if each.ending is None], [])
