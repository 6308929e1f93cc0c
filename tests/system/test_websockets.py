"""WebSockets through the daemon, by HTTP/1.1 and by HTTP/2, in clear text and over TLS."""

import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.case import settings, text
from tests.support.daemon import Daemon, descriptors, wait_for
from tests.support.demo import Demo
from tests.support.server import read_head
from tests.support.websocket import Connected, OverHttp1, WebSocket
from tests.system.test_tls import TlsSystemTestCase


class WebSocketTestCase(TlsSystemTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.demo = Demo()
        self.addCleanup(self.demo.close)

    def plain(self, daemon: Daemon) -> socket.socket:
        return self.connect(daemon.port())

    def over_tls(self, daemon: Daemon, *alpn: str) -> ssl.SSLSocket:
        context = self.trusting()
        context.set_alpn_protocols(list(alpn))
        secure = context.wrap_socket(self.connect(daemon.port()), server_hostname="localhost")
        self.addCleanup(secure.close)
        return secure

    def ways(self) -> Iterator[tuple[str, Daemon, Callable[[], WebSocket]]]:
        """Each way that a WebSocket may come by."""
        clear = self.daemon(settings(self.demo.address, listener={"h2c": True}))
        yield "HTTP/1.1", clear, lambda: OverHttp1(self.plain(clear))
        yield "HTTP/2", clear, lambda: Connected(self.plain(clear)).open()
        secure = self.daemon(settings(self.demo.address, listener=self.tls()))
        yield "HTTP/1.1 over TLS", secure, lambda: OverHttp1(self.over_tls(secure, "http/1.1"))
        yield "HTTP/2 over TLS", secure, lambda: Connected(self.over_tls(secure, "h2")).open()


class Talk(WebSocketTestCase):
    def test_ping_pong_and_the_code_of_the_end(self) -> None:
        for name, daemon, talk in self.ways():
            with self.subTest(way=name):
                [worker] = daemon.workers
                before = descriptors(worker)
                talking = talk()
                for n in range(200):
                    talking.send(f"ping {n}")
                    self.assertEqual(talking.receive(), f"ping {n}")
                for message in ("", "ü" * 50_000, b"\x00\xff", b"x" * 2_000_000):
                    talking.send(message)
                    self.assertTrue(talking.receive() == message)
                talking.ping(b"are you?")
                talking.send("and")
                talking.receive()
                self.assertEqual(talking.pongs, [b"are you?"])
                talking.close(4001)
                self.assertEqual(talking.close_code, 4001)
                line = '"status":200' if "HTTP/2" in name else '"status":101'
                wait_for("its line", lambda line=line, daemon=daemon: line in daemon.access_log)
                # The clients keep their connections, and a pipe may be kept.
                wait_for(
                    "the end of the backend's connection",
                    lambda worker=worker, before=before: descriptors(worker) <= before + 3,
                )

    def test_many_share_a_connection_with_requests(self) -> None:
        daemon = self.daemon(settings(self.demo.address, listener={"h2c": True}))
        shared = Connected(self.plain(daemon))
        talks = [shared.open() for _ in range(50)]
        for turn in range(3):
            for n, talking in enumerate(talks):
                talking.send(f"{turn} {n}")
            self.assertEqual(shared.get("/health"), (200, b"ok\n"))
            for n, talking in reversed(list(enumerate(talks))):
                self.assertEqual(talking.receive(), f"{turn} {n}")

    def test_a_route_may_have_none(self) -> None:
        """The wish is not passed on in HTTP/1.1, and refused in HTTP/2."""
        daemon = self.daemon(
            settings(self.demo.address, listener={"h2c": True}, route={"websocket": False})
        )
        with self.assertRaises(AssertionError) as raised:
            OverHttp1(self.plain(daemon))
        self.assertNotIn("HTTP/1.1 101 ", str(raised.exception))
        shared = Connected(self.plain(daemon))
        with self.assertRaises(AssertionError) as raised:
            shared.open()
        self.assertEqual(str(raised.exception), "501")
        self.assertEqual(shared.get("/health")[0], 200)

    def test_a_backend_that_answers_wrongly(self) -> None:
        """S19: 502, and no tunnel"""

        def serve(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
            )

        server = self.server(serve)
        daemon = self.daemon(settings(server.address, listener={"h2c": True}))
        with self.assertRaises(AssertionError) as raised:
            OverHttp1(self.plain(daemon))
        self.assertIn("HTTP/1.1 502 ", str(raised.exception))
        with self.assertRaises(AssertionError) as raised:
            Connected(self.plain(daemon)).open()
        self.assertEqual(str(raised.exception), "502")


class Reloads(WebSocketTestCase):
    TUNNELS = 1500
    STREAMS = 500
    RELOADS = 100

    def test_thousands_of_idle_tunnels_survive_a_hundred(self) -> None:
        configuration = settings(self.demo.address, listener={"h2c": True}, workers=1)
        daemon = self.daemon(configuration)
        talks: list[Any] = [OverHttp1(self.plain(daemon)) for _ in range(self.TUNNELS)]
        for _ in range(self.STREAMS // 100):
            shared = Connected(self.plain(daemon))
            talks += [shared.open() for _ in range(100)]
        for number in range(2, self.RELOADS + 2):
            route = {"id": "app", "pool": "app"} | {"headers": {"X-Turn": str(number)}}
            more = [route | {"id": "more"}, configuration["routes"][0]]
            daemon.reload(text(configuration | {"routes": more}))
            daemon.wait_for_log(f"configuration {number} is in force")
        for n, talking in enumerate(talks):
            talking.send(str(n))
            self.assertEqual(talking.receive(), str(n))
        self.assertNotIn('"status":101', daemon.access_log)
        for talking in talks[:3] + talks[-3:]:
            talking.close(1000)
            self.assertEqual(talking.close_code, 1000)
