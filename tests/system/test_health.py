"""Backends that fall ill, vanish and come back, before the real daemon."""

import socket
from typing import Any

from tests.support.case import SystemTestCase, ask, settings
from tests.support.daemon import Daemon, wait_for
from tests.support.server import read_head

CHECK = {"interval": "100ms", "timeout": "100ms", "rise": 2, "fall": 2}


class HealthTests(SystemTestCase):
    """X1."""

    def state(self, daemon: Daemon, backend: str) -> str:
        """The one state in which the metrics say that a backend is."""
        [state] = [
            sample.labels["state"]
            for sample in self.metrics(daemon).all
            if sample.name == "veloflux_upstream_state"
            and sample.labels["backend"] == backend
            and sample.value == 1
        ]
        return str(state)

    def wait_for_state(self, daemon: Daemon, backend: str, state: str) -> None:
        wait_for(f"{backend} {state}", lambda: self.state(daemon, backend) == state)

    def answers(self, daemon: Daemon, count: int = 10) -> set[tuple[int, str]]:
        client = self.client(daemon.port())
        return {ask(client) for _ in range(count)}

    def test_one_falls_ill_and_recovers(self) -> None:
        one, two = self.backend("one"), self.backend("two")
        daemon = self.daemon(
            settings(one.address, two.address, pool={"health_check": CHECK}, workers=2)
        )
        self.wait_for_state(daemon, one.address, "healthy")
        self.wait_for_state(daemon, two.address, "healthy")
        self.assertEqual(self.answers(daemon), {(200, "one"), (200, "two")})
        one.health = 500
        self.wait_for_state(daemon, one.address, "unhealthy")
        self.assertEqual(self.answers(daemon), {(200, "two")})
        one.health = 200
        self.wait_for_state(daemon, one.address, "healthy")
        self.assertEqual(self.answers(daemon), {(200, "one"), (200, "two")})
        for words in ("unhealthy: answered with status 500", "healthy: answered with status 200"):
            self.assertIn(f"backend {one.address} of pool app is {words}", daemon.output)

    def test_all_are_down_and_one_comes_back(self) -> None:
        one, two = self.backend("one"), self.backend("two")
        daemon = self.daemon(
            settings(one.address, two.address, pool={"health_check": CHECK}, workers=2)
        )
        self.wait_for_state(daemon, one.address, "healthy")
        one.close()
        two.close()
        for backend in (one, two):
            self.wait_for_state(daemon, backend.address, "unhealthy")
        client = self.client(daemon.port())
        for _ in range(10):
            client.request("GET", "/")
            response = client.getresponse()
            body = response.read()
            self.assertEqual(response.status, 503, body)
            self.assertIn(b"No backend can take the request now.", body)
            self.assertGreaterEqual(int(response.headers["Retry-After"]), 1)
        self.assertEqual(self.get_admin(daemon, "/health"), 503)
        self.assertEqual(self.get_admin(daemon, "/healthz"), 200)
        self.assertIn("no connection: ECONNREFUSED", daemon.output)
        again = self.backend("again", port=one.port)
        self.wait_for_state(daemon, one.address, "healthy")
        self.assertEqual(self.answers(daemon), {(200, "again")})
        self.assertEqual(self.get_admin(daemon, "/health"), 200)
        self.assertGreater(again.paths["/health"], 0)

    def get_admin(self, daemon: Daemon, path: str) -> int:
        return self.admin(daemon, path).status

    def test_a_flap_shorter_than_the_patience_changes_nothing(self) -> None:
        """X1: damping. Every second check fails, and it takes two in a row."""
        one = self.backend("one")
        daemon = self.daemon(settings(one.address, pool={"health_check": CHECK}))
        self.wait_for_state(daemon, one.address, "healthy")
        for _ in range(5):
            for status in (500, 200):
                seen = one.paths["/health"]
                one.health = status
                wait_for("a check", lambda seen=seen: one.paths["/health"] > seen)
        self.assertEqual(self.answers(daemon), {(200, "one")})
        self.assertNotIn("is unhealthy", daemon.output)

    def test_by_connection_and_by_status(self) -> None:
        odd, silent = self.backend("odd"), self.server(lambda connection: connection.recv(1))
        odd.health = 418
        tcp = {**CHECK, "type": "tcp"}
        exact = {**CHECK, "expected_status": "204,418"}
        other = {**CHECK, "expected_status": "200-299"}
        configuration = settings(odd.address, pool={"name": "exact", "health_check": exact})
        configuration["pools"] += [
            self.pool("other", odd.address, other),
            self.pool("tcp", silent.address, tcp),
            self.pool("http", silent.address, CHECK),
        ]
        configuration["routes"] = [
            {"path_prefix": f"/{name}", "pool": name} for name in ("exact", "other", "tcp", "http")
        ]
        daemon = self.daemon(configuration)
        states = {"exact": "healthy", "other": "unhealthy", "tcp": "healthy", "http": "unhealthy"}
        for pool, state in states.items():
            self.wait_for_metric(daemon, 1.0, "veloflux_upstream_state", pool=pool, state=state)

    def pool(self, name: str, address: str, check: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "backends": [{"address": address}], "health_check": check}

    def test_a_relayed_client_goes_to_one_that_is_well(self) -> None:
        def answer(connection: socket.socket) -> None:
            connection.sendall(b"well\r\n\r\n")

        well, gone = self.server(answer), self.backend("gone")
        gone.close()
        daemon = self.daemon(
            settings(
                gone.address,
                well.address,
                listener={"protocol": "tcp", "pool": "app"},
                pool={"health_check": {**CHECK, "type": "tcp"}},
                routes=[],
            )
        )
        self.wait_for_state(daemon, gone.address, "unhealthy")
        for _ in range(6):
            self.assertEqual(read_head(self.connect(daemon.port())), b"well\r\n\r\n")


