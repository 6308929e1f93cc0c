"""What the endpoints tell of traffic, the log, alerts and the workers' insides."""

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api
from tests.control.services.analytics.tallies import tally
from veloflux.control.services.alerts.conditions import Condition
from veloflux.control.store.store import StoreError
from veloflux.core.model import metrics
from veloflux.core.model.address import Address
from veloflux.core.model.metrics import LAG_BUCKETS, Distribution, Sample, Tally
from veloflux.core.model.report import BackendReport, PoolReport, ProcessReport
from veloflux.core.model.traffic import Backend, Pool, Route, Share, Snapshot
from veloflux.fleet.messages import Told

POOL = Pool("web", (Backend(Address("10.0.0.1", 80)), Backend(Address("10.0.0.2", 80))))


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api(data_dir=self.mktemp())
        self.found = self.api.observatory
        self.api.status.applied(Snapshot(7, (), (POOL,), ()), 1, "abc")
        self.found.start("127.0.0.1:9090")
        self.addCleanup(self.end)

    def end(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.found.stop()))
        self.assertEqual(self.api.clock.getDelayedCalls(), [])

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.api.call("GET", path, SIGNED_IN)
        self.assertEqual(answer.status, status, answer.body)
        return answer.json()

    def count(self, *tallies: Tally, pid: int = 1000) -> None:
        for each in tallies:
            for hear in self.api.fleet.on_tally:
                hear(pid, each)

    def wait(self, seconds: int) -> None:
        """In steps of a loop that is never late."""
        self.api.clock.pump([0.25] * 4 * seconds)


class MetricsTests(Case):
    def test_everything_is_what_was_counted(self) -> None:
        self.api.checks.found = {("web", "10.0.0.1:80"): "healthy"}
        self.api.fleet.ejected = frozenset({("web", "10.0.0.2:80")})
        refused = [
            Sample(metrics.PROTOCOL_ERRORS.name, ("web", "http/1", "grammar"), 3),
            Sample(metrics.CONNECTIONS_REJECTED.name, ("web", "limit"), 4),
            Sample(metrics.RATELIMIT_DECISIONS.name, ("app", "limited"), 5),
            Sample(metrics.RATELIMIT_DECISIONS.name, ("app", "allowed"), 6),
        ]
        self.count(tally(count=30), Tally(tuple(refused)))
        self.wait(60)
        self.count(tally(count=9), tally(count=1, status=500, connections=7))
        self.wait(30)
        found = self.get("/api/metrics")
        requests = found["requests"]
        self.assertEqual((requests["total"], found["requests_total"]), (40, 40))
        self.assertEqual(requests["rate_per_minute"], 10.0)
        self.assertEqual((requests["error_rate"], found["error_rate"]), (0.1, 0.1))
        self.assertEqual(requests["avg_response_time"], 10.0)
        self.assertEqual((requests["active_connections"], found["active_connections"]), (7, 7))
        self.assertEqual(
            found["http_status_codes"],
            [{"code": 200, "count": 39, "share": 0.975}, {"code": 500, "count": 1, "share": 0.025}],
        )
        self.assertEqual(
            found["security"],
            {
                "protocol_errors": 3,
                "connections_rejected": 4,
                "rate_limited": 5,
                "rate_allowed": 6,
            },
        )
        backends = found["backends"]
        self.assertEqual((backends["total"], backends["healthy"], backends["unhealthy"]), (2, 1, 1))
        self.assertEqual(backends["pools"][0]["requests_per_minute"], 10.0)
        self.assertEqual(found["memory"]["total"], self.found.host.latest.memory.total)
        self.assertGreater(found["memory"]["process"], 0)
        self.assertGreater(found["disk"]["total"], 0)
        self.assertNotIn("ai", found)

    def test_realtime_compares_two_minutes(self) -> None:
        nothing = self.get("/api/metrics/realtime")
        self.assertIsNone(nothing["requests_per_minute_trend"])
        self.count(tally(count=10, seconds=0.01))
        self.wait(60)
        self.count(tally(count=15, seconds=0.02))
        self.wait(60)
        found = self.get("/api/metrics/realtime")
        self.assertEqual(found["requests_per_minute"], 15.0)
        self.assertEqual(found["total_requests"], 25)
        self.assertEqual(found["requests_per_minute_trend"], 50.0)
        self.assertEqual(found["avg_response_time_trend"], 100.0)
        self.assertIsNone(found["error_rate_trend"])

    def test_performance_is_the_last_quarter_of_an_hour(self) -> None:
        for count in range(12):
            self.count(tally(count=count, seconds=0.009))
            self.wait(1)
        found = self.get("/api/system/performance")
        self.assertEqual(sum(each["requests"] for each in found["requests_timeline"]), 66)
        self.assertEqual(sum(each["requests"] for each in found["series"]), 66)
        self.assertEqual(found["step"], "5s")
        (only,) = found["latency_distribution"]
        self.assertEqual((only["from_ms"], only["to_ms"], only["count"]), (8.0, 10.0, 66))
        self.assertTrue(all(8.0 <= each["p99"] <= 10.0 for each in found["response_times"][-2:]))
        for name in ("response_times", "throughput"):
            self.assertEqual(len(found[name]), len(found["series"]))


