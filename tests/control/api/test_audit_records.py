from typing import Any

from twisted.internet.defer import Deferred

from tests.control.api.case import ApiTestCase
from veloflux.control.services.audit import Entry
from veloflux.control.services.principal import ANYBODY


class AuditTests(ApiTestCase):
    def record(self, action: str, **more: Any) -> None:
        entry = Entry(ANYBODY, action, "/api/pools/app", "192.0.2.1", "r1", **more)
        self.successResultOf(Deferred.fromCoroutine(self.api.log.record(entry)))

    def test_tells_who_did_what(self) -> None:
        self.record("put_api_pools_by_name", before=1, after=2)
        found = self.ask(200, "GET", "/api/audit")
        self.assertEqual(
            found["items"],
            [
                {
                    "id": 1,
                    "at": "2001-09-09T01:46:40Z",
                    "actor": "anybody",
                    "actor_id": "operator",
                    "credential": "none",
                    "key_id": None,
                    "action": "put_api_pools_by_name",
                    "object": "/api/pools/app",
                    "outcome": "done",
                    "reason": "",
                    "before_revision": 1,
                    "after_revision": 2,
                    "address": "192.0.2.1",
                    "request_id": "r1",
                    "left_out": 0,
                }
            ],
        )
        self.assertEqual((found["total_count"], found["has_more"]), (1, False))

    def test_finds_what_is_asked_for(self) -> None:
        self.record("one")
        self.api.clock.advance(100.0)
        self.record("two", outcome="refused", reason="no")
        for query, expected in (
            ("", ["two", "one"]),
            ("?page=2&page_size=1", ["one"]),
            ("?action=one", ["one"]),
            ("?actor=operator&object=/api/pools", ["two", "one"]),
            ("?actor=somebody", []),
            ("?since=2001-09-09T01:47:00Z", ["two"]),
            ("?since=2001-09-09T03:47:00%2B02:00", ["two"]),
        ):
            found = self.ask(200, "GET", f"/api/audit{query}")
            self.assertEqual([each["action"] for each in found["items"]], expected, query)

    def test_refuses_what_it_cannot_find_by(self) -> None:
        for query in ("since=yesterday", "since=2001-09-09T01:47:00", "page_size=501", "sort=at"):
            self.ask(400, "GET", f"/api/audit?{query}")

    def test_is_for_who_may(self) -> None:
        self.add(role="member")
        self.ask(403, "GET", "/api/audit", by=self.ada())
        self.ask(401, "GET", "/api/audit", by=None)
