"""Changes through the admin API while traffic runs, and what is left of them after a crash."""

import base64
import http.client
import json
import os
import signal
import tempfile
import threading
from typing import Any

from tests.support.case import Running, SystemTestCase, settings
from tests.support.daemon import PATIENCE_S, Daemon, session, wait_for

HEADERS = {
    "Authorization": f"Basic {base64.b64encode(b'admin:secret').decode()}",
    "Content-Type": "application/json",
}


def call(daemon: Daemon, method: str, path: str, body: object = None) -> tuple[int, Any]:
    client = http.client.HTTPConnection(daemon.admin, timeout=PATIENCE_S)
    try:
        client.request(method, path, None if body is None else json.dumps(body), HEADERS)
        response = client.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None
    finally:
        client.close()


class Revisions(SystemTestCase):
    def configuration(self, **changes: Any) -> dict[str, Any]:
        admin = {"address": "127.0.0.9:0", "password": "secret"}
        return settings(self.backend().address, admin=admin, **changes)

    def test_no_request_fails_while_the_configuration_changes(self) -> None:
        """C4"""
        daemon = self.daemon(self.configuration(workers=2))
        port, stop = daemon.port(), threading.Event()

        def ask() -> list[int]:
            client = self.client(port)
            found = []
            while not stop.is_set():
                client.request("GET", "/")
                response = client.getresponse()
                response.read()
                found.append(response.status)
            return found

        clients = [Running(ask) for _ in range(3)]
        for number in range(30):
            route = {"host": f"h{number}.example", "pool": "app"}
            status, _ = call(daemon, "POST", "/api/routes", route)
            self.assertEqual(status, 201)
            # What is acknowledged is live in every worker.
            _, found = call(daemon, "GET", "/api/status")
            revisions = {worker["config_revision"] for worker in found["workers"]}
            self.assertEqual(revisions, {number + 2})
        stop.set()
        for each in clients:
            self.assertEqual(set(each.result()), {200})

    def test_what_was_acknowledged_is_in_force_after_a_crash(self) -> None:
        """C3: kill -9 in the middle of changes."""
        with tempfile.TemporaryDirectory() as state:
            self._crash(self.configuration(data_dir=state))

    def _crash(self, whole: dict[str, Any]) -> None:
        daemon = self.daemon(whole)
        acknowledged: set[str] = set()
        for round_number in range(3):
            stop = threading.Event()

            def change(daemon: Daemon = daemon, n: int = round_number, stop: Any = stop) -> None:
                for number in range(1000):
                    name = f"p{n}-{number}"
                    try:
                        status, _ = call(daemon, "POST", "/api/pools", {"name": name})
                    except (OSError, http.client.HTTPException):
                        return
                    if status == 201:
                        acknowledged.add(name)
                    if stop.is_set():
                        return

            before = len(acknowledged)
            changing = Running(change)
            wait_for("some changes", lambda before=before: len(acknowledged) > before + 3)
            for pid in session(daemon.process.pid):
                os.kill(pid, signal.SIGKILL)
            changing.result()
            daemon.process.wait()
            daemon = self.daemon(whole)
            _, pools = call(daemon, "GET", "/api/pools")
            self.assertLessEqual(acknowledged, {pool["name"] for pool in pools})