class AnalyticsTests(Case):
    def test_tells_what_there_was_by_what_is_asked_for(self) -> None:
        self.count(tally("app", count=4), tally("shop", count=6, status=404))
        self.wait(61)
        found = self.get("/api/analytics")
        self.assertEqual((found["period"], found["group_by"]), ("1h", "route"))
        self.assertEqual(found["totals"]["requests"], 10)
        self.assertEqual([each["name"] for each in found["groups"]], ["shop", "app"])
        found = self.get("/api/v1/analytics?period=7d&group_by=status")
        self.assertEqual(
            {each["name"]: each["requests"] for each in found["groups"]}, {"200": 4, "404": 6}
        )
        self.assertEqual(len(found["series"]), 7 * 24)

    def test_refuses_what_it_does_not_know(self) -> None:
        for query in ("period=2h", "group_by=planet", "unknown=1", "period=1h&period=7d"):
            self.get(f"/api/analytics?{query}", 400)

    def test_says_when_the_store_does_not_work(self) -> None:
        self.api.store.fault = StoreError("the disk is gone")
        self.assertIn("the disk is gone", self.get("/api/analytics", 503)["detail"])
        self.api.store.fault = None


class SystemTests(Case):
    def test_the_log_is_searched(self) -> None:
        for level, text in (("info", "begins"), ("warn", "is slow"), ("error", "Is Down")):
            self.found.journal(
                {"log_level": type("L", (), {"name": level}), "log_format": text, "log_time": 1e9}
            )
        found = self.get("/api/system/logs?level=warning&search=is&limit=5")
        self.assertEqual([each["message"] for each in found], ["Is Down", "is slow"])
        self.assertEqual(found[0]["timestamp"], "2001-09-09T01:46:40Z")
        self.assertEqual(
            found[0].keys(), {"id", "timestamp", "level", "message", "source", "metadata"}
        )
        self.assertEqual(self.get("/api/system/logs?since=2001-09-09T01:46:41Z"), [])
        for query in ("limit=0", "limit=1001", "level=loud", "since=yesterday"):
            self.get(f"/api/system/logs?{query}", 400)

    def test_alerts_come_and_go(self) -> None:
        self.api.checks.found = {("web", "10.0.0.1:80"): "unhealthy"}
        self.wait(5)
        (alert,) = self.get("/api/system/alerts")
        self.assertEqual((alert["severity"], alert["resolved"]), ("warning", False))
        self.assertIn("10.0.0.1:80", alert["title"])
        self.api.checks.found = {}
        self.wait(60)
        self.assertEqual(self.get("/api/system/alerts?resolved=false"), [])
        (alert,) = self.get("/api/system/alerts?resolved=true")
        self.assertTrue(alert["resolved"])

    def test_a_worker_that_died_is_told_for_a_while(self) -> None:
        self.wait(5)
        self.api.fleet.restarts += 2
        self.wait(5)
        (alert,) = self.get("/api/system/alerts")
        self.assertIn("died", alert["title"])
        self.wait(700)
        self.assertEqual(self.get("/api/system/alerts?resolved=false"), [])

    def test_a_store_that_fails_is_told_and_its_parts_say_so(self) -> None:
        self.api.store.fault = StoreError("the disk is full")
        self.wait(20)
        (alert,) = self.get("/api/system/alerts")
        self.assertEqual((alert["severity"], alert["message"]), ("critical", "the disk is full"))
        found = self.get("/api/status/health")["components"]
        self.assertEqual(found["store"], {"status": "unhealthy", "detail": "the disk is full"})
        self.api.store.fault = None

    def test_every_part_says_how_it_is(self) -> None:
        late = {len(LAG_BUCKETS) - 1: 200}
        self.count(Tally((), (Distribution(metrics.REACTOR_LAG.name, (), late, 9.0),)))
        found = self.get("/api/status/health")
        states = {name: each["status"] for name, each in found["components"].items()}
        self.assertEqual(
            states,
            {
                "workers": "healthy",
                "store": "healthy",
                "cluster": "healthy",
                "checks": "healthy",
                "certificates": "healthy",
                "reactor_lag": "degraded",
            },
        )
        self.assertIn("worker 0", found["components"]["reactor_lag"]["detail"])

    def test_info_and_cluster_agree_on_who_this_is(self) -> None:
        found = self.get("/api/system/info")
        self.assertEqual(found["pid"], os.getpid())
        self.assertGreater(found["limits"]["open_files"], 0)
        cluster = self.get("/api/cluster")
        self.assertEqual(cluster["local_node"], found["node_id"])
        (node,) = cluster["nodes"]
        self.assertEqual((node["id"], node["address"]), (found["node_id"], "127.0.0.1:9090"))
        self.assertEqual((cluster["enabled"], cluster["is_leader"]), (False, True))
        self.assertEqual(cluster["term"], 0)
        self.assertEqual(self.get("/api/status")["node_id"], found["node_id"])


