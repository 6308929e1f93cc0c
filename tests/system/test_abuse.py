"""Clients that are slow, greedy or gone, before the real daemon: it costs them, and nobody else."""

import contextlib
import http.client
import resource
import socket
import time
from typing import Any

from tests.support.case import SystemTestCase, ask, relaying, settings
from tests.support.content import blocks
from tests.support.daemon import (
    Daemon,
    cpu_s,
    descriptors,
    leave_descriptors,
    memory,
    wait_for,
)
from tests.support.server import read_all, read_head

MIB = 1024 * 1024
# What a worker's memory may vary by: one connection's buffers, pipes, an allocator's whim.
FLAT = 12 * MIB
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class SlowClientTests(SystemTestCase):
    """L3, L4: who sends too slowly is told so and closed."""

    def test_a_head_a_byte_at_a_time(self) -> None:
        daemon = self.daemon(settings(self.backend().address, limits={"header_timeout": "1s"}))
        other = self.client(daemon.port())
        slow = [self.connect(daemon.port()) for _ in range(20)]
        answers: list[bytes] = []
        for byte in GET:
            for connection in slow:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(bytes([byte]))
            self.assertEqual(ask(other), (200, "one"))
            time.sleep(0.1)
            if daemon_has_answered(slow[0]):
                break
        answers = [read_all(connection) for connection in slow]
        for answer in answers:
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
            self.assertIn(b"Connection: close\r\n", answer)
        self.wait_for_metric(daemon, 20.0, "veloflux_protocol_errors_total", kind="header_timeout")

    def test_not_a_byte(self) -> None:
        daemon = self.daemon(settings(self.backend().address, limits={"header_timeout": "1s"}))
        silent = [self.connect(daemon.port()) for _ in range(20)]
        self.assertEqual([read_all(connection) for connection in silent], [b""] * 20)

    def test_an_idle_connection(self) -> None:
        limits = {"keepalive_timeout": "1s", "header_timeout": "20s"}
        daemon = self.daemon(settings(self.backend().address, limits=limits))
        idle = self.connect(daemon.port())
        idle.sendall(GET)
        self.assertTrue(read_all(idle).endswith(b"one"))

    def test_a_body_below_the_least_rate_and_one_that_stops(self) -> None:
        limits = {"min_body_rate": 10_000, "body_timeout": "2s"}
        daemon = self.daemon(settings(self.backend().address, limits=limits))
        slow, stopped = self.connect(daemon.port()), self.connect(daemon.port())
        other = self.client(daemon.port())
        for connection in (slow, stopped):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
        stopped_answer = slow_answer = b""
        while not (stopped_answer and slow_answer):
            if not slow_answer:
                with contextlib.suppress(ConnectionError):
                    slow.sendall(b"x" * 500)
                if daemon_has_answered(slow):
                    slow_answer = read_all(slow)
            if not stopped_answer and daemon_has_answered(stopped):
                self.assertEqual(slow_answer, b"")
                stopped_answer = read_all(stopped)
            self.assertEqual(ask(other), (200, "one"))
            time.sleep(0.1)
        for answer in (slow_answer, stopped_answer):
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.wait_for_metric(daemon, 2.0, "veloflux_protocol_errors_total", kind="body_timeout")


