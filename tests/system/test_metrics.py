"""The metrics page after traffic of known counts, and who may read it."""

import base64
import http.client
import re
from typing import Any

from tests.support.case import Samples, SystemTestCase, settings
from tests.support.daemon import PATIENCE_S, Daemon
from tests.support.server import read_all


class CountTests(SystemTestCase):
    def test_says_exactly_what_happened(self) -> None:
        """Through three workers, by a connection for each request so that all have some."""
        two = self.backend("two")
        configuration = settings(self.backend("one").address, workers=3, access=None)
        configuration["pools"].append({"name": "two", "backends": [{"address": two.address}]})
        configuration["routes"] = [
            {"id": "first", "host": "one.test", "pool": "app"},
            {"id": "second", "host": "two.test", "path_prefix": "/evil", "pool": "two"},
        ]
        daemon = self.daemon(configuration)
        asked = {
            ("one.test", "GET", "/evil?evil"): 40,
            ("one.test", "POST", "/"): 5,
            ("one.test", "HEAD", "/"): 3,
            ("one.test", "PURGE", "/"): 4,
            ("one.test", "EVIL", "/"): 2,
            ("two.test", "GET", "/evil"): 30,
            ("two.test", "DELETE", "/other"): 6,
            ("evil.test", "GET", "/"): 7,
        }
        for (host, method, path), count in asked.items():
            for _ in range(count):
                self.ask(daemon, host, method, path)
        for _ in range(9):
            client = self.connect(daemon.port())
            client.sendall(b"GET / HTTP/1.1\r\nHost: one.test\r\nEvil : evil\r\n\r\n")
            self.assertTrue(read_all(client).startswith(b"HTTP/1.1 400 "))
        page = self.wait_for_metric(
            daemon, sum(asked.values()) + 9.0, "veloflux_http_requests_total"
        )
        counted = {
            (sample.labels["route"], sample.labels["method"], sample.labels["code_class"]): int(
                sample.value
            )
            for sample in page.all
            if sample.name == "veloflux_http_requests_total"
        }
        self.assertEqual(
            counted,
            {
                ("first", "GET", "2xx"): 40,
                ("first", "POST", "2xx"): 5,
                ("first", "HEAD", "2xx"): 3,
                ("first", "other", "2xx"): 4,
                # The backend's own word on a method that it does not know.
                ("first", "other", "5xx"): 2,
                ("second", "GET", "2xx"): 30,
                ("", "DELETE", "4xx"): 6,
                ("", "GET", "4xx"): 7,
                ("", "other", "4xx"): 9,
            },
        )
        self.adds_up(page, two.address)
        self.assertNotIn("evil", page.page.lower())
        self.assertEqual(page.sum("veloflux_workers"), 3)

    def adds_up(self, page: Samples, two: str) -> None:
        for name, count in {
            "veloflux_http_request_duration_seconds_count": 84 + 22,
            "veloflux_http_responses_total": 84 + 22,
            "veloflux_upstream_requests_total": 84,
            "veloflux_upstream_request_duration_seconds_count": 84,
            "veloflux_connections_accepted_total": 84 + 22,
            "veloflux_protocol_errors_total": 9,
            "veloflux_upstream_inflight": 0,
        }.items():
            self.assertEqual(page.sum(name), count, name)
        self.assertEqual(page.sum("veloflux_upstream_requests_total", backend=two), 30)
        for status, count in {"200": 82, "501": 2, "404": 13, "400": 9}.items():
            self.assertEqual(page.sum("veloflux_http_responses_total", status=status), count)
        self.assertEqual(
            page.sum("veloflux_http_bytes_total", direction="out", route="second"), 3 * 30
        )
        buckets = {
            sample.labels["le"]: sample.value
            for sample in page.all
            if sample.name == "veloflux_http_request_duration_seconds_bucket"
            and sample.labels["route"] == "second"
        }
        self.assertEqual(buckets["+Inf"], 30)
        self.assertEqual(sorted(buckets.values()), list(buckets.values()))

    def ask(self, daemon: Daemon, host: str, method: str, path: str) -> None:
        client = self.client(daemon.port())
        client.request(method, path, headers={"Host": host})
        client.getresponse().read()
        client.close()


class AccessTests(SystemTestCase):
    def test_its_own_listener_is_open_and_the_admins_asks(self) -> None:
        daemon = self.daemon(settings(self.backend().address, metrics={"address": "127.0.0.8:0"}))
        found = re.search(r"metrics are on http://(\S+)", daemon.output)
        assert found is not None
        self.assertEqual(self.status(found[1], "/metrics"), 200)
        for path in ("/", "/health", "/api/status", "/metrics/x"):
            self.assertEqual(self.status(found[1], path), 404)
        refused = self.admin(daemon, "/metrics", "")
        self.assertEqual(refused.status, 401)
        self.assertIn("Basic", refused.headers["WWW-Authenticate"])
        self.assertEqual(self.admin(daemon, "/metrics").status, 200)
        self.throttles(daemon)
        self.assertEqual(self.status(found[1], "/metrics"), 200)

    def throttles(self, daemon: Daemon) -> None:
        """A7: wrong passwords, five tries in fifteen minutes for each address."""
        statuses = [self.admin(daemon, "/metrics", f"wrong {n}").status for n in range(8)]
        self.assertEqual(statuses, [401] * 8)
        # By then they are not looked at any more, which is told by when to come back.
        late = self.admin(daemon, "/metrics", "wrong")
        self.assertGreater(int(late.headers["Retry-After"]), 60)
        # From elsewhere nobody is kept out by that, and what is open stays open.
        elsewhere = {"source_address": ("127.0.0.7", 0)}
        self.assertEqual(self.status(daemon.admin, "/metrics", daemon.password, **elsewhere), 200)
        self.assertEqual(self.status(daemon.admin, "/healthz"), 200)
        self.assertNotIn("wrong", daemon.output)

    def status(self, where: str, path: str, password: str = "", **options: Any) -> int:
        client = http.client.HTTPConnection(where, timeout=PATIENCE_S, **options)
        self.addCleanup(client.close)
        credentials = base64.b64encode(f"admin:{password}".encode()).decode()
        client.request(
            "GET", path, headers={"Authorization": f"Basic {credentials}"} if password else {}
        )
        response = client.getresponse()
        response.read()
        return response.status
