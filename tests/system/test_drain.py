"""SIGTERM while there is work of every kind: X8; and a drain that the daemon outlives."""

import contextlib
import http.client
import signal
import socket
from typing import Any

from websockets.sync.client import connect

from tests.control.api.client import basic
from tests.support.case import Running, SystemTestCase, ask, settings
from tests.support.daemon import PATIENCE_S, Daemon, wait_for
from tests.support.demo import Demo
from tests.support.server import read_all
from veloflux.command.daemon import Daemon as Client


class DrainTests(SystemTestCase):
    def test_what_is_under_way_is_finished_and_nothing_new_begun(self) -> None:
        demo, backend = Demo(), self.backend()
        self.addCleanup(demo.close)
        daemon = self.daemon(self.configuration(backend.address, demo.address))
        web, relay = daemon.port(0), daemon.port(1)
        idle = self.client(web)
        ask(idle)
        self.assertTrue(backend.arrived.acquire(timeout=PATIENCE_S))
        with (
            connect(f"ws://127.0.0.1:{web}/ws") as talking,
            socket.create_connection(("127.0.0.2", relay), PATIENCE_S) as relayed,
            socket.create_connection(("127.0.0.1", web), PATIENCE_S) as uploading,
        ):
            held = Running(lambda: self.held(web))
            self.assertTrue(backend.arrived.acquire(timeout=PATIENCE_S))
            talking.send("before")
            self.assertEqual(talking.recv(PATIENCE_S), "before")
            uploading.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
            self.wait_for_metric(daemon, 2.0, "veloflux_upstream_inflight", pool="app")
            self.assertEqual(self.admin(daemon, "/readyz").status, 200)

            daemon.signal(signal.SIGTERM)
            daemon.wait_for_log("draining")
            self.is_draining(daemon)
            wait_for("refusing", lambda: self.is_refused("127.0.0.1", web))
            wait_for("refusing", lambda: self.is_refused("127.0.0.2", relay))
            with self.assertRaises((OSError, http.client.HTTPException)):
                idle.request("GET", "/")
                idle.getresponse()

            talking.send("still")
            self.assertEqual(talking.recv(PATIENCE_S), "still")
            uploading.sendall(b" whole")
            answer = read_all(uploading)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
            self.assertIn(b"\r\nConnection: close\r\n", answer)
            relayed.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertIn(b"200 OK", read_all(relayed))
            self.is_draining(daemon)
            backend.release.set()
            response, body = held.result()
            self.assertEqual((response.status, body), (200, b"one"))
            self.assertEqual(response.headers["Connection"], "close")
            self.assertIsNone(daemon.process.poll())
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn("closed what had not ended", daemon.output)

    def test_a_drain_that_is_cancelled_leaves_all_as_it_was(self) -> None:
        demo, backend = Demo(), self.backend()
        self.addCleanup(demo.close)
        daemon = self.daemon(self.configuration(backend.address, demo.address))
        web, relay = daemon.port(0), daemon.port(1)
        idle = self.client(web)
        ask(idle)
        self.assertTrue(backend.arrived.acquire(timeout=PATIENCE_S))
        held = Running(lambda: self.held(web))
        self.assertTrue(backend.arrived.acquire(timeout=PATIENCE_S))
        with connect(f"ws://127.0.0.1:{web}/ws") as talking:
            began = self.steer(daemon, "POST", {"deadline": "60s"})
            self.assertEqual(began["state"], "draining")
            wait_for("refusing", lambda: self.is_refused("127.0.0.1", web))
            wait_for("refusing", lambda: self.is_refused("127.0.0.2", relay))
            with self.assertRaises((OSError, http.client.HTTPException)):
                ask(idle)
            self.is_draining(daemon)
            talking.send("still")
            self.assertEqual(talking.recv(PATIENCE_S), "still")
            backend.release.set()
            response, body = held.result()
            self.assertEqual((response.status, body), (200, b"one"))
            self.assertEqual(response.headers["Connection"], "close")
            # The WebSocket stays beside the fresh workers.
            self.assertEqual(self.steer(daemon, "DELETE")["state"], "serving")
            self.assertEqual(self.get(web), (200, "one"))
            talking.send("and on")
            self.assertEqual(talking.recv(PATIENCE_S), "and on")
        self.assertEqual(self.admin(daemon, "/readyz").status, 200)

        self.steer(daemon, "POST")
        wait_for("drained", lambda: self.steer(daemon, "GET")["state"] == "drained")
        self.is_draining(daemon)
        self.assertEqual(self.steer(daemon, "DELETE")["state"], "serving")
        for _ in range(20):
            self.assertEqual(self.get(web), (200, "one"))
        with socket.create_connection(("127.0.0.2", relay), PATIENCE_S) as relayed:
            relayed.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertIn(b"200 OK", read_all(relayed))

        self.steer(daemon, "POST")
        wait_for("drained", lambda: self.steer(daemon, "GET")["state"] == "drained")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)

    def test_a_stop_ends_a_drain_that_lasts(self) -> None:
        backend = self.backend()
        daemon = self.daemon(settings(backend.address))
        held = Running(lambda: self.held(daemon.port()))
        self.assertTrue(backend.arrived.acquire(timeout=PATIENCE_S))
        self.steer(daemon, "POST", {"deadline": "1h"})
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("draining: what is in flight")
        self.assertIsNone(daemon.process.poll())
        backend.release.set()
        self.assertEqual(held.result()[1], b"one")
        self.assertEqual(daemon.wait(), 0)

    def steer(self, daemon: Daemon, method: str, body: object = None) -> Any:
        """Begin, see or cancel a drain."""
        client = Client(f"http://{daemon.admin}", basic("admin", daemon.password))
        with contextlib.closing(client):
            return client.ask(method, "/api/system/drain", body, {})

    def configuration(self, app: str, demo: str) -> dict[str, Any]:
        whole = settings(app, workers=2)
        whole["pools"].append({"name": "demo", "backends": [{"address": demo}]})
        whole["routes"].append({"path_prefix": "/ws", "pool": "demo"})
        whole["listeners"].append({"address": "127.0.0.2:0", "protocol": "tcp", "pool": "demo"})
        return whole

    def held(self, port: int) -> tuple[http.client.HTTPResponse, bytes]:
        client = self.client(port)
        client.request("GET", "/held")
        response = client.getresponse()
        return response, response.read()

    def is_draining(self, daemon: Daemon) -> None:
        """See that the admin listener goes on, and that it says what is."""
        self.assertEqual(self.admin(daemon, "/readyz").status, 503)
        self.assertEqual(self.admin(daemon, "/healthz").status, 200)
        self.assertEqual(self.admin(daemon, "/metrics").status, 200)
        status = self.admin(daemon, "/api/status").text  # type: ignore[attr-defined]
        self.assertIn('"draining":true', status)

    def is_refused(self, host: str, port: int) -> bool:
        try:
            socket.create_connection((host, port), PATIENCE_S).close()
        except ConnectionRefusedError:
            return True
        return False