def daemon_has_answered(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(30.0)


class UnreadAnswerTests(SystemTestCase):
    """L5: a client that does not read costs no memory and, after a while, nothing at all."""

    def is_cut_off(self, configuration: dict[str, Any], request: bytes, count: int = 8) -> None:
        """Have some clients that ask and never read, beside one that is served; until they end."""
        daemon = self.daemon(configuration)
        [worker] = daemon.workers
        other = self.client(daemon.port())
        ask(other)
        before = memory(worker)
        greedy = [self.connect(daemon.port(), receive_bytes=4096) for _ in range(count)]
        for connection in greedy:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.send(request)
        for _ in range(50):
            self.assertEqual(ask(other), (200, "one"))
        wait_for(
            "the end of who does not read",
            lambda: self.metrics(daemon).sum("veloflux_connections", side="downstream") == 1,
        )
        self.assertLess(memory(worker, "VmHWM") - before, FLAT)
        self.assertEqual(ask(other), (200, "one"))

    def test_of_known_length(self) -> None:
        self.is_cut_off(
            settings(self.backend().address, limits={"write_timeout": "1s"}),
            b"GET /bytes?n=50000000 HTTP/1.1\r\nHost: x\r\n\r\n",
        )

    def test_in_chunks(self) -> None:
        self.is_cut_off(
            settings(self.backend().address, limits={"write_timeout": "1s"}),
            b"GET /bytes?n=50000000&chunked=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        )

    def test_to_many_requests_at_once(self) -> None:
        """S23, CVE-2023-46137's kind: small answers to pipelined requests add up."""
        self.is_cut_off(
            settings(self.backend().address, limits={"write_timeout": "1s"}),
            b"GET /bytes?n=20000 HTTP/1.1\r\nHost: x\r\n\r\n" * 2000,
        )

    def test_from_a_relayed_server(self) -> None:
        def flood(connection: socket.socket) -> None:
            connection.recv(100)
            for piece in blocks(50_000_000):
                connection.sendall(piece)

        server = self.server(flood)
        daemon = self.daemon(relaying(server.address, limits={"write_timeout": "1s"}))
        [worker] = daemon.workers
        before = memory(worker)
        greedy = [self.connect(daemon.port(), receive_bytes=4096) for _ in range(8)]
        for connection in greedy:
            connection.sendall(b"go")
        for _ in greedy:
            self.assertTrue(server.ended.acquire(timeout=20))
        self.assertLess(memory(worker, "VmHWM") - before, FLAT)

    def test_to_a_relayed_server_that_does_not_read(self) -> None:
        server = self.server(lambda connection: time.sleep(60))
        daemon = self.daemon(relaying(server.address, limits={"write_timeout": "1s"}))
        [worker] = daemon.workers
        before = memory(worker)
        client = self.connect(daemon.port())
        with self.assertRaises(ConnectionError):
            for piece in blocks(50_000_000):
                client.sendall(piece)
        self.assertLess(memory(worker, "VmHWM") - before, FLAT)


class IdleConnectionsTests(SystemTestCase):
    """L6."""

    COUNT = 2000

    def test_thousands(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        daemon = self.daemon(settings(self.backend().address))
        [worker] = daemon.workers
        other = self.client(daemon.port())
        ask(other)
        before, opened = memory(worker), descriptors(worker)
        idle = [self.connect(daemon.port()) for _ in range(self.COUNT)]
        wait_for("all of them", lambda: descriptors(worker) >= opened + self.COUNT)
        for _ in range(100):
            self.assertEqual(ask(other), (200, "one"))
        self.wait_for_metric(daemon, self.COUNT + 1.0, "veloflux_connections", side="downstream")
        self.assertLess((memory(worker) - before) / self.COUNT, 16 * 1024)
        for connection in idle:
            connection.close()
        wait_for("their end", lambda: descriptors(worker) == opened)
        self.assertEqual(ask(other), (200, "one"))

    def has_room(self, daemon: Daemon) -> bool:
        """Whether one more client is served; without room it is turned away in any of two ways."""
        try:
            return self.get(daemon.port()) == (200, "one")
        except (ConnectionError, http.client.HTTPException):
            return False

    def test_more_than_the_listener_takes(self) -> None:
        limits = {"max_connections": 50, "max_connections_per_ip": 20}
        daemon = self.daemon(settings(self.backend().address, limits=limits))
        taken = [self.connect(daemon.port()) for _ in range(20)]
        for connection in taken:
            connection.sendall(GET)
            self.assertIn(b"200 OK", connection.recv(4096))
        for _ in range(5):
            self.assertEqual(refused(self.connect(daemon.port())), b"")
        self.wait_for_metric(
            daemon,
            5.0,
            "veloflux_connections_rejected_total",
            reason="max_connections_per_ip",
        )
        taken[0].close()
        wait_for("room", lambda: self.has_room(daemon))


def refused(connection: socket.socket) -> bytes:
    """What comes on a connection that is refused, cleanly or by a reset."""
    try:
        return connection.recv(1)
    except ConnectionResetError:
        return b""


class DescriptorTableTests(SystemTestCase):
    """L6, X11: no descriptor is left."""

    def test_new_clients_are_refused_and_the_others_served(self) -> None:
        daemon = self.daemon(settings(self.backend().address))
        [worker] = daemon.workers
        other = self.client(daemon.port())
        ask(other)
        opened = descriptors(worker)
        leave_descriptors(worker, 10)
        began = cpu_s(worker)
        crowd = [self.connect(daemon.port()) for _ in range(200)]
        for _ in range(100):
            self.assertEqual(ask(other), (200, "one"))
        time.sleep(1.0)
        # A loop that spins takes all that it can get.
        self.assertLess(cpu_s(worker) - began, 0.5)
        self.assertLessEqual(descriptors(worker), opened + 10)
        self.assertEqual([refused(connection) for connection in crowd[-100:]], [b""] * 100)
        page = self.wait_for_metric(
            daemon, 190.0, "veloflux_connections_rejected_total", reason="descriptors"
        )
        self.assertEqual(page.sum("veloflux_connections_accepted_total"), 11)
        # Not for each of them.
        self.assertEqual(daemon.output.count("no descriptor is left"), 1)
        for connection in crowd:
            connection.close()
        wait_for("their end", lambda: descriptors(worker) == opened)
        self.assertEqual(self.get(daemon.port()), (200, "one"))

    def test_some_are_kept_for_backends(self) -> None:
        """As in a container with a low limit and the default of ten thousand connections."""
        daemon = self.daemon(settings(self.backend().address), descriptors=128)
        crowd = [self.connect(daemon.port()) for _ in range(150)]
        taken = 128 * 80 // 100
        self.wait_for_metric(daemon, float(taken), "veloflux_connections", side="downstream")
        self.wait_for_metric(
            daemon, 150.0 - taken, "veloflux_connections_rejected_total", reason="descriptors"
        )
        crowd[0].sendall(GET)
        self.assertTrue(read_head(crowd[0]).startswith(b"HTTP/1.1 200 OK"))
        self.assertIn("no descriptor is left", daemon.output)
        # When all of them ask at once there is an answer for each, if not the backend's.
        for connection in crowd[:taken]:
            connection.sendall(GET)
        answers = {read_head(connection)[:12] for connection in crowd[:taken]}
        self.assertEqual(answers, {b"HTTP/1.1 200", b"HTTP/1.1 503"})
