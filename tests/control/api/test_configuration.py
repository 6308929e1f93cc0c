"""The endpoints that show and change the configuration."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api, Response
from veloflux.control.store.store import StoreError

JSON = SIGNED_IN | {"Content-Type": "application/json"}


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api().begin()

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Response:
        content = b"" if body is None else json.dumps(body).encode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        fields |= {"Content-Length": str(len(content))} if content else {}
        self.api.clock.advance(0.1)
        return self.api.call(method, path, JSON | fields, content)

    def ok(self, status: int, answer: Response) -> Any:
        self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def refused(self, status: int, answer: Response) -> list[str]:
        self.assertEqual(answer.status, status, answer.body)
        return [each["pointer"] for each in answer.json()["errors"]]

    @property
    def revision(self) -> int:
        return self.api.configuration.current().number


class Pools(Case):
    def test_come_change_and_go(self) -> None:
        made = self.call("POST", "/api/pools", {"name": "web", "algorithm": "least_conn"})
        self.assertEqual(made.headers["location"], "/api/pools/web")
        pool = self.ok(201, made)
        self.assertEqual(
            (pool["name"], pool["algorithm"], pool["backends"]), ("web", "least_conn", [])
        )
        self.assertEqual(pool["timeouts"]["connect"], "3s")
        changed = self.ok(200, self.call("PUT", "/api/pools/web", {"slow_start": "5s"}))
        self.assertEqual((changed["slow_start"], changed["algorithm"]), ("5s", "least_conn"))
        self.assertEqual(
            [each["name"] for each in self.ok(200, self.call("GET", "/api/pools"))], ["app", "web"]
        )
        self.assertEqual(self.ok(200, self.call("GET", "/api/pools/web")), changed)
        self.ok(204, self.call("DELETE", "/api/pools/web"))
        self.refused(404, self.call("GET", "/api/pools/web"))
        self.assertEqual(self.revision, 4)

    def test_what_was_got_can_be_put(self) -> None:
        pool = self.ok(200, self.call("GET", "/api/pools/app"))
        self.assertEqual(self.ok(200, self.call("PUT", "/api/pools/app", pool)), pool)

    def test_what_is_wrong_is_told_where_it_is(self) -> None:
        pool = {"name": "web", "algorithm": "best", "backends": [{"address": "x"}]}
        self.assertEqual(
            self.refused(400, self.call("POST", "/api/pools", pool)),
            ["/algorithm", "/backends/0/address"],
        )
        self.assertEqual(
            self.refused(400, self.call("PUT", "/api/pools/app", {"name": "other"})), ["/name"]
        )
        self.assertEqual(self.refused(400, self.call("POST", "/api/pools", {})), ["/name"])
        self.refused(409, self.call("POST", "/api/pools", {"name": "app"}))
        self.assertEqual(self.revision, 1)

    def test_that_routes_lead_to_stay_unless_it_is_forced(self) -> None:
        self.refused(409, self.call("DELETE", "/api/pools/app"))
        self.ok(204, self.call("DELETE", "/api/pools/app?force=true"))
        self.assertEqual(self.ok(200, self.call("GET", "/api/routes")), [])

    def test_a_dry_run_changes_nothing(self) -> None:
        made = self.call("POST", "/api/pools?dry_run=true", {"name": "web"})
        self.assertEqual(self.ok(200, made)["changes"], ["pool web added"])
        self.refused(409, self.call("DELETE", "/api/pools/app?dry_run=true"))
        self.ok(204, self.call("DELETE", "/api/pools/app?force=true&dry_run=true"))
        self.refused(404, self.call("GET", "/api/pools/web"))
        self.assertEqual(self.revision, 1)

    def test_conditions_hold(self) -> None:
        got = self.call("GET", "/api/pools/app")
        tag = got.headers["etag"]
        self.ok(200, self.call("PUT", "/api/pools/app", {"slow_start": "1s"}, If_Match=tag))
        stale = self.call("PUT", "/api/pools/app", {"slow_start": "2s"}, If_Match=tag)
        self.refused(412, stale)
        self.assertEqual(stale.headers["etag"], self.call("GET", "/api/pools/app").headers["etag"])

    def test_a_change_is_told_to_the_audit_with_its_revisions(self) -> None:
        self.call("POST", "/api/pools?reason=new+shop", {"name": "web"})
        entry = self.api.audit.entries[-1]
        self.assertEqual((entry.before, entry.after), (1, 2))
        self.assertEqual(self.api.configuration.current().entry.reason, "new shop")
        self.assertEqual(self.api.configuration.current().entry.author, entry.by.name)


class Backends(Case):
    def test_come_change_and_go(self) -> None:
        body = {"address": "127.0.0.1:9002", "weight": 3, "region": "eu"}
        made = self.call("POST", "/api/backends", body)
        row = self.ok(201, made)
        self.assertEqual(made.headers["location"], f"/api/backends/{row['id']}")
        self.assertEqual(
            (row["pool"], row["weight"], row["region"], row["labels"], row["status"]),
            ("app", 3, "eu", {"region": "eu"}, "unknown"),
        )
        path = f"/api/backends/{row['id']}"
        changed = self.ok(200, self.call("PUT", path, {"enabled": False, "region": "us"}))
        self.assertEqual(
            (changed["weight"], changed["enabled"], changed["region"]), (3, False, "us")
        )
        self.assertEqual(self.ok(200, self.call("GET", path)), changed)
        self.assertEqual(len(self.ok(200, self.call("GET", "/api/backends?pool=app"))), 2)
        self.refused(404, self.call("GET", "/api/backends?pool=web"))
        self.ok(204, self.call("DELETE", path))
        self.refused(404, self.call("GET", path))
        self.ok(204, self.call("DELETE", "/api/backends/app/127.0.0.1:9001"))
        self.assertEqual(self.ok(200, self.call("GET", "/api/backends")), [])

    def test_what_is_wrong_is_told(self) -> None:
        self.assertEqual(
            self.refused(400, self.call("POST", "/api/backends", {"address": "nowhere"})),
            ["/address"],
        )
        self.refused(409, self.call("POST", "/api/backends", {"address": "127.0.0.1:9001"}))
        self.refused(404, self.call("POST", "/api/backends", {"address": "a:1", "pool": "x"}))
        self.call("POST", "/api/pools", {"name": "web"})
        self.assertEqual(
            self.refused(400, self.call("POST", "/api/backends", {"address": "a:1"})), ["/pool"]
        )
        self.ok(201, self.call("POST", "/api/pools/web/backends", {"address": "a:1"}))

    def test_what_is_of_another_kind_is_told(self) -> None:
        new = {"address": "127.0.0.1:9002"}
        [row] = self.ok(200, self.call("GET", "/api/backends?pool=app"))
        one = f"/api/backends/{row['id']}"
        for method, path, body, where in (
            ("POST", "/api/backends", new | {"region": "eu", "labels": [None]}, "/labels"),
            ("POST", "/api/backends", new | {"region": None, "labels": "eu"}, "/labels"),
            ("POST", "/api/backends", new | {"region": 5}, "/region"),
            ("POST", "/api/backends", new | {"pool": 5}, "/pool"),
            ("POST", "/api/backends", new | {"health_check": "/"}, "/health_check"),
            ("PUT", one, {"draining": {}}, "/draining"),
            ("PUT", one, {"region": ["eu"]}, "/region"),
            ("PUT", "/api/routes/app", {"title": 5}, "/title"),
            ("PUT", "/api/config", {"revision": "1"}, "/revision"),
            ("PUT", "/api/config", {"global": []}, "/global"),
        ):
            wrong = self.refused(400, self.call(method, path, body))
            self.assertEqual([each.split("/")[1] for each in wrong], [where[1:]] * len(wrong), body)
            self.assertTrue(wrong)
        operation = {"action": "add", "pool": "app", **new, "region": "eu", "labels": "eu"}
        bulk = self.call("POST", "/api/bulk/backends", {"operations": [operation]})
        self.assertEqual(self.refused(400, bulk), ["/pools/0/backends/1/labels"])

    def test_drain_until_a_deadline_and_come_back(self) -> None:
        [row] = self.ok(200, self.call("GET", "/api/backends"))
        path = f"/api/backends/{row['id']}"
        self.refused(409, self.call("GET", f"{path}/drain"))
        drain = self.ok(200, self.call("POST", f"{path}/drain", {"deadline": "30s"}))
        self.assertEqual((drain["state"], drain["inflight"]), ("drained", 0))
        row = self.ok(200, self.call("GET", path))
        self.assertEqual((row["draining"], row["enabled"], row["weight"]), (True, True, 0))
        self.api.clock.advance(31)
        self.assertEqual(self.ok(200, self.call("GET", f"{path}/drain"))["state"], "disabled")
        self.assertFalse(self.ok(200, self.call("GET", path))["enabled"])
        row = self.ok(200, self.call("DELETE", f"{path}/drain"))
        self.assertEqual((row["draining"], row["enabled"], row["weight"]), (False, True, 1))
        self.refused(409, self.call("GET", f"{path}/drain"))
        self.refused(409, self.call("DELETE", f"{path}/drain"))

    def test_of_an_unknown_backend_there_is_no_drain(self) -> None:
        for method in ("GET", "POST", "DELETE"):
            self.refused(404, self.call(method, "/api/backends/b-0/drain"))

    def test_drain_by_a_field(self) -> None:
        [row] = self.ok(200, self.call("GET", "/api/backends"))
        path = f"/api/backends/{row['id']}"
        self.assertTrue(self.ok(200, self.call("PUT", path, {"draining": True}))["draining"])
        self.assertFalse(self.ok(200, self.call("PUT", path, {"draining": False}))["draining"])


class Routes(Case):
    def test_come_change_and_go(self) -> None:
        made = self.call("POST", "/api/routes", {"host": "a.example", "pool": "app"})
        route = self.ok(201, made)
        self.assertEqual((route["title"], route["path_prefix"]), ("a.example/", "/"))
        self.assertRegex(route["id"], "^r-[0-9a-f]{16}$")
        path = made.headers["location"]
        changed = self.ok(200, self.call("PUT", path, {"path_prefix": "/api"}))
        self.assertEqual((changed["path_prefix"], changed["id"]), ("/api", route["id"]))
        self.assertEqual(self.ok(200, self.call("PUT", path, changed)), changed)
        self.ok(204, self.call("DELETE", path))
        self.refused(404, self.call("GET", path))
        self.ok(200, self.call("GET", "/api/routes/app"))

    def test_for_the_same_requests_are_refused(self) -> None:
        self.refused(409, self.call("POST", "/api/routes", {"id": "b", "pool": "app"}))
        self.ok(
            201, self.call("POST", "/api/routes", {"id": "b", "pool": "app", "methods": ["GET"]})
        )

    def test_to_nowhere_are_refused(self) -> None:
        body = {"host": "b.example", "pool": "nobody"}
        self.assertEqual(self.refused(400, self.call("POST", "/api/routes", body)), ["/pool"])

    def test_show_no_secret_and_keep_it(self) -> None:
        secret = {"set": {"Authorization": "Basic c2VjcmV0", "X-Plain": "1"}}
        self.ok(200, self.call("PUT", "/api/routes/app", {"request_headers": secret}))
        for path in (
            "/api/routes",
            "/api/routes/app",
            "/api/config",
            "/api/config/export",
            "/api/config/revisions/2",
            "/api/config/export?format=yaml",
        ):
            answer = self.call("GET", path)
            self.assertEqual(answer.status, 200)
            self.assertNotIn(b"c2VjcmV0", answer.body, path)
        route = self.ok(200, self.call("GET", "/api/routes/app"))
        self.ok(200, self.call("PUT", "/api/routes/app", route | {"websocket": False}))
        stored = self.api.configuration.current().document["routes"][0]
        self.assertEqual(stored["request_headers"]["set"], secret["set"])
        stolen = {"host": "x", "pool": "app", "request_headers": {"set": {"Cookie": "********"}}}
        self.assertEqual(
            self.refused(400, self.call("POST", "/api/routes", stolen)),
            ["/request_headers/set/Cookie"],
        )


class Whole(Case):
    def test_is_shown_without_the_password_and_can_be_put_back(self) -> None:
        got = self.call("GET", "/api/config")
        config = self.ok(200, got)
        self.assertNotIn("password", config["global"]["admin"])
        self.assertEqual(config["revision"], 1)
        self.ok(200, self.call("PUT", "/api/config", config, If_Match=got.headers["etag"]))
        config["routes"] = []
        outcome = self.ok(200, self.call("PUT", "/api/config", config))
        self.assertEqual(outcome["changes"], ["route app removed"])
        self.refused(412, self.call("PUT", "/api/config", config, If_Match=got.headers["etag"]))

    def test_is_validated_without_being_used(self) -> None:
        document = dict(self.api.configuration.current().document)
        found = self.ok(200, self.call("POST", "/api/config/validate", document | {"pools": []}))
        self.assertEqual((found["valid"], found["status"]), (False, "invalid"))
        self.assertEqual([each["pointer"] for each in found["errors"]], ["/routes/0/pool"])
        found = self.ok(200, self.call("POST", "/api/config/validate", document | {"workers": 2}))
        self.assertEqual((found["valid"], found["diff"]), (True, ["workers changed from 1 to 2"]))
        self.assertEqual(self.revision, 1)

    def test_is_exported_and_imported(self) -> None:
        exported = self.ok(200, self.call("GET", "/api/config/export"))
        self.ok(204, self.call("DELETE", "/api/routes/app"))
        tampered = {**exported, "config": {**exported["config"], "pools": []}}
        self.assertEqual(
            self.refused(400, self.call("POST", "/api/config/import", tampered)), ["/checksum"]
        )
        shown = self.ok(200, self.call("POST", "/api/config/import?dry_run=true", exported))
        self.assertEqual(shown["changes"], ["route app added"])
        self.assertEqual(self.revision, 2)
        self.ok(200, self.call("POST", "/api/config/import", exported))
        more = {"config": {"pools": [{"name": "web"}]}}
        outcome = self.ok(200, self.call("POST", "/api/config/import?mode=merge", more))
        self.assertEqual(outcome["changes"], ["pool web added"])

    def test_revisions_are_listed_compared_and_gone_back_to(self) -> None:
        for name in ("a", "b", "c"):
            self.ok(201, self.call("POST", "/api/pools", {"name": name}))
        page = self.ok(200, self.call("GET", "/api/config/revisions?page_size=3"))
        self.assertEqual([each["number"] for each in page["items"]], [4, 3, 2])
        self.assertEqual((page["total_count"], page["has_more"]), (4, True))
        self.assertEqual([each["in_force"] for each in page["items"]], [True, False, False])
        page = self.ok(200, self.call("GET", "/api/config/revisions?page_size=3&page=2"))
        self.assertEqual([each["number"] for each in page["items"]], [1])
        one = self.ok(200, self.call("GET", "/api/config/revisions/2"))
        self.assertEqual([pool["name"] for pool in one["config"]["pools"]], ["app", "a"])
        found = self.ok(200, self.call("GET", "/api/config/revisions/1/diff?to=3"))
        self.assertEqual(found["changes"], ["pool a added", "pool b added"])
        outcome = self.ok(200, self.call("POST", "/api/config/rollback", {"revision": 1}))
        self.assertEqual(outcome["revision"], 5)
        for path in ("9", "0", "x", "-1"):
            self.refused(404, self.call("GET", f"/api/config/revisions/{path}"))
        self.refused(404, self.call("POST", "/api/config/rollback", {"revision": 99}))

    def test_a_reload_takes_a_changed_file_or_says_why_not(self) -> None:
        self.assertEqual(self.ok(200, self.call("POST", "/api/reload"))["changes"], [])
        self.api.file["pools"][0]["algorithm"] = "random"
        self.assertEqual(self.ok(200, self.call("POST", "/api/config/reload"))["revision"], 2)
        self.api.file["pools"][0]["algorithm"] = "best"
        self.assertEqual(
            self.refused(400, self.call("POST", "/api/reload")), ["/pools/0/algorithm"]
        )

    def test_a_store_that_fails_changes_nothing(self) -> None:
        self.api.store.fault = StoreError("no space left on device")
        self.refused(503, self.call("POST", "/api/pools", {"name": "web"}))
        self.api.store.fault = None
        self.refused(404, self.call("GET", "/api/pools/web"))
