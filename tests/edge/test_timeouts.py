"""Every wait has an end, and it is charged to whoever is late."""

import h11
from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, UPLOAD, Client, Rig, ok
from veloflux.core.model.traffic import Timeouts

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n"


class Clients(SynchronousTestCase):
    """L3, L4: clients that are slow to ask"""

    def drip(self, rig: Rig, client: Client, wire: bytes, every_s: float) -> int:
        """Send a byte now and then until there is an answer or an end; how many were sent."""
        for sent, byte in enumerate(wire):
            if client.received or client.ending:
                return sent
            client.send(bytes((byte,)))
            rig.wait(every_s)
        return len(wire)

    def test_a_client_that_says_nothing(self) -> None:
        """L3: it has no request to be answered."""
        rig = Rig(self)
        client = rig.client()
        rig.wait(9.9)
        self.assertIsNone(client.ending)
        rig.wait(0.4)
        self.assertEqual((client.ending, client.received), ("closed", b""))
        self.assertEqual(rig.service.connections, 0)

    def test_a_head_byte_by_byte(self) -> None:
        """L3: Slowloris; the deadline is absolute."""
        rig = Rig(self)
        client = rig.client()
        sent = self.drip(rig, client, GET, 1.0)
        self.assertLess(sent, 12)
        answer = client.answer()
        self.assertEqual((answer.status, answer.field(b"connection")), (408, b"close"))
        self.assertEqual(rig.errors("header_timeout"), 1)
        self.assertEqual(rig.entry()["status"], 408)
        self.assertEqual(rig.backend.attempts, 0)

    def test_the_second_head_byte_by_byte(self) -> None:
        """L3: from its first byte on"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)
        rig.wait(50)
        for byte in GET[:9]:
            client.send(bytes((byte,)))
            rig.wait(1)
        self.assertEqual(client.news, b"")
        rig.wait(1.5)
        self.assertEqual(client.answer().status, 408)

    def test_a_head_in_time(self) -> None:
        """L3"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET[:-1])
        rig.wait(9.5)
        client.send(GET[-1:])
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_an_idle_connection(self) -> None:
        """L6"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        rig.wait(59.5)
        self.assertIsNone(client.ending)
        rig.wait(1)
        self.assertEqual(client.ending, "closed")
        self.assertEqual(len(client.answers(b"GET")), 1)

    def test_an_empty_line_buys_no_time(self) -> None:
        """L3"""
        rig = Rig(self)
        client = rig.client()
        rig.wait(5)
        client.send(b"\r\n")
        rig.wait(5.3)
        self.assertIsNotNone(client.ending)

    def test_an_empty_line_buys_no_time_between_requests(self) -> None:
        """L3"""
        rig = Rig(self)
        client = rig.client()
        client.send(GET)
        rig.backend.answer(OK)
        rig.wait(50)
        client.send(b"\r\n")
        rig.wait(10.3)
        self.assertEqual(client.ending, "closed")

    def test_an_empty_line_after_a_body_begins_a_request(self) -> None:
        """RFC 9112 section 2.2: what old clients send after a body. It has the time of a head, and
        when no head follows there is nobody to tell."""
        rig = Rig(self)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok\r\n")
        rig.backend.answer(OK)
        client.answer()
        rig.wait(9)
        self.assertIsNone(client.ending)
        rig.wait(2)
        self.assertEqual((client.ending, client.news), ("closed", b""))

    def test_a_body_that_stands_still(self) -> None:
        """L4"""
        rig = Rig(self, limits={"min_body_rate": 0})
        client = rig.client()
        client.send(HEAD + b"x" * 5000)
        rig.wait(29)
        self.assertEqual(client.received, b"")
        client.send(b"x")
        rig.wait(29)
        self.assertEqual(client.received, b"")
        rig.wait(1.5)
        self.assertEqual(client.answer().status, 408)
        self.assertEqual(rig.backend.connection.ending, "reset")
        self.assertEqual(rig.inflight, 0)
        self.assertEqual(rig.errors("body_timeout"), 1)
        entry = rig.entry()
        self.assertEqual((entry["status"], entry["termination"]), (408, "cR"))
        self.assertEqual(entry["bytes_in"], 5001)
        self.assertEqual(rig.count("veloflux_upstream_requests_total", "none"), 0)

    def test_a_body_that_is_too_slow(self) -> None:
        """L4: R-U-D-Y; 240 bytes a second after 5 s of grace"""
        rig = Rig(self)
        client = rig.client()
        client.send(HEAD)
        rig.wait(4.9)
        self.assertEqual(client.received, b"")
        for _ in range(6):
            client.send(b"x" * 200)
            rig.wait(1)
        self.assertEqual(client.answer().status, 408)

    def test_a_body_at_the_least_rate(self) -> None:
        """L4"""
        rig = Rig(self)
        client = rig.client()
        client.send(HEAD)
        for _ in range(40):
            client.send(b"x" * 250)
            rig.wait(1)
        self.assertEqual(len(rig.backend.request().body), 10_000)

    def test_a_chunked_body_that_is_too_slow(self) -> None:
        """L4: framing is no payload."""
        rig = Rig(self)
        client = rig.client()
        client.send(UPLOAD)
        for _ in range(12):
            client.send(b"1;" + b"a" * 250 + b"\r\nx\r\n")
            rig.wait(1)
        self.assertEqual(client.answer().status, 408)

    def test_a_body_during_its_answer(self) -> None:
        """L4: there is no other answer to give."""
        rig = Rig(self)
        client = rig.client()
        client.send(HEAD)
        rig.backend.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        rig.wait(11)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.entry()["termination"], "PD")

    def test_a_backend_that_is_late_to_connect(self) -> None:
        """L4: the client waits, so it is not slow."""
        rig = Rig(self, pool={"timeouts": Timeouts(connect_s=40)})
        rig.backend.is_silent = True
        client = rig.client()
        client.send(HEAD + b"x" * 4000)
        rig.wait(35)
        self.assertEqual(client.received, b"")
        rig.backend.accept()
        client.send(b"x" * 6000)
        self.assertEqual(len(rig.backend.request().body), 10_000)

    def test_a_request_after_the_wait_is_none(self) -> None:
        """S24: pause-based desync"""
        rig = Rig(self)
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET))
        rig.wait(31)
        client.send(GET)
        self.assertEqual([each.status for each in client.answers(b"POST", b"GET")], [408])
        self.assertIsNotNone(client.ending)
        self.assertEqual(rig.backend.connection.ending, "reset")
        self.assertNotIn(b"GET", rig.backend.received)
        self.assertEqual(rig.backend.attempts, 1)

    def test_a_request_after_the_backends_patience(self) -> None:
        """S24: the same where the backend answers first, as some do after a while"""
        rig = Rig(self, limits={"min_body_rate": 0, "body_timeout_s": 100.0})
        client = rig.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET))
        rig.wait(20)
        rig.backend.answer(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(client.answer().field(b"connection"), b"close")
        client.send(GET)
        self.assertEqual(client.news, b"")
        self.assertNotIn(b"GET", rig.backend.received)
        self.assertEqual(rig.backend.connection.ending, "reset")
        self.assertEqual(rig.backend.attempts, 1)


class Readers(SynchronousTestCase):
    """L5: clients that are slow to read"""

    def test_one_that_never_reads(self) -> None:
        """L5"""
        rig = Rig(self)
        client = rig.client()
        client.stop_reading()
        client.send(GET)
        rig.backend.answer(ok(b"x" * 10_000_000))
        self.assertGreater(rig.backend.connection.unread, 9_000_000)
        rig.wait(29)
        self.assertIsNone(client.ending)
        rig.wait(2)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.backend.connection.ending, "reset")
        entry = rig.entry()
        self.assertEqual((entry["status"], entry["termination"]), (200, "cD"))
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))

    def test_one_that_reads_slowly(self) -> None:
        """L5: it makes progress; nor is the backend late, which has to wait for it."""
        rig = Rig(self)
        client = rig.client()
        client.stop_reading()
        client.send(GET)
        rig.backend.answer(ok(b"x" * 1_000_000))
        for _ in range(20):
            rig.wait(25)
            client.read(1000)
        self.assertIsNone(client.ending)
        self.assertIsNone(rig.backend.connection.ending)
        client.read()
        self.assertEqual(len(client.answer().body), 1_000_000)
        self.assertEqual(rig.entry()["termination"], "--")

    def test_one_that_is_owed_the_last_of_an_answer(self) -> None:
        """L5: the backend is through, and so is the connection."""
        for reads, ending in ((0, "reset"), (1000, None)):
            rig = Rig(self)
            client = rig.client()
            client.stop_reading()
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            rig.backend.answer(ok(b"x" * 60_000))
            for _ in range(3):
                rig.wait(20)
                client.read(reads)
            self.assertEqual(client.ending, ending)
            client.read()
            if ending is None:
                self.assertEqual(len(client.answer().body), 60_000)
                self.assertEqual(client.ending, "closed")

    def test_one_that_half_closes_and_never_reads(self) -> None:
        """L5, L7"""
        rig = Rig(self)
        client = rig.client()
        client.stop_reading()
        client.send(GET)
        rig.backend.answer(ok(b"x" * 60_000))
        client.finish()
        rig.wait(31)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.service.connections, 0)

    def test_one_that_is_refused_and_never_reads(self) -> None:
        """L5"""
        rig = Rig(self)
        client = rig.client()
        client.stop_reading()
        client.send(b"nonsense\r\n\r\n")
        rig.wait(31)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.service.connections, 0)


class Backends(SynchronousTestCase):
    """X2: backends that are late"""

    def rig(self, backends: int = 1, **timeouts: float) -> tuple[Rig, Client]:
        rig = Rig(self, backends=backends, pool={"timeouts": Timeouts(**timeouts)})
        return rig, rig.client()

    def test_one_that_cannot_be_reached(self) -> None:
        """X2: a SYN black hole"""
        rig, client = self.rig()
        rig.backend.is_silent = True
        client.send(GET)
        rig.wait(2.9)
        self.assertEqual(client.received, b"")
        rig.wait(0.3)
        self.assertEqual(client.answer().status, 504)
        self.assertIsNone(client.ending)
        entry = rig.entry()
        self.assertEqual((entry["termination"], entry["error"]), ("sC", "connect_timeout"))
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 1))

    def test_several_that_cannot_be_reached(self) -> None:
        """X2: one more is tried, not all, or a client would wait for the sum of them."""
        rig, client = self.rig(backends=5)
        for backend in rig.backends:
            backend.is_silent = True
        client.send(GET)
        rig.wait(6.4)
        self.assertEqual(client.answer().status, 504)
        self.assertEqual(sum(backend.attempts for backend in rig.backends), 2)
        self.assertEqual(rig.entry()["attempts"], 2)
        self.assertEqual(rig.count("veloflux_upstream_retries_total", "connect_timeout"), 1)

    def test_one_that_never_answers(self) -> None:
        """X2"""
        rig, client = self.rig(backends=2)
        client.send(GET)
        rig.wait(29.9)
        self.assertEqual(client.received, b"")
        rig.wait(0.4)
        self.assertEqual(client.answer().status, 504)
        self.assertIsNone(client.ending)
        self.assertEqual(sum(backend.attempts for backend in rig.backends), 1)
        entry = rig.entry()
        self.assertEqual((entry["termination"], entry["error"]), ("sH", "first_byte_timeout"))
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 1))

    def test_one_that_never_answers_after_a_body(self) -> None:
        """X2: its time begins with the end of the body."""
        rig, client = self.rig()
        client.send(HEAD + b"x" * 5000)
        rig.wait(20)
        client.send(b"x" * 5000)
        rig.wait(29)
        self.assertEqual(client.received, b"")
        rig.wait(1.5)
        self.assertEqual(client.answer().status, 504)

    def test_one_that_sends_its_head_byte_by_byte(self) -> None:
        """X2: the deadline is for the whole of it."""
        rig, client = self.rig()
        client.send(GET)
        for byte in b"HTTP/1.1 200 OK\r\nServer: a slow one":
            if client.received:
                break
            rig.backend.answer(bytes((byte,)))
            rig.wait(1)
        self.assertEqual(client.answer().status, 504)

    def test_interim_answers_buy_no_time(self) -> None:
        """X2"""
        rig, client = self.rig()
        client.send(GET)
        for _ in range(4):
            rig.wait(8)
            if rig.backend.connection.ending is None:
                rig.backend.answer(b"HTTP/1.1 102 Processing\r\n\r\n")
        self.assertEqual(client.answer().status, 504)

    def test_one_that_stops_in_its_answer(self) -> None:
        """X2"""
        for framing in (b"Content-Length: 10\r\n\r\nhello", b"\r\nhello"):
            rig, client = self.rig()
            client.send(GET)
            rig.backend.answer(b"HTTP/1.1 200 OK\r\n" + framing)
            rig.wait(29)
            self.assertIsNone(client.ending)
            rig.wait(1.5)
            self.assertEqual(client.ending, "reset")
            self.assertRaises(h11.RemoteProtocolError, client.answer)
            self.assertEqual(rig.entry()["termination"], "sD")
            self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))

    def test_one_that_goes_on_slowly(self) -> None:
        """X2: there is progress, so only a total deadline ends it."""
        rig, client = self.rig()
        client.send(GET)
        rig.backend.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for byte in b"abcdefghij":
            rig.wait(25)
            rig.backend.answer(bytes((byte,)))
        self.assertEqual(client.answer().body, b"abcdefghij")

    def test_one_that_has_begun_to_answer_and_reads_on(self) -> None:
        """It is not silent that still takes the request."""
        rig = Rig(self, pool={"timeouts": Timeouts(idle_s=10)}, limits={"min_body_rate": 0})
        client = rig.client()
        client.send(UPLOAD)
        rig.backend.connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        for _ in range(8):
            client.send(b"1\r\nx\r\n")
            rig.wait(4)
        client.send(b"0\r\n\r\n")
        rig.wait(9)
        self.assertIsNone(client.ending)
        self.assertEqual(rig.backend.request().body, b"x" * 8)
        rig.wait(2)
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.entry()["termination"], "sD")

    def test_the_whole_takes_too_long(self) -> None:
        """X2"""
        rig, client = self.rig(total_s=10)
        client.send(GET)
        rig.wait(9.8)
        self.assertEqual(client.received, b"")
        rig.wait(0.5)
        self.assertEqual(client.answer().status, 504)
        entry = rig.entry()
        self.assertEqual((entry["termination"], entry["error"]), ("sH", "total_timeout"))
        self.assertEqual(rig.backend.connection.ending, "reset")

    def test_the_whole_takes_too_long_while_connecting(self) -> None:
        """X2"""
        rig, client = self.rig(total_s=2)
        rig.backend.is_silent = True
        client.send(GET)
        rig.wait(2.4)
        self.assertEqual(client.answer().status, 504)
        self.assertEqual(rig.inflight, 0)

    def test_the_whole_takes_too_long_in_the_answer(self) -> None:
        """X2"""
        rig, client = self.rig(total_s=10)
        client.send(GET)
        rig.backend.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(11):
            rig.wait(1)
            if client.ending is None:
                rig.backend.answer(b"x")
        self.assertEqual(client.ending, "reset")
        self.assertEqual(rig.entry()["termination"], "sD")

    def test_the_whole_takes_too_long_in_the_body(self) -> None:
        """X2"""
        rig, client = self.rig(total_s=10)
        client.send(HEAD)
        for _ in range(11):
            client.send(b"x" * 300)
            rig.wait(1)
        self.assertEqual(client.answer().status, 504)
        self.assertEqual(rig.backend.connection.ending, "reset")

    def test_one_that_takes_no_more_of_a_body(self) -> None:
        """X2, L4: the client has to wait, and it is not its fault."""
        rig, client = self.rig()
        client.send(HEAD.replace(b"10000", b"10000000"))
        rig.backend.connection.stop_reading()
        client.send(b"x" * 5_000_000)
        self.assertGreater(client.unread, 4_500_000)
        rig.wait(29)
        self.assertEqual(client.received, b"")
        rig.wait(2)
        self.assertEqual(client.answer().status, 504)
        entry = rig.entry()
        self.assertEqual((entry["termination"], entry["error"]), ("sD", "backend_stalled"))

    def test_one_that_takes_a_body_slowly(self) -> None:
        """X2, L4"""
        rig, client = self.rig()
        client.send(HEAD.replace(b"10000", b"1000000"))
        rig.backend.connection.stop_reading()
        client.send(b"x" * 999_999)
        for _ in range(20):
            rig.wait(20)
            rig.backend.connection.read(1000)
        self.assertEqual(client.received, b"")
        rig.backend.connection.read()
        rig.wait(15)
        self.assertEqual(client.received, b"")
        client.send(b"x")
        self.assertEqual(len(rig.backend.request().body), 1_000_000)
        rig.backend.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_an_idle_connection_to_one_is_closed(self) -> None:
        """Kept for 60 s"""
        rig, client = self.rig()
        client.send(GET)
        rig.backend.answer(OK)
        rig.wait(59)
        self.assertIsNone(rig.backend.connection.ending)
        rig.wait(2)
        self.assertEqual(rig.backend.connection.ending, "closed")
        self.assertEqual(rig.gauge("veloflux_connections", "upstream"), 0)
