"""Requests that are asked again: which, of whom, when, and how many of them."""

import errno
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, POST, Backend, Rig, variant
from veloflux.core.model.resilience import Retries
from veloflux.core.model.traffic import Timeouts

FAILED = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
PUT = b"PUT / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT / HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\n\r\n"
)
KEYED = POST.replace(b"Host:", b"Idempotency-Key: 7\r\nHost:")
RETRIES = "veloflux_upstream_retries_total"


class Again(SynchronousTestCase):
    """X4"""

    def rig(self, backends: int = 2, **retries: object) -> Rig:
        return Rig(self, backends=backends, pool={"retries": Retries(**retries)})

    def asked(self, rig: Rig) -> Backend:
        """The one backend at work."""
        (found,) = [
            backend
            for backend in rig.backends
            if any(end.ending is None and not end.taken for end in backend.connections)
        ]
        return found

    def test_another_backend_is_asked(self) -> None:
        for wire in (GET, PUT, CHUNKED, KEYED):
            with variant(repr(wire[:40])):
                rig = self.rig()
                client = rig.client()
                client.send(wire)
                first = self.asked(rig)
                seen = first.request()
                first.connection.reset()
                self.assertEqual(client.news, b"")
                rig.wait(0.1)
                (second,) = [backend for backend in rig.backends if backend is not first]
                again = second.request()
                self.assertEqual(
                    (again.method, again.target, again.body), (seen.method, seen.target, seen.body)
                )
                second.answer(OK)
                self.assertEqual(client.answer().status, 200)
                entry = rig.entry()
                self.assertEqual((entry["attempts"], entry["status"]), (2, 200))
                self.assertEqual((rig.count(RETRIES, "reset"), rig.inflight), (1, 0))

    def test_a_body_that_is_still_on_its_way(self) -> None:
        rig = self.rig()
        client = rig.client()
        client.send(PUT[:-2])
        first = self.asked(rig)
        first.connections[0].reset()
        rig.wait(0.1)
        client.send(PUT[-2:])
        (second,) = [backend for backend in rig.backends if backend is not first]
        self.assertEqual(second.request().body, b"hello")
        second.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_a_body_whose_backend_was_late(self) -> None:
        """The client had to wait, and is not charged for that."""
        rig = self.rig()
        rig.change(
            pools=(
                replace(rig.snapshot.pools[0], timeouts=Timeouts(connect_s=30, first_byte_s=30)),
            )
        )
        client = rig.client()
        client.send(b"PUT / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3010\r\n\r\n")
        client.send(b"x" * 3000)
        first = self.asked(rig)
        (second,) = [backend for backend in rig.backends if backend is not first]
        second.is_silent = True
        first.connections[0].reset()
        rig.wait(20)
        second.accept()
        rig.wait(6)
        self.assertEqual(client.news, b"")
        client.send(b"x" * 10)
        self.assertEqual(second.request().body, b"x" * 3010)
        second.answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_an_answer_that_is_a_failure_took_its_time(self) -> None:
        for status, least in ((b"429", 2.0), (b"503", 2.0)):
            rig = self.rig(1, statuses=(429, 503))
            rig.change(pools=(replace(rig.snapshot.pools[0], algorithm="peak_ewma"),))
            client = rig.client()
            client.send(GET)
            rig.backend.request()
            rig.wait(2.0)
            rig.backend.answer(FAILED.replace(b"503", status))
            [report] = rig.service.report()
            self.assertAlmostEqual(report.backends[0].latency_s or 0.0, least, places=1)

    def test_not_what_may_have_been_done(self) -> None:
        rig = self.rig()
        client = rig.client()
        client.send(POST)
        first = self.asked(rig)
        first.connections[0].reset()
        self.assertEqual(client.answer().status, 502)
        self.assertEqual(sum(backend.attempts for backend in rig.backends), 1)

    def test_not_a_body_too_long_to_keep(self) -> None:
        rig = self.rig()
        client = rig.client()
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 99_999)
        self.asked(rig).connections[0].reset()
        self.assertEqual(client.answer().status, 502)

    def test_the_same_backend_when_there_is_no_other(self) -> None:
        rig = self.rig(backends=1)
        client = rig.client()
        client.send(GET)
        rig.backend.connections[0].finish()
        rig.wait(0.1)
        rig.backend.connections[1].send(OK)
        self.assertEqual(client.answer().status, 200)

    def test_so_many_times(self) -> None:
        for attempts in (0, 1, 3):
            rig = self.rig(backends=1, attempts=attempts)
            client = rig.client()
            client.send(GET)
            for number in range(attempts + 1):
                self.assertEqual(client.news, b"")
                rig.backend.connections[number].finish()
                rig.wait(0.3)
            self.assertEqual(client.answer().status, 502)
            self.assertEqual(rig.backend.attempts, attempts + 1)

    def test_a_status_that_is_a_failure(self) -> None:
        rig = self.rig(statuses=(503,))
        client = rig.client()
        client.send(GET)
        first = self.asked(rig)
        first.request()
        first.answer(FAILED)
        rig.wait(0.1)
        self.assertEqual(client.news, b"")
        (second,) = [backend for backend in rig.backends if backend is not first]
        second.request()
        second.answer(FAILED)
        # There is no further attempt: the client gets what there is.
        answer = client.answer()
        self.assertEqual((answer.status, answer.body), (503, b"busy"))
        self.assertEqual(rig.count(RETRIES, "unwanted_status"), 1)
        self.assertEqual(rig.inflight, 0)

    def test_no_more_than_the_budget(self) -> None:
        """Ten seconds' worth of one a second may be spent at once."""
        rig = self.rig(backends=1, budget_percent=0, min_per_second=1)
        statuses = []
        for number in range(12):
            client = rig.client()
            client.send(GET)
            rig.backend.connections[-1].finish()
            rig.wait(0.03)
            if len(rig.backend.connections) > number + 1 + len(statuses):
                rig.backend.connections[-1].send(OK)
            rig.wait(0.03)
            statuses.append(client.answer().status if client.news else None)
        self.assertEqual(rig.count(RETRIES, "reset"), 10)
        exhausted = rig.count("veloflux_upstream_retry_budget_exhausted_total")
        self.assertGreaterEqual(exhausted, 1)

    def test_a_reload_grants_none_anew(self) -> None:
        """C4: or reloads in a storm would let the storm through."""
        rig = self.rig(backends=1, budget_percent=0, min_per_second=1)
        for _ in range(3):
            for _ in range(12):
                client = rig.client()
                client.send(GET)
                rig.backend.connections[-1].finish()
                rig.wait(0.03)
            rig.change()
        self.assertEqual(rig.count(RETRIES, "reset"), 10)

    def test_the_total_deadline_covers_all_attempts(self) -> None:
        rig = Rig(
            self,
            pool={"retries": Retries(attempts=5, backoff_s=10.0, max_backoff_s=10.0)}
            | {"timeouts": Timeouts(total_s=2.0)},
        )
        client = rig.client()
        client.send(GET)
        rig.backend.connections[0].finish()
        rig.wait(2.5)
        statuses = [answer.status for answer in client.answers(b"GET")]
        if statuses != [504]:
            # It came again before: that one hangs.
            self.assertEqual(statuses, [])
        rig.wait(1.0)
        self.assertEqual(rig.entry()["error"], "total_timeout")
        # A connection that was being made is kept for another request.
        kept = rig.gauge("veloflux_connections", "upstream")
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 1 + kept))

    def test_a_client_that_leaves_meanwhile(self) -> None:
        """L7"""
        rig = self.rig(backends=1, backoff_s=5.0, max_backoff_s=5.0)
        client = rig.client()
        client.send(GET)
        rig.backend.connections[0].finish()
        client.reset()
        rig.wait(6.0)
        self.assertEqual((rig.inflight, rig.reactor.descriptors), (0, 0))
        self.assertEqual(rig.entry()["termination"], "CH")

    def test_not_after_an_interim_answer(self) -> None:
        """The client has seen a byte of it."""
        rig = self.rig()
        client = rig.client()
        client.send(GET)
        first = self.asked(rig)
        first.request()
        first.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        first.connection.finish()
        rig.wait(0.5)
        self.assertEqual(sum(backend.attempts for backend in rig.backends), 1)
        self.assertIn(b" 502 ", client.received)

    def test_refusals_cost_nothing(self) -> None:
        rig = self.rig(backends=4, budget_percent=0, min_per_second=0)
        for backend in rig.backends[:3]:
            backend.refuses = errno.ECONNREFUSED
        for _ in range(4):
            client = rig.client()
            client.send(GET)
            rig.backends[3].request()
            rig.backends[3].answer(OK)
            self.assertEqual(client.answer().status, 200)
