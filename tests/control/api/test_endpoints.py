"""What the endpoints about the daemon itself tell."""

import platform

from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api, Connection, parse
from tests.control.test_exposition import read
from veloflux import __version__
from veloflux.control.api.app import metrics_site
from veloflux.core.model import metrics
from veloflux.core.model.address import Address
from veloflux.core.model.metrics import Sample, Tally
from veloflux.core.model.traffic import Backend, Pool, Snapshot
from veloflux.fleet.probes import Counts


class CoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()
        pool = Pool("web", (Backend(Address("a", 1)), Backend(Address("b", 1))))
        self.api.status.applied(Snapshot(9, (), (pool,), (), revision=7), 1, "abc")

    def test_the_root_tells_the_version(self) -> None:
        expected = {"status": f"VeloFlux {__version__}", "version": __version__}
        self.assertEqual(self.api.call("GET", "/").json(), expected)

    def test_version_tells_every_version(self) -> None:
        answer = self.api.call("GET", "/api/version").json()
        self.assertEqual(answer.keys(), {"version", "python", "twisted", "api"})
        self.assertEqual(answer["python"], platform.python_version())
        self.assertEqual(answer["api"], "v1")

    def test_health_counts_checks(self) -> None:
        self.api.checks.counts = Counts(total=4, successful=3)
        for path in ("/health", "/api/health", "/api/v1/health"):
            answer = self.api.call("GET", path)
            self.assertEqual(answer.headers["content-type"], "application/json")
            self.assertEqual(
                answer.json(),
                {
                    "status": "healthy",
                    "timestamp": "2001-09-09T01:46:40Z",
                    "version": __version__,
                    "total_checks": 4,
                    "successful_checks": 3,
                    "failed_checks": 1,
                    "uptime_percentage": 75.0,
                },
            )

    def test_health_is_503_only_when_unhealthy(self) -> None:
        self.api.status.applied(self.api.status.in_force.snapshot, 2, "abc")
        answer = self.api.call("GET", "/health")
        self.assertEqual((answer.status, answer.json()["status"]), (200, "degraded"))
        self.api.checks.found = {("web", "a:1"): "unhealthy", ("web", "b:1"): "unhealthy"}
        answer = self.api.call("GET", "/health")
        self.assertEqual((answer.status, answer.json()["status"]), (503, "unhealthy"))

    def test_readiness_ends_with_a_drain_and_liveness_does_not(self) -> None:
        self.api.fleet.is_draining = True
        live, ready = self.api.call("GET", "/healthz"), self.api.call("GET", "/readyz")
        self.assertEqual((live.status, ready.status), (200, 503))
        self.assertEqual((live.body, ready.body), (b"", b""))
        self.assertNotIn("content-type", live.headers)
        self.api.fleet.workers = []
        self.assertEqual(self.api.call("GET", "/healthz").status, 200)
        self.api.fleet.is_draining = False
        self.assertEqual(self.api.call("GET", "/healthz").status, 503)

    def test_status_tells_more_to_who_signs_in(self) -> None:
        self.api.clock.advance(60.0)
        summary = self.api.call("GET", "/api/status").json()
        self.assertEqual(
            summary,
            {
                "status": "healthy",
                "version": __version__,
                "uptime": "60.0s",
                "config_revision": 7,
                "pools": 1,
                "backends": 2,
                "healthy_backends": 2,
                "routes": 0,
                "draining": False,
            },
        )
        self.api.status.node_id = "abc"
        details = self.api.call("GET", "/api/status", SIGNED_IN).json()
        (worker,) = details.pop("workers")
        self.assertEqual(details, summary | {"node_id": "abc", "is_leader": True})
        self.assertEqual((worker["pid"], worker["state"]), (1000, "serving"))

    def test_metrics_are_prometheus_text(self) -> None:
        name = metrics.CONNECTIONS_ACCEPTED.name
        self.api.metrics.merge(0, Tally((Sample(name, ("web",), 5.0),)))
        for path in ("/metrics", "/api/metrics/prometheus", "/api/v1/metrics/prometheus"):
            answer = self.api.call("GET", path, SIGNED_IN)
            self.assertEqual(
                answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8"
            )
            self.assertEqual(read(answer.body)[name, frozenset({("listener", "web")})], 5.0)


class CountTests(SynchronousTestCase):
    def test_counts_its_own_requests_by_method_and_status(self) -> None:
        """Those refused before the routing, too; no client chooses a label."""
        api = Api()
        for _ in range(2):
            api.call("GET", "/healthz")
        api.call("GET", "/nothing")
        api.call("BREW", "/")
        api.call("GET", "/", {"Host": "evil.example"})
        found = read(api.call("GET", "/metrics", SIGNED_IN).body)
        name = metrics.ADMIN_REQUESTS.name

        def count(method: str, code_class: str) -> float | None:
            return found.get((name, frozenset({("method", method), ("code_class", code_class)})))

        self.assertEqual((count("GET", "2xx"), count("GET", "4xx")), (2.0, 2.0))
        self.assertEqual(count("other", "4xx"), 1.0)


class MetricsListenerTests(SynchronousTestCase):
    def test_serves_the_metrics_alone_to_anybody(self) -> None:
        api = Api()
        site = metrics_site(api.clock, api.frame)

        def call(path: str) -> int:
            raw = api.raw("GET", path, {"Host": "veloflux.monitoring.svc:9091"})
            return parse(Connection(site).send(raw)).status

        self.assertEqual(call("/metrics"), 200)
        for path in ("/", "/health", "/api/status", "/api/metrics/prometheus"):
            self.assertEqual(call(path), 404, path)
