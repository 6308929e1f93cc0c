"""What the daemon tells of itself, beside what its clients have counted."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.case import SystemTestCase, settings
from tests.support.daemon import PATIENCE_S, Daemon, wait_for


class Case(SystemTestCase):
    password: str | None = None

    def get(self, daemon: Daemon, path: str) -> Any:
        answer = self.admin(daemon, path, self.password)
        text = answer.text  # type: ignore[attr-defined]
        self.assertEqual(answer.status, 200, (path, text))
        return json.loads(text)

    def ask(self, daemon: Daemon, path: str = "/", host: str = "one.test") -> int:
        client = self.client(daemon.port())
        client.request("GET", path, headers={"Host": host})
        response = client.getresponse()
        response.read()
        client.close()
        return response.status

    def wait_for_requests(self, daemon: Daemon, count: int) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def is_there() -> bool:
            found.update(self.get(daemon, "/api/analytics"))
            return bool(found["totals"]["requests"] >= count)

        wait_for(f"{count} requests in analytics", is_there)
        return found


class NumberTests(Case):
    def test_numbers_agree_with_what_clients_counted_and_outlive_a_restart(self) -> None:
        configuration = settings(self.backend("one").address, workers=2, access=None)
        configuration["routes"] = [
            {"id": "first", "host": "one.test", "pool": "app"},
            {"id": "second", "host": "two.test", "pool": "app"},
        ]
        self.password = "of both daemons"
        configuration["admin"]["password"] = self.password
        configuration["data_dir"] = str(Path(self.mktemp()).resolve())
        daemon = self.daemon(configuration)
        statuses: Counter[int] = Counter()
        for host, count in (("one.test", 40), ("two.test", 25), ("no.test", 7)):
            for _ in range(count):
                statuses[self.ask(daemon, host=host)] += 1
        self.assertEqual(statuses, {200: 65, 404: 7})
        found = self.wait_for_requests(daemon, 72)
        self.assertEqual(found["totals"]["requests"], 72)
        self.assertEqual(found["totals"]["client_errors"], 7)
        groups = {each["name"]: each["requests"] for each in found["groups"]}
        self.assertEqual(groups, {"first": 40, "second": 25, "": 7})
        by_status = self.get(daemon, "/api/analytics?group_by=status")
        self.assertEqual(
            {each["name"]: each["requests"] for each in by_status["groups"]}, {"200": 65, "404": 7}
        )
        overview = self.get(daemon, "/api/metrics")
        self.assertEqual(overview["requests_total"], 72)
        codes = {each["code"]: each["count"] for each in overview["http_status_codes"]}
        self.assertEqual(codes, {200: 65, 404: 7})
        node_id = self.get(daemon, "/api/system/info")["node_id"]
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        again = self.daemon(configuration)
        self.ask(again)
        self.assertEqual(self.wait_for_requests(again, 73)["totals"]["requests"], 73)
        self.assertEqual(self.get(again, "/api/system/info")["node_id"], node_id)
        messages = [each["message"] for each in self.get(again, "/api/system/logs?limit=1000")]
        self.assertEqual(sum(" serving: " in message for message in messages), 2)


class InsideTests(Case):
    def test_workers_say_how_they_are(self) -> None:
        daemon = self.daemon(settings(self.backend().address, workers=2, access=None))
        self.ask(daemon)
        (pool,) = self.get(daemon, "/api/debug/pools")
        self.assertEqual({each["pid"] for each in pool["workers"]}, set(daemon.workers))
        (backend,) = self.get(daemon, "/api/debug/backends")
        self.assertEqual(len(backend["workers"]), 2)
        found = self.get(daemon, "/api/debug/performance")
        self.assertEqual(found["daemon"]["pid"], daemon.process.pid)
        for worker in found["workers"]:
            self.assertFalse(worker["is_silent"])
            self.assertGreater(worker["memory_bytes"], 1_000_000)
        self.assertEqual(self.get(daemon, "/api/debug/routes")["total_count"], 1)

    def test_a_worker_that_hangs_holds_no_answer_up(self) -> None:
        daemon = self.daemon(settings(self.backend().address, workers=2, access=None))
        hanging = daemon.workers[0]
        os.kill(hanging, signal.SIGSTOP)
        try:
            began = time.monotonic()
            found = self.get(daemon, "/api/debug/performance")
            self.assertLess(time.monotonic() - began, PATIENCE_S)
        finally:
            os.kill(hanging, signal.SIGCONT)
        silent = [each["pid"] for each in found["workers"] if each["is_silent"]]
        self.assertEqual(silent, [hanging])

    def test_a_worker_that_is_killed_is_an_alert(self) -> None:
        daemon = self.daemon(settings(self.backend().address, workers=2, access=None))
        daemon.deaths = 1
        os.kill(daemon.workers[0], signal.SIGKILL)
        wait_for(
            "an alert",
            lambda: any(
                each["title"] == "Workers died" for each in self.get(daemon, "/api/system/alerts")
            ),
        )
        log = self.get(daemon, "/api/system/logs?level=error")
        self.assertTrue(any("died" in each["message"] for each in log))

    def test_a_file_that_was_changed_is_an_alert_until_it_is_taken(self) -> None:
        daemon = self.daemon(settings(self.backend().address, access=None))
        text = daemon.file.read_text()

        def is_told() -> bool:
            alerts = self.get(daemon, "/api/system/alerts?resolved=false")
            return any(each["title"].startswith("The file differs") for each in alerts)

        daemon.file.write_text(text.replace("app", "web"))
        wait_for("an alert", is_told)
        daemon.signal(signal.SIGHUP)
        wait_for("its end", lambda: not is_told())
