"""PROXY headers from and to real HAProxy, and from curl."""

import json
import os
import socket
import subprocess
from pathlib import Path

from tests.support.case import SystemTestCase, relaying, settings
from tests.support.daemon import wait_for
from tests.support.server import read_all

# A client that is not the proxy: all of 127.0.0.0/8 is this machine.
CLIENT = "127.0.0.42"
PATIENCE_S = 20.0
DEFAULTS = "defaults\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n  mode {}\n"
# Says who it was told the client is.
BACKEND = """
frontend told
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]\\n"
"""
# Sends whatever a header can have.
FRONT = """
frontend front
  bind 127.0.0.1:{port}
  unique-id-format %{{+X}}o\\ %ci:%cp_%Ts
  default_backend proxied
backend proxied
  server it 127.0.0.1:{to} {how}
"""
HOW = ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HaproxyTests(SystemTestCase):
    def haproxy(self, mode: str, section: str, port: int) -> None:
        """Run it until the end of the test."""
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(DEFAULTS.format(mode) + section)
        log = Path(f"{file}.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["haproxy", "-db", "-f", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"},
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def is_there() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for("haproxy", is_there)

    def front(self, mode: str, to: int, how: str) -> int:
        port = free_port()
        self.haproxy(mode, FRONT.format(port=port, to=to, how=how), port)
        return port

    def told(self) -> str:
        """A backend that wants headers; returns its address."""
        port = free_port()
        # A connection without a header is closed, so its frontend is there when that happens.
        self.haproxy("http", BACKEND.format(port=port), port)
        return f"127.0.0.1:{port}"

    def ask(self, port: int, path: str = "/") -> tuple[int, str]:
        """Ask as CLIENT; the own port, and the answer."""
        with socket.create_connection(
            ("127.0.0.1", port), PATIENCE_S, source_address=(CLIENT, 0)
        ) as connection:
            own: int = connection.getsockname()[1]
            request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            return own, read_all(connection).decode()

    def test_before_us_over_http(self) -> None:
        backend = self.backend()
        daemon = self.daemon(
            settings(
                backend.address,
                listener={"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]},
            )
        )
        for how in HOW:
            port = self.front("http", daemon.port(), how)
            _, answer = self.ask(port)
            self.assertTrue(answer.startswith("HTTP/1.1 200 "), answer)
        wait_for("the log", lambda: daemon.access_log.count("\n") >= len(HOW))
        for line in daemon.access_log.splitlines():
            entry = json.loads(line)
            self.assertEqual((entry["client_ip"], entry["peer_ip"]), (CLIENT, "127.0.0.1"))

    def test_before_us_with_much_data(self) -> None:
        """The header's segment holds the first bytes of the connection."""
        taken: list[int] = []

        def count(connection: socket.socket) -> None:
            size = 0
            while piece := connection.recv(1 << 20):
                size += len(piece)
            taken.append(size)
            connection.sendall(b"thanks")

        server = self.server(count)
        daemon = self.daemon(relaying(server.address, listener={"proxy_protocol": True}))
        size = 20_000_000
        for how in HOW:
            port = self.front("tcp", daemon.port(), how)
            connection = self.connect(port)
            connection.sendall(b"x" * size)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(connection), b"thanks")
            self.assertEqual(taken.pop(), size)

    def test_behind_us(self) -> None:
        address = self.told()
        for version in ("v1", "v2"):
            pool = {"proxy_protocol": version, "health_check": {}}
            for kind in (settings, relaying):
                daemon = self.daemon(kind(address, pool=pool))
                for _ in range(3):
                    own, answer = self.ask(daemon.port())
                    self.assertTrue(answer.endswith(f"{CLIENT} {own}\n"), answer)
                daemon.wait_for_any_log(" is healthy")

    def test_before_and_behind_us(self) -> None:
        """Who the client is goes through all three."""
        daemon = self.daemon(
            settings(self.told(), listener={"proxy_protocol": True}, pool={"proxy_protocol": "v2"})
        )
        port = self.front("http", daemon.port(), HOW[-1])
        own, answer = self.ask(port)
        self.assertTrue(answer.endswith(f"{CLIENT} {own}\n"), answer)


class CurlTests(SystemTestCase):
    def curl(self, port: int, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["curl", "-sS", "--max-time", "20", *arguments, f"http://127.0.0.1:{port}/"],
            capture_output=True,
            timeout=30,
        )

    def test_curl_sends_one(self) -> None:
        daemon = self.daemon(settings(self.backend().address, listener={"proxy_protocol": True}))
        ran = self.curl(daemon.port(), "--haproxy-protocol")
        self.assertEqual((ran.returncode, ran.stderr), (0, b""))

    def test_curl_that_sends_none_is_closed(self) -> None:
        """S27"""
        daemon = self.daemon(settings(self.backend().address, listener={"proxy_protocol": True}))
        self.assertIn(self.curl(daemon.port()).returncode, (52, 56))

    def test_a_peer_that_is_not_trusted_is_closed(self) -> None:
        """S27"""
        listener = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.7"]}
        daemon = self.daemon(settings(self.backend().address, listener=listener))
        self.assertIn(self.curl(daemon.port(), "--haproxy-protocol").returncode, (52, 55, 56))
        ran = self.curl(daemon.port(), "--haproxy-protocol", "--interface", "127.0.0.7")
        self.assertEqual((ran.returncode, ran.stderr), (0, b""))
