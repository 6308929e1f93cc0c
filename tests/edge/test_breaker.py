"""A pool that fails too often is not asked for a while."""

import errno

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig
from veloflux.core.model.resilience import CircuitBreaker, Retries

FAILED = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


class Relayed(SynchronousTestCase):
    """Connections to a pool: one that was taken is a success."""

    def rig(self) -> Rig:
        breaker = CircuitBreaker(error_percent=50, min_requests=4, open_s=5.0, probes=1)
        return Rig(
            self,
            listener={"protocol": "tcp", "pool": "app"},
            routes=(),
            pool={
                "circuit_breaker": breaker,
                "outlier_detection": None,
                "retries": Retries(attempts=0),
            },
        )

    def connect(self, rig: Rig, connections: int, refuses: int = 0) -> None:
        rig.backend.refuses = refuses
        for _ in range(connections):
            rig.client()

    def state(self, rig: Rig) -> str:
        [report] = rig.service.report()
        return report.circuit

    def test_some_failures_are_borne(self) -> None:
        rig = self.rig()
        for _ in range(4):
            self.connect(rig, 3)
            self.connect(rig, 1, errno.ECONNREFUSED)
        self.assertEqual(self.state(rig), "closed")

    def test_it_opens_and_closes(self) -> None:
        rig = self.rig()
        self.connect(rig, 4, errno.ECONNREFUSED)
        self.assertEqual(self.state(rig), "open")
        rig.wait(5.5)
        # While the probe's connection lasts.
        self.connect(rig, 3)
        self.assertEqual((self.state(rig), len(rig.backend.connections)), ("closed", 3))


class Breaking(SynchronousTestCase):
    """X2, X4"""

    def rig(self, **settings: object) -> Rig:
        breaker = CircuitBreaker(
            **{"error_percent": 50, "min_requests": 4, "open_s": 5.0, "probes": 1} | settings
        )
        return Rig(
            self,
            pool={
                "circuit_breaker": breaker,
                "outlier_detection": None,
                "retries": Retries(attempts=0),
            },
        )

    def ask(self, rig: Rig, wire: bytes) -> int:
        """The status of one request, which the backend answers with `wire` if it gets it."""
        client = rig.client()
        client.send(GET)
        for end in rig.backend.connections:
            if len(end.requests()) > end.taken:
                end.taken += 1
                end.send(wire)
        status = client.answer().status
        client.close()
        return status

    def test_it_opens_and_closes(self) -> None:
        rig = self.rig()
        self.assertEqual([self.ask(rig, FAILED) for _ in range(4)], [500] * 4)
        client = rig.client()
        client.send(GET)
        answer = client.answer()
        self.assertEqual((answer.status, answer.field(b"retry-after")), (503, b"5"))
        entry = rig.entries(5)[4]
        self.assertEqual((entry["termination"], entry["error"]), ("PC", "circuit_open"))
        self.assertEqual(rig.gauge("veloflux_upstream_circuit_open", "app"), 1)
        rig.wait(5.5)
        self.assertEqual([self.ask(rig, OK) for _ in range(6)], [200] * 6)
        self.assertEqual(rig.gauge("veloflux_upstream_circuit_open", "app"), 0)

    def test_a_probe_that_fails_opens_it_for_longer(self) -> None:
        rig = self.rig()
        for _ in range(4):
            self.ask(rig, FAILED)
        rig.wait(5.5)
        self.assertEqual(self.ask(rig, FAILED), 500)
        rig.wait(5.5)
        self.assertEqual(self.ask(rig, OK), 503)
        rig.wait(5.0)
        self.assertEqual(self.ask(rig, OK), 200)

    def test_one_probe_at_a_time(self) -> None:
        rig = self.rig()
        for _ in range(4):
            self.ask(rig, FAILED)
        rig.wait(5.5)
        probe = rig.client()
        probe.send(GET)
        self.assertEqual(self.ask(rig, OK), 503)
        # A client that leaves says nothing of the pool, and makes room for another probe.
        probe.reset()
        self.assertEqual(self.ask(rig, OK), 200)

    def test_a_connection_that_fails_counts(self) -> None:
        rig = self.rig()
        for _ in range(4):
            client = rig.client()
            client.send(GET)
            rig.backend.connections[-1].reset()
            self.assertEqual(client.answer().status, 502)
        self.assertEqual(self.ask(rig, OK), 503)

    def test_some_failures_are_borne(self) -> None:
        rig = self.rig()
        statuses = [self.ask(rig, FAILED if n % 4 == 3 else OK) for n in range(12)]
        self.assertNotIn(503, statuses)