class BadBackendTests(SystemTestCase):
    """X2, S25: backends that break off, stall or talk nonsense cost only their own requests."""

    BREAKS_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    STALLS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"

    def pool(self, name: str, *addresses: str) -> dict[str, Any]:
        return {
            "name": name,
            "backends": [{"address": address} for address in addresses],
            "timeouts": {"connect": "300ms", "first_byte": "500ms", "idle": "500ms"},
        }

    def serving(self, answer: bytes, *, closing: bool = False) -> str:
        """The address of a backend that always answers this, and closes or waits."""

        def serve(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(answer)
            if not closing:
                wait_for_end(connection)

        return self.server(serve).address

    def black_hole(self) -> str:
        """The address of a server whose queue is full: what comes is dropped."""
        hole = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(hole.close)
        for _ in range(4):
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        return f"127.0.0.1:{hole.getsockname()[1]}"

    def all_of(self, port: int, path: str) -> bytes:
        """All that a client gets."""
        client = self.connect(port)
        client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        answer = b""
        try:
            while piece := client.recv(65536):
                answer += piece
        except ConnectionResetError:
            answer += b"<reset>"
        return answer

    def test_each_fails_in_its_own_way(self) -> None:
        good, hole = self.backend("good"), self.black_hole()
        pools = {
            "silent": [self.serving(b"")],
            "closing": [self.serving(b"", closing=True)],
            "cut": [self.serving(self.BREAKS_OFF, closing=True)],
            "stalled": [self.serving(self.STALLS)],
            "nonsense": [self.serving(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")],
            "hole": [hole],
            "around": [hole, good.address],
        }
        configuration = settings(good.address)
        configuration["pools"] += [self.pool(name, *where) for name, where in pools.items()]
        configuration["routes"] += [{"path_prefix": f"/{name}", "pool": name} for name in pools]
        daemon = self.daemon(configuration)
        kept = self.client(daemon.port())
        got = {}
        for name in pools:
            got[name] = self.all_of(daemon.port(), f"/{name}")
            self.assertEqual(ask(kept), (200, "good"))
        for name, status in {
            "silent": 504,
            "closing": 502,
            "nonsense": 502,
            "hole": 504,
            "around": 200,
        }.items():
            self.assertTrue(got[name].startswith(b"HTTP/1.1 %d " % status), (name, got[name]))
            self.assertFalse(got[name].endswith(b"<reset>"), (name, got[name]))
        # What is not whole must not look so: neither a length nor a last chunk ends it.
        self.assertTrue(got["cut"].endswith(b"<reset>"), got["cut"])
        self.assertTrue(got["stalled"].endswith(b"4\r\nhalf\r\n<reset>"), got["stalled"])
        self.wait_for_metric(
            daemon, 1.0, "veloflux_protocol_errors_total", protocol="http1_upstream"
        )

    def test_one_that_closes_kept_connections_just_then(self) -> None:
        """A request on a connection that its backend has closed is sent again on a new one."""

        def serve(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            read_head(connection)  # and closes

        daemon = self.daemon(settings(self.server(serve).address))
        client = self.client(daemon.port())
        for _ in range(10):
            self.assertEqual(ask(client), (200, "ok"))
        # But not one that might do something twice.
        self.assertEqual(ask(client, method="POST", body=b"once")[0], 502)


def wait_for_end(connection: socket.socket) -> None:
    """Until the other side closes."""
    while connection.recv(65536):
        pass
