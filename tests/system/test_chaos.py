"""Clients and backends that do by chance whatever they can, all at once; then nothing is left."""

import contextlib
import json
import random
import socket
import time
from collections.abc import Callable

from tests.support.case import Running, SystemTestCase, reset, settings, text
from tests.support.content import blocks
from tests.support.daemon import descriptors, memory, wait_for

LASTS_S = 3.0
CLIENTS = 30
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

Luck = random.Random


def request(luck: Luck) -> bytes:
    """What a client sends, if it sends all of it."""
    count = luck.randrange(1, 200_000)
    chunks = [luck.randbytes(luck.randrange(1, 70_000)) for _ in range(3)]
    return luck.choice(
        (
            GET,
            GET * luck.randrange(2, 20),
            GET.replace(b"GET", b"HEAD").replace(b"1.1", b"1.0"),
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (count, b"x" * count),
            b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
            + b"0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
            HANDSHAKE + luck.randbytes(100),
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Much: more\r\n" * luck.randrange(300) + b"\r\n",
            luck.randbytes(luck.randrange(1, 3000)),
        )
    )


# What a backend answers; None for a reset, nothing for a close.
ANSWERS = (
    *[OK] * 6,
    None,
    b"",
    b"garbage\r\n\r\n",
    OK[:-1],
    OK + b"more than that",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"".join(blocks(3_000_000)),
)


def serve(connection: socket.socket) -> None:
    """One connection to a backend."""
    luck = Luck()
    connection.settimeout(3)
    while connection.recv(65536):
        wire = luck.choice(ANSWERS)
        if wire is None:
            reset(connection)
            return
        if luck.random() < 0.1:
            time.sleep(luck.random())
        connection.sendall(wire)
        if not wire or luck.random() < 0.1:
            return


def call(luck: Luck, connect: Callable[[int], socket.socket]) -> None:
    """One connection from a client."""
    with connect(luck.choice((0, 4096))) as connection:
        wire = request(luck)
        left = wire[: luck.randrange(len(wire) + 1)] if luck.random() < 0.3 else wire
        while left:
            size = luck.choice((1 if len(left) < 1000 else 10_000, 100_000))
            connection.sendall(left[:size])
            left = left[size:]
            if luck.random() < 0.02:
                time.sleep(luck.random() / 2)
        leaving = luck.random()
        if leaving < 0.2:
            reset(connection)
            return
        if leaving < 0.3:
            connection.shutdown(socket.SHUT_WR)
        elif leaving < 0.4:
            time.sleep(luck.random())
        while connection.recv(65536) and luck.random() > 0.01:
            pass


class ChaosTests(SystemTestCase):
    """Invariants (d), (f): memory, descriptors and requests at work come back to where they were,
    every request has its line and its count, and there is no traceback (`Daemon.close`)."""

    def test_leaves_nothing_behind(self) -> None:
        gone = self.backend()
        gone.close()
        limits = {f"{what}_timeout": "1s" for what in ("header", "body", "write", "keepalive")}
        timeouts = {"connect": "500ms", "first_byte": "1s", "idle": "1s", "total": "2s"}
        configuration = settings(
            gone.address, *(self.server(serve).address for _ in range(3)),
            limits={**limits, "max_body_bytes": 100_000}, timeouts=timeouts, workers=2,
        )  # fmt: skip
        configuration["listeners"].append(
            {"address": "127.0.0.2:0", "protocol": "tcp", "pool": "app", "limits": limits}
        )
        daemon = self.daemon(configuration)
        places = [("127.0.0.1", daemon.port(0)), ("127.0.0.2", daemon.port(1))]
        workers = daemon.workers
        before = {pid: (descriptors(pid), memory(pid)) for pid in workers}
        end = time.monotonic() + LASTS_S

        def client(number: int) -> None:
            luck = Luck(number)

            def connect(receive_bytes: int) -> socket.socket:
                connection = socket.socket()
                connection.settimeout(1.5)
                if receive_bytes:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
                connection.connect(luck.choice((places[0], *places)))
                return connection

            while time.monotonic() < end:
                with contextlib.suppress(OSError):
                    call(luck, connect)

        clients = [Running(lambda number=number: client(number)) for number in range(CLIENTS)]
        version = 1
        while time.monotonic() < end:
            version += 1
            configuration["pools"][0]["keepalive"] = {"max_idle": version}
            daemon.reload(text(configuration))
            daemon.wait_for_log(f"configuration {version} is in force")
            time.sleep(0.2)
        for each in clients:
            each.result()
        self.wait_for_metric(daemon, 0.0, "veloflux_connections")
        page = self.wait_for_metric(daemon, 0.0, "veloflux_upstream_inflight")
        self.assertEqual(daemon.workers, workers)
        for pid, (opened, resident) in before.items():
            # Pipes may be kept for the next bodies.
            wait_for("descriptors", lambda pid=pid, opened=opened: descriptors(pid) <= opened + 8)
            self.assertLess(memory(pid) - resident, 24 * 1024 * 1024)
        wait_for(
            "a line for each request",
            lambda: self.lines(daemon.access_log) == page.sum("veloflux_http_requests_total"),
        )
        self.assertGreater(page.sum("veloflux_http_requests_total", code_class="2xx"), 10)

    def lines(self, log: str) -> int:
        """How many lines of HTTP requests there are; each must be JSON."""
        return sum(json.loads(line)["scheme"] == "http" for line in log.splitlines())