class DebugTests(Case):
    def answer(self) -> None:
        backend = BackendReport("10.0.0.1:80", "", 1, 2, 0.5, 2, 3, 1, True, False, 0.0, 0.01)
        pool = PoolReport("web", "round_robin", "round_robin", None, 0, "open", 3.0, (backend,), 1)
        process = ProcessReport(7, 5, 2, (1, 2, 3), (4, 5, 6), (0, 0, 0), "Reactor")
        self.api.fleet.answers = {1000: Told(1, process, (pool,))}

    def test_pools_and_backends_as_each_worker_has_them(self) -> None:
        self.answer()
        (pool,) = self.get("/api/debug/pools")
        (mine,) = pool["workers"]
        self.assertEqual((pool["name"], pool["silent"]), ("web", []))
        self.assertEqual((mine["circuit"], mine["worker"], mine["left_out"]), ("open", 0, 1))
        first, second = self.get("/api/debug/backends")
        self.assertEqual((first["inflight"], first["workers"][0]["circuit"]), (2, "open"))
        self.assertEqual((second["address"], second["workers"]), ("10.0.0.2:80", []))

    def test_says_who_is_silent(self) -> None:
        (pool,) = self.get("/api/debug/pools")
        self.assertEqual((pool["workers"], pool["silent"]), ([], [0]))
        (worker,) = self.get("/api/debug/performance")["workers"]
        self.assertTrue(worker["is_silent"])

    def test_processes(self) -> None:
        self.answer()
        found = self.get("/api/debug/performance")
        self.assertEqual(found["daemon"]["pid"], os.getpid())
        self.assertGreater(found["daemon"]["memory_bytes"], 0)
        self.assertGreater(found["daemon"]["threads"], 0)
        (worker,) = found["workers"]
        self.assertEqual((worker["collections"], worker["reactor"]), ([1, 2, 3], "Reactor"))

    def test_routes_in_the_order_of_the_search(self) -> None:
        hosts = ("*", "*.b.test", "*.a.b.test", "a.b.test", "a.b.test")
        prefixes = ("/", "/", "/", "/", "/long")
        routes = tuple(
            Route(f"r{n}", host, prefix, pools=(Share("web", 2),))
            for n, (host, prefix) in enumerate(zip(hosts, prefixes, strict=True))
        )
        self.api.status.applied(Snapshot(8, (), (POOL,), routes), 1, "abc")
        found = self.get("/api/debug/routes?page_size=3")
        self.assertEqual([each["id"] for each in found["items"]], ["r4", "r3", "r2"])
        self.assertEqual((found["total_count"], found["has_more"]), (5, True))
        found = self.get("/api/debug/routes?page_size=3&page=2")
        self.assertEqual([each["rank"] for each in found["items"]], [3, 4])
        self.assertEqual(found["items"][1]["match"], "any")
        self.assertEqual(found["items"][1]["pools"], {"web": 2})


class ConditionTests(Case):
    def test_an_alert_is_shown_while_it_is_not_stored(self) -> None:
        self.api.store.fault = StoreError("no")
        self.found.alerts.look([Condition("k", "info", "t", "m", "s")])
        self.assertEqual(len(self.get("/api/system/alerts")), 1)
        self.api.store.fault = None
