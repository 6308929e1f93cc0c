from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import SMALLEST, loaded, with_backend, with_listener, with_pool, with_route
from tests.config.strategies import nodes
from veloflux.config.diff import diff
from veloflux.core.model.node import Node


class Diff(SynchronousTestCase):
    def said(self, before: str, after: str) -> list[str]:
        return list(map(str, diff(loaded(before).node, loaded(after).node)))

    def test_says_what_came_and_went(self) -> None:
        after = SMALLEST.replace("8080", "8081").replace("app", "web")
        self.assertEqual(
            self.said(SMALLEST, after),
            [
                "listener 127.0.0.1:8080 removed",
                "listener 127.0.0.1:8081 added",
                "pool app removed",
                "pool web added",
                "route */: pools changed from app (1) to web (1)",
            ],
        )

    def test_says_what_changed_as_the_file_has_it(self) -> None:
        for after, text in (
            (with_listener("limits: {header_timeout: 90s}"),
             "listener 127.0.0.1:8080: limits.header_timeout changed from 10s to 90s"),
            (with_listener("limits: {max_body_bytes: 1MiB}"),
             "listener 127.0.0.1:8080: limits.max_body_bytes changed from 10MiB to 1MiB"),
            (with_pool("algorithm: random"),
             "pool app: algorithm changed from round_robin to random"),
            (with_pool("health_check: {}"), "pool app: health_check added"),
            (with_backend("weight: 5"),
             "backend 127.0.0.1:9001 of pool app: weight changed from 1 to 5"),
            (with_backend("labels: {zone: b}"),
             "backend 127.0.0.1:9001 of pool app: labels changed"),
            (SMALLEST.replace("9001", "9001\n      - address: 127.0.0.1:9002"),
             "backend 127.0.0.1:9002 of pool app added"),
            (with_route("pool: app, methods: [GET, PUT]"),
             "route */: methods changed from none to GET, PUT"),
            (with_route("pool: app, websocket: false"),
             "route */: websocket changed from true to false"),
            (SMALLEST + "logging: {level: debug}\n", "logging.level changed from info to debug"),
            (SMALLEST + "logging: {access: null}\n", "logging.access removed"),
            (SMALLEST + "logging: {access: {path: /a}}\n",
             "logging.access.path changed from none to /a"),
        ):  # fmt: skip
            self.assertEqual(self.said(SMALLEST, after), [text])

    def test_says_what_takes_a_restart(self) -> None:
        for after, text in (
            ("data_dir: /x\n", "data_dir changed from /srv/conf/var to /x (takes a restart)"),
            ("admin: {address: 127.0.0.1:9}\n",
             "admin.address changed from 127.0.0.1:9090 to 127.0.0.1:9 (takes a restart)"),
            ("metrics: {address: 127.0.0.1:9}\n",
             "metrics.address changed from none to 127.0.0.1:9 (takes a restart)"),
        ):  # fmt: skip
            self.assertEqual(self.said(SMALLEST, SMALLEST + after), [text])

    def test_shows_no_secret(self) -> None:
        before = SMALLEST + "admin: {password: hunter1}\n"
        [text] = self.said(before, before.replace("hunter1", "hunter2"))
        self.assertEqual(text, "admin.password changed (takes a restart)")
        after = with_route("pool: app, request_headers: {set: {Authorization: hunter2}}")
        self.assertEqual(self.said(SMALLEST, after), ["route */: request_headers changed"])

    def test_says_when_only_the_order_changed(self) -> None:
        """Among routes of one host and prefix the first wins."""
        before = SMALLEST + "  - {pool: app, host: a}\n  - {pool: app, host: b}\n"
        after = SMALLEST + "  - {pool: app, host: b}\n  - {pool: app, host: a}\n"
        self.assertEqual(self.said(before, after), ["order of the routes changed"])

    @given(nodes(), nodes())
    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    def test_is_empty_exactly_when_nothing_changed(self, before: Node, after: Node) -> None:
        same = replace(before, snapshot=replace(before.snapshot, version=99))
        self.assertEqual(diff(before, same), [])
        for name in ("workers", "data_dir", "admin", "metrics_address", "log_level"):
            other = replace(before, **{name: getattr(after, name)})
            self.assertEqual(diff(before, other) == [], before == other, name)
        for name in ("listeners", "pools", "routes", "access_log"):
            part = {name: getattr(after.snapshot, name)}
            other = replace(before, snapshot=replace(before.snapshot, **part))
            self.assertEqual(diff(before, other) == [], before == other, name)
