"""Many changes as one revision: bulk calls and transactions, and what becomes of those watched."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.control.api.test_configuration import Case
from veloflux.control.services.configuration.burn import Counts

ADD = {"object": "pools", "action": "add", "name": "web"}


class Bulk(Case):
    def test_is_one_revision(self) -> None:
        operations = [{"action": "add", "name": f"p{i}"} for i in range(20)]
        found = self.ok(200, self.call("POST", "/api/bulk/pools", {"operations": operations}))
        self.assertEqual((found["total"], found["succeeded"], found["failed"]), (20, 20, 0))
        self.assertEqual((found["revision"], self.revision), (2, 2))

    def test_with_one_that_is_wrong_is_none(self) -> None:
        operations = [
            {"action": "add", "name": "a"},
            {"action": "burn", "name": "b"},
            {"action": "delete", "name": "nobody"},
        ]
        found = self.ok(200, self.call("POST", "/api/bulk/pools", {"operations": operations}))
        statuses = [each["status"] for each in found["results"]]
        self.assertEqual(statuses, ["undone", "failed", "failed"])
        self.assertIn("burn", found["results"][1]["error"])
        self.assertEqual((found["succeeded"], self.revision), (0, 1))

    def test_takes_those_that_are_right_when_that_is_asked_for(self) -> None:
        operations = [
            {"action": "add", "host": "a.example", "pool": "app"},
            {"action": "add", "host": "b.example", "pool": "nobody"},
            {"action": "add", "host": "c.example", "pool": "app"},
            {"action": "update", "id": "app", "websocket": False},
        ]
        found = self.ok(
            200,
            self.call("POST", "/api/bulk/routes", {"operations": operations, "atomic": False}),
        )
        statuses = [each["status"] for each in found["results"]]
        self.assertEqual(statuses, ["ok", "failed", "ok", "ok"])
        self.assertEqual(len(self.ok(200, self.call("GET", "/api/routes"))), 3)

    def test_of_backends_by_id_or_address(self) -> None:
        operations: list[dict[str, Any]] = [
            {"action": "add", "address": "127.0.0.1:9002", "region": "eu"},
            {"action": "update", "pool": "app", "address": "127.0.0.1:9002", "weight": 5},
            {"action": "delete", "pool": "app", "address": "127.0.0.1:9001"},
        ]
        trial = {"operations": operations, "dry_run": True}
        self.assertEqual(self.ok(200, self.call("POST", "/api/bulk/backends", trial))["failed"], 0)
        self.assertEqual(self.revision, 1)
        self.ok(200, self.call("POST", "/api/bulk/backends", {"operations": operations}))
        [row] = self.ok(200, self.call("GET", "/api/backends"))
        self.assertEqual(
            (row["address"], row["weight"], row["region"]), ("127.0.0.1:9002", 5, "eu")
        )

    def test_is_bounded(self) -> None:
        operations = [{"action": "add", "name": f"p{i}"} for i in range(1001)]
        self.refused(400, self.call("POST", "/api/bulk/pools", {"operations": operations}))


class Transactions(Case):
    def begun(self, *operations: dict[str, Any], **config: Any) -> str:
        made = self.call("POST", "/api/config/transactions?reason=sale")
        path = made.headers["location"]
        self.assertEqual(self.ok(201, made)["state"], "open")
        staged = {"operations": list(operations), "config": config}
        self.ok(200, self.call("PUT", f"{path}/changes", staged))
        return path

    def test_put_a_whole_configuration_in_the_place_of_what_there_is(self) -> None:
        path = self.begun()
        whole = {"listeners": [{"address": "127.0.0.1:8080"}], "pools": [], "routes": []}
        self.ok(200, self.call("PUT", f"{path}/changes", {"config": whole, "mode": "replace"}))
        self.ok(200, self.call("POST", f"{path}/commit"))
        self.assertEqual(self.ok(200, self.call("GET", "/api/routes")), [])
        self.assertEqual(self.ok(200, self.call("GET", "/api/pools")), [])

    def test_stage_compare_and_commit(self) -> None:
        path = self.begun(ADD, routes=[{"id": "web", "host": "web.example", "pool": "web"}])
        found = self.ok(200, self.call("GET", f"{path}/diff"))
        self.assertEqual(found["changes"], ["pool web added", "route web added"])
        self.assertEqual(self.revision, 1)
        done = self.ok(200, self.call("POST", f"{path}/commit"))
        self.assertEqual((done["state"], done["revision"], self.revision), ("committed", 2, 2))
        self.assertEqual(self.api.configuration.current().entry.reason, "sale")
        self.refused(409, self.call("POST", f"{path}/commit"))
        self.refused(409, self.call("DELETE", path))

    def test_on_a_stale_base_are_refused(self) -> None:
        path = self.begun(ADD)
        self.ok(201, self.call("POST", "/api/pools", {"name": "other"}))
        self.refused(409, self.call("POST", f"{path}/commit"))
        self.assertEqual(self.ok(200, self.call("GET", path))["state"], "open")
        self.ok(204, self.call("DELETE", path))
        self.refused(404, self.call("GET", path))

    def test_that_are_wrong_stay_open(self) -> None:
        path = self.begun({"object": "pools", "action": "delete", "name": "nobody"})
        self.refused(400, self.call("POST", f"{path}/commit"))
        self.refused(400, self.call("GET", f"{path}/diff"))
        self.assertEqual(self.ok(200, self.call("GET", path))["state"], "open")

    def test_expire(self) -> None:
        path = self.begun(ADD)
        self.api.clock.advance(3601)
        self.assertEqual(self.ok(200, self.call("GET", path))["state"], "expired")
        self.refused(409, self.call("POST", f"{path}/commit"))

    def watched(self, **limits: Any) -> str:
        path = self.begun(ADD)
        self.api.counts = Counts(1000, 10, {20: 1000})
        self.api.before = Counts(100, 1, {20: 100})
        found = self.ok(200, self.call("POST", f"{path}/commit", {"watch": "30s", **limits}))
        self.assertEqual((found["state"], self.revision), ("watching", 2))
        return path

    def test_that_go_well_are_confirmed(self) -> None:
        path = self.watched(max_error_rate=0.02)
        self.api.counts = Counts(1100, 11, {20: 1100})
        self.api.clock.advance(29)
        self.assertEqual(self.ok(200, self.call("GET", path))["state"], "watching")
        self.api.clock.advance(2)
        self.assertEqual(self.ok(200, self.call("GET", path))["state"], "confirmed")
        self.assertEqual(self.revision, 2)

    def test_that_burn_are_rolled_back_at_once(self) -> None:
        path = self.watched(max_error_rate=0.02)
        self.api.counts = Counts(1100, 60, {20: 1100})
        self.api.clock.advance(1)
        found = self.ok(200, self.call("GET", path))
        self.assertEqual(found["state"], "rolled_back")
        self.assertIn("50.0% of 100 requests failed", found["verdict"])
        self.assertEqual(self.revision, 3)
        self.refused(404, self.call("GET", "/api/pools/web"))

    def test_that_are_slow_are_rolled_back(self) -> None:
        path = self.watched(max_p99_ms=0.001)
        self.api.counts = Counts(1100, 10, {20: 1000, 40: 100})
        self.api.clock.advance(1)
        self.assertEqual(self.ok(200, self.call("GET", path))["state"], "rolled_back")

    def test_nobody_changes_what_is_watched(self) -> None:
        path = self.watched()
        self.refused(409, self.call("POST", "/api/pools", {"name": "other"}))
        self.refused(409, self.call("POST", "/api/reload"))
        self.ok(204, self.call("DELETE", path))
        self.assertEqual(self.ok(200, self.call("GET", path))["state"], "rolled_back")
        self.ok(201, self.call("POST", "/api/pools", {"name": "other"}))

    def test_a_watch_that_a_restart_interrupts_is_rolled_back(self) -> None:
        path = self.watched()
        self.api.configuration.checks.clear()
        again = type(self.api.transactions)(
            self.api.configuration, self.api.store, self.api.clock, self.api.now, Counts, Counts
        )
        self.successResultOf(Deferred.fromCoroutine(again.start()))
        found = again.get(path.rpartition("/")[2])
        self.assertEqual((found.state, self.revision), ("rolled_back", 3))
        self.api.transactions.stop()
