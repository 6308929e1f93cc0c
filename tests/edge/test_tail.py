"""Copies of access-log lines, and how pools report."""

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig, get
from veloflux.core.model import metrics
from veloflux.core.model.report import MAX_BACKENDS
from veloflux.core.model.resilience import CircuitBreaker
from veloflux.core.model.traffic import AccessLog


class TailTests(SynchronousTestCase):
    def ask(self, rig: Rig, count: int = 1, path: bytes = b"/") -> None:
        for _ in range(count):
            client = rig.client()
            client.send(get(path))
            rig.backend.answer(OK)
            client.close()

    def test_whoever_watches_gets_the_lines_of_the_log(self) -> None:
        rig = Rig(self)
        self.ask(rig)
        rig.service.watch(10)
        self.ask(rig, 2, b"/seen")
        lines, dropped = rig.service.take_lines()
        self.assertEqual(dropped, 0)
        rig.service.watch(0)
        self.ask(rig)
        self.assertEqual(rig.service.take_lines(), ([], 0))
        logged = rig.log_lines(4)
        self.assertEqual(
            [line.rstrip("\n") for line in lines], [x.rstrip("\n") for x in logged[1:3]]
        )

    def test_what_there_is_no_room_for_is_counted_and_still_logged(self) -> None:
        rig = Rig(self)
        rig.service.watch(2)
        self.ask(rig, 5)
        lines, dropped = rig.service.take_lines()
        self.assertEqual((len(lines), dropped), (2, 3))
        self.ask(rig)
        self.assertEqual(len(rig.service.take_lines()[0]), 1)
        rig.log_lines(6)

    def test_lines_are_json_whatever_the_form_of_the_log(self) -> None:
        rig = Rig(self, log_format="combined")
        rig.service.watch(1)
        self.ask(rig, 2)
        ((line,), _) = rig.service.take_lines()
        self.assertEqual(json.loads(line)["status"], 200)
        for logged in rig.log_lines(2):
            self.assertRegex(logged, r"^198\.51\.100\.7 - - \[")

    def test_can_be_watched_without_a_log(self) -> None:
        rig = Rig(self)
        rig.change(access_log=None)
        rig.service.watch(5)
        self.ask(rig)
        self.assertEqual(len(rig.service.take_lines()[0]), 1)

    def test_watching_outlives_a_change_of_the_log(self) -> None:
        rig = Rig(self)
        rig.service.watch(5)
        path = self.mktemp()
        rig.change(access_log=AccessLog(path, "combined"))
        self.ask(rig)
        self.assertEqual(len(rig.service.take_lines()[0]), 1)
        rig.log_path = path
        rig.log_lines(1)


class ReportTests(SynchronousTestCase):
    def test_tells_how_each_backend_stands(self) -> None:
        rig = Rig(self, backends=3, pool={"algorithm": "least_conn"})
        rig.service.mark("app", "10.0.0.2:80", False)
        rig.service.eject("app", "10.0.0.3:80", 30.0)
        rig.wait(10.0)
        client = rig.client()
        client.send(GET)
        (pool,) = rig.service.report()
        self.assertEqual(
            (pool.name, pool.algorithm, pool.reason), ("app", "least_conn", "least_conn")
        )
        self.assertEqual(pool.next, "10.0.0.1:80")
        self.assertEqual((pool.circuit, pool.waiting, pool.left_out), ("", 0, 0))
        first, second, third = pool.backends
        self.assertEqual((first.why_not, first.inflight, first.connections), ("", 1, 1))
        self.assertEqual((second.why_not, second.is_healthy), ("unhealthy", False))
        self.assertEqual(third.why_not, "ejected")
        self.assertAlmostEqual(third.ejected_for_s, 20.0, delta=0.5)

    def test_tells_of_an_open_circuit(self) -> None:
        breaker = CircuitBreaker(error_percent=50, min_requests=1, open_s=30.0)
        rig = Rig(self, pool={"circuit_breaker": breaker, "outlier_detection": None})
        client = rig.client()
        client.send(GET)
        rig.backend.answer(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        (pool,) = rig.service.report()
        self.assertEqual(pool.circuit, "open")
        self.assertAlmostEqual(pool.circuit_closes_in_s, 30.0, delta=1.0)

    def test_is_bounded(self) -> None:
        rig = Rig(self, backends=MAX_BACKENDS + 7)
        (pool,) = rig.service.report()
        self.assertEqual((len(pool.backends), pool.left_out), (MAX_BACKENDS, 7))


class StatusTests(SynchronousTestCase):
    def test_answers_are_counted_by_status(self) -> None:
        rig = Rig(self)
        for answer in (OK, b"HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n", OK):
            client = rig.client()
            client.send(GET)
            rig.backend.answer(answer)
        rig.client().send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        counts = {
            status: rig.count(metrics.HTTP_RESPONSES.name, status)
            for status in ("200", "400", "418", "500")
        }
        self.assertEqual(counts, {"200": 2, "400": 1, "418": 1, "500": 0})
