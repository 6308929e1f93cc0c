"""Requests sent without waiting for answers: one at a time to the backend, answers in order."""

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig, get, ok
from veloflux.core.model.traffic import Route, Share

# Bytes that a connection may hold of what was sent ahead: a read, twice.
READ_AHEAD = 128 * 1024


class Order(SynchronousTestCase):
    def test_the_second_waits_for_the_first(self) -> None:
        """S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(get(b"/1") + get(b"/2"))
        self.assertEqual(rig.backend.request().target, b"/1")
        self.assertNotIn(b"/2", rig.backend.received)
        rig.backend.answer(ok(b"one"))
        self.assertEqual(client.answer().body, b"one")
        self.assertEqual(rig.backend.request().target, b"/2")
        rig.backend.answer(ok(b"two"))
        self.assertEqual(client.answer().body, b"two")
        self.assertEqual(len(rig.backend.connections), 1)

    def test_a_thousand_are_answered_in_order(self) -> None:
        """S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(b"".join(get(b"/%d" % n) for n in range(1000)))
        for n in range(1000):
            self.assertEqual(rig.backend.connection.received.count(b"\r\n\r\n"), n + 1)
            rig.backend.answer(ok(b"%d" % n))
        targets = [request.target for request in rig.backend.connection.requests()]
        self.assertEqual(targets, [b"/%d" % n for n in range(1000)])
        answers = client.answers(*[b"GET"] * 1000)
        self.assertEqual([int(answer.body) for answer in answers], list(range(1000)))
        self.assertEqual(client.news, b"")

    def test_other_answers_keep_their_place(self) -> None:
        """S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(get(b"/1") + b"TRACE /2 HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/3"))
        for body in (b"1", b"3"):
            rig.backend.request()
            rig.backend.answer(ok(body))
        statuses = [answer.status for answer in client.answers(*[b"GET"] * 3)]
        self.assertEqual(statuses, [200, 501, 200])

    def test_a_body_before_the_next_request(self) -> None:
        """S15: what follows a body is the next request, and what is in it is not."""
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"POST"):
            rig = Rig(self)
            client = rig.client()
            hidden = get(b"/hidden")
            head = b"%b / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (method, len(hidden))
            client.send(head + hidden + get(b"/next"))
            self.assertEqual(rig.backend.request().body, hidden)
            rig.backend.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.assertEqual(client.answer(method).status, 204)
            self.assertEqual(rig.backend.request().target, b"/next")
            rig.backend.answer(OK)
            self.assertEqual(client.answer().status, 200)

    def test_nothing_is_read_after_a_refusal(self) -> None:
        """S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(get(b"/1") + b"GET /2 HTTP/1.1\r\n\r\n" + get(b"/3"))
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual([each.status for each in client.answers(*[b"GET"] * 3)], [200, 400])
        self.assertNotIn(b"/3", rig.backend.received)

    def test_nothing_is_read_after_a_request_that_closes(self) -> None:
        """S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(get(b"/1", b"Connection: close\r\n") + get(b"/2"))
        rig.backend.request()
        rig.backend.answer(OK)
        self.assertEqual(client.answer().field(b"connection"), b"close")
        self.assertEqual(client.ending, "closed")
        self.assertNotIn(b"/2", rig.backend.received)


class Bounds(SynchronousTestCase):
    def test_reads_ahead_only_so_far(self) -> None:
        """S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET * 40_000)
        self.assertGreaterEqual(client.unread, len(GET) * 40_000 - READ_AHEAD)

    def test_goes_on_reading_when_it_can(self) -> None:
        """S23"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET * 5000)
        for _ in range(5000):
            rig.backend.answer(OK)
        self.assertEqual(rig.backend.received.count(b"\r\n\r\n"), 5000)
        self.assertEqual(client.received.count(b"\r\n\r\n"), 5000)
        self.assertEqual(client.unread, 0)

    def test_a_client_that_does_not_read_gets_no_more_answers(self) -> None:
        """S23, CVE-2023-46137"""
        rig = Rig(self)
        client = rig.client()
        client.stop_reading()
        client.send(GET * 1000)
        body = b"x" * 10_000

        served = 0
        while rig.backend.connection.received.count(b"\r\n\r\n") > served:
            served += 1
            rig.backend.answer(ok(body))
        self.assertLess(served * len(body), 2 * READ_AHEAD)
        client.read()
        self.assertEqual(rig.backend.connection.received.count(b"\r\n\r\n"), served + 1)
        for _ in range(1000 - served):
            rig.backend.answer(ok(body))
        answers = client.answers(*[b"GET"] * 1000)
        self.assertEqual({answer.body for answer in answers}, {body})

    def test_a_client_that_never_reads_is_cut_off(self) -> None:
        """S23, L5"""
        rig = Rig(self)
        client = rig.client()
        client.stop_reading()
        client.send(GET * 1000)
        for _ in range(8):
            rig.backend.answer(ok(b"x" * 10_000))
        rig.wait(29)
        self.assertIsNone(client.ending)
        rig.wait(2)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.inflight, 0)

    def test_a_client_that_reads_slowly_is_not(self) -> None:
        """S23, L5"""
        rig = Rig(self)
        client = rig.client()
        client.stop_reading()
        client.send(GET * 8)
        for _ in range(8):
            rig.backend.answer(ok(b"x" * 10_000))
        for _ in range(10):
            rig.wait(20)
            client.read(1000)
        self.assertIsNone(client.ending)

    def test_thousands_that_fail_at_once_are_answered(self) -> None:
        """S23, X1: each is over before it was begun, and must not be read within the one before."""
        rig = Rig(self, backends=0)
        client = rig.client()
        client.send(GET * 1500)
        answers = client.answers(*[b"GET"] * 1500)
        self.assertEqual({answer.status for answer in answers}, {503})
        self.assertEqual(len(answers), 1500)
        self.assertIsNone(client.ending)
        client.send(GET)
        self.assertEqual(client.answer().status, 503)

    def test_one_client_does_not_hold_up_the_others(self) -> None:
        """S23: (e) the loop is theirs as well"""
        for fields in ({"routes": ()}, {"backends": 0}):
            rig = Rig(self, **fields)
            greedy, modest = rig.client(), rig.client()
            greedy.queue(GET * 1500)
            modest.queue(GET)
            while not modest.received:
                self.assertTrue(rig.reactor.step())
            self.assertLess(greedy.received.count(b"\r\n\r\n"), 100)
            rig.reactor.turn()
            self.assertEqual(len(greedy.answers(*[b"GET"] * 1500)), 1500)
            rig.wait(50)
            self.assertIsNone(greedy.ending)
            rig.wait(11)
            self.assertEqual(greedy.ending, "closed")

    def test_one_that_leaves_in_between_is_forgotten(self) -> None:
        """L7"""
        for end in ("close", "reset"):
            rig = Rig(self, routes=())
            client = rig.client()
            client.queue(GET * 1500)
            rig.reactor.step()
            getattr(client, end)()
            self.assertEqual(rig.service.connections, 0)
            self.assertLess(rig.count("veloflux_http_requests_total"), 1500)

    def test_one_in_between_is_drained(self) -> None:
        """X8"""
        rig = Rig(self, routes=())
        client = rig.client()
        client.queue(GET * 1500)
        rig.reactor.step()
        rig.service.drain()
        rig.reactor.turn()
        answers = client.answers(*[b"GET"] * 1500)
        self.assertLess(len(answers), 100)
        self.assertEqual(answers[-1].field(b"connection"), b"close")
        self.assertEqual(client.ending, "closed")

    def test_a_backend_after_many_refusals(self) -> None:
        """S23, L7: reading goes on, so that an abort is seen."""
        rig = Rig(self, routes=(Route("r", path_prefix="/here", pools=(Share("app"),)),))
        client = rig.client()
        client.send(GET * 100 + get(b"/here"))
        self.assertEqual(rig.backend.request().target, b"/here")
        client.reset()
        self.assertEqual(rig.backend.connection.ending, "reset")

    def test_thousands_that_are_refused_are_answered(self) -> None:
        """S23"""
        rig = Rig(self, routes=())
        client = rig.client()
        client.send(GET * 1500)
        self.assertEqual(len(client.answers(*[b"GET"] * 1500)), 1500)
        rig.wait(61)
        self.assertEqual(client.ending, "closed")
