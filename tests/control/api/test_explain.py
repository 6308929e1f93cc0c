"""Where a request would go, asked of a daemon."""

from typing import Any

from tests.control.api.test_configuration import Case


class Explain(Case):
    def explain(self, **query: str) -> Any:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return self.ok(200, self.call("GET", f"/api/explain?{asked}"))

    def test_says_who_gets_the_request_and_why(self) -> None:
        found = self.explain(host="a.example", path="/cart?x=1")
        self.assertEqual((found["route"], found["pool"], found["revision"]), ("app", "app", 1))
        self.assertEqual(found["backend"], "127.0.0.1:9001")
        self.assertEqual(found["request"]["path"], "/cart")
        self.assertIn("pool     app", found["lines"])

    def test_goes_by_what_is_known_of_backends_now(self) -> None:
        self.ok(201, self.call("POST", "/api/backends", {"address": "127.0.0.1:9002"}))
        self.api.fleet.ejected = frozenset({("app", "127.0.0.1:9001")})
        found = self.explain(host="a.example")
        self.assertEqual(found["backend"], "127.0.0.1:9002")
        why = {each["backend"]: each["why_not"] for each in found["backends"]}
        self.assertEqual(why, {"127.0.0.1:9001": "ejected", "127.0.0.1:9002": ""})

    def test_follows_the_configuration(self) -> None:
        self.ok(201, self.call("POST", "/api/routes", {"host": "b.example", "pool": "app"}))
        found = self.explain(host="b.example")
        self.assertEqual((found["route"], found["revision"]), ("b.example/", 2))

    def test_says_why_a_request_is_refused(self) -> None:
        self.ok(200, self.call("PUT", "/api/routes/app", {"deny": ["192.0.2.0/24"]}))
        found = self.explain(host="a.example", client_ip="192.0.2.9")
        self.assertEqual((found["backend"], found["answer"]["status"]), (None, 403))
        found = self.explain(host="a.example", path="/a/%2e%2e/%zz")
        self.assertEqual(found["answer"]["status"], 400)

    def test_refuses_what_is_no_request(self) -> None:
        for query, pointer in (
            ("path=/", "/host"),
            ("host=a&path=x", "/path"),
            ("host=a&method=get", "/method"),
            ("host=a&client_ip=a", "/client_ip"),
            ("host=a%0d%0ab", "/host"),
        ):
            answer = self.call("GET", f"/api/explain?{query}")
            self.assertEqual(answer.status, 400, query)
            self.assertEqual([each["pointer"] for each in answer.json()["errors"]], [pointer])

    def test_knows_no_other_listener(self) -> None:
        self.refused(404, self.call("GET", "/api/explain?host=a&listener=nowhere"))
