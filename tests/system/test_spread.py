"""Every worker has as many connections as the others, whatever the kernel chose."""

import json
import os
import signal
import socket
import ssl
import tempfile
from select import select
from typing import Any

from tests.support.case import SystemTestCase, ask, relaying, settings, text
from tests.support.daemon import PATIENCE_S, Daemon, wait_for

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
MANY = 64
# An even share, give or take what is not worth a connection's while.
MOST = MANY // 2 + 3


class Case(SystemTestCase):
    def counts(self, daemon: Daemon) -> list[int]:
        """How many connections each worker has, as it said within the last second."""
        return [worker["connections"] for worker in self.workers(daemon)]

    def workers(self, daemon: Daemon) -> list[Any]:
        found = json.loads(self.admin(daemon, "/api/status").text)  # type: ignore[attr-defined]
        workers: list[Any] = found["workers"]
        return workers

    def wait_for_all(self, daemon: Daemon, count: int = MANY) -> list[int]:
        wait_for(f"{count} connections", lambda: sum(self.counts(daemon)) == count)
        return self.counts(daemon)

    def is_even(self, daemon: Daemon) -> None:
        counts = self.wait_for_all(daemon)
        self.assertLessEqual(max(counts), MOST, counts)

    def connect_many(self, daemon: Daemon, count: int = MANY) -> list[Any]:
        clients = [self.client(daemon.port()) for _ in range(count)]
        for client in clients:
            self.assertEqual(ask(client), (200, "one"))
        return clients


class Spread(Case):
    def test_over_workers_is_even_and_every_connection_works(self) -> None:
        daemon = self.daemon(settings(self.backend().address, workers=2))
        clients = self.connect_many(daemon)
        self.is_even(daemon)
        for _ in range(3):
            for client in clients:
                self.assertEqual(ask(client), (200, "one"))
        found = self.wait_for_metric(daemon, MANY, "veloflux_connections_accepted_total")
        self.assertEqual(found.sum("veloflux_connections_rejected_total"), 0)

    def test_over_tcp(self) -> None:
        daemon = self.daemon(relaying(self.backend().address, workers=2))
        for _ in range(MANY):
            sock = self.connect(daemon.port())
            sock.sendall(GET)
            self.assertIn(b"200 OK", sock.recv(1000))
        self.is_even(daemon)

    def test_over_tls_and_with_preface(self) -> None:
        """What clients say first is read by whoever has them in the end."""
        listener = {"tls": {"self_signed": ["localhost"]}, "proxy_protocol": True}
        daemon = self.daemon(settings(self.backend().address, workers=2, listener=listener))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for _ in range(MANY):
            sock = self.connect(daemon.port())
            sock.sendall(b"PROXY TCP4 198.51.100.7 192.0.2.1 1024 443\r\n")
            sock = context.wrap_socket(sock, server_hostname="localhost")
            self.addCleanup(sock.close)
            sock.sendall(GET)
            self.assertIn(b"200 OK", sock.recv(1000))
        self.is_even(daemon)
        self.assertEqual(daemon.access_log.count('"client_ip":"198.51.100.7"'), MANY)

    def test_over_a_unix_socket(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = f"{directory.name}/web"
        listener = {"address": f"unix:{path}"}
        daemon = self.daemon(settings(self.backend().address, workers=2, listener=listener))
        for _ in range(MANY):
            sock = socket.socket(socket.AF_UNIX)
            self.addCleanup(sock.close)
            sock.settimeout(PATIENCE_S)
            sock.connect(path)
            sock.sendall(GET)
            self.assertIn(b"200 OK", sock.recv(1000))
        self.is_even(daemon)

    def test_a_successor_gets_its_share(self) -> None:
        daemon = self.daemon(settings(self.backend().address, workers=2))
        daemon.deaths = 1
        self.connect_many(daemon)
        self.wait_for_all(daemon)
        victim = daemon.workers[0]
        os.kill(victim, signal.SIGKILL)
        wait_for("a successor", lambda: self.has_successor(daemon, victim))
        left = sum(self.counts(daemon))
        self.assertLessEqual(left, MOST)
        self.connect_many(daemon, MANY - left)
        self.is_even(daemon)

    def has_successor(self, daemon: Daemon, victim: int) -> bool:
        """Whether it serves: until then, the other one keeps whatever the kernel gives it."""
        found = [(each["pid"] != victim, each["state"]) for each in self.workers(daemon)]
        return found == [(True, "serving")] * 2

    def test_one_that_hangs_is_not_filled_up(self) -> None:
        daemon = self.daemon(settings(self.backend().address, workers=2))
        hanging = daemon.workers[0]
        os.kill(hanging, signal.SIGSTOP)
        self.addCleanup(self.wake, hanging)
        clients = [self.connect(daemon.port()) for _ in range(MANY)]
        for client in clients:
            client.sendall(GET)
        # The kernel gives it half, as ever, and the other gives it a few.
        wait_for("answers", lambda: len(select(clients, [], [], 0)[0]) > MANY // 8)
        self.wake(hanging)
        self.assertEqual(self.get(daemon.port()), (200, "one"))

    def wake(self, pid: int) -> None:
        os.kill(pid, signal.SIGCONT)

    def test_a_bound_of_connections_is_used_up_by_all(self) -> None:
        """Each worker has its part of the bound; unevenly spread, some would be refused early."""
        daemon = self.daemon(
            settings(self.backend().address, workers=2, limits={"max_connections": MANY})
        )
        self.connect_many(daemon, MANY - 6)
        self.wait_for_all(daemon, MANY - 6)

    def test_while_configurations_change_nobody_is_lost(self) -> None:
        configuration = settings(self.backend().address, workers=2)
        daemon = self.daemon(configuration)
        for number in range(5):
            configuration["workers"] = 3 - number % 2
            daemon.reload(text(configuration))
            # Before it, while it is taken, and after it.
            for _ in range(10):
                self.connect_many(daemon, 20)
            daemon.wait_for_log(f"configuration {number + 2} is in force")
            self.connect_many(daemon, 20)
