"""WebSockets of clients that speak HTTP/2 (RFC 8441), to backends that speak HTTP/1.1."""

import base64
import hashlib
import re
from typing import Any

from tests.edge.test_http2 import BIG, Http2TestCase
from tests.support.edge import OK, variant
from veloflux.core.model.traffic import Route, Share

CONNECT = [
    (":protocol", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat"),
    ("origin", "http://example.org"),
]
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class TunnelTestCase(Http2TestCase):
    def open(self, lines: list[tuple[str, str]] | None = None, path: str = "/chat") -> int:
        number: int = self.client.h2.get_next_available_stream_id()
        head = [
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "example.org"),
            (":path", path),
            *(CONNECT if lines is None else lines),
        ]
        self.client.h2.send_headers(number, head)
        self.client.flush()
        return number

    def accept(self, lines: bytes = b"", rest: bytes = b"") -> None:
        """Switch, as a backend does that has understood."""
        key = re.search(rb"(?i)sec-websocket-key: (\S+)\r\n", self.backend.connection.received)
        assert key is not None
        proof = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
        self.backend.connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\n%b\r\n%b" % (proof, lines, rest)
        )

    def tunnel(self, **fields: Any) -> int:
        if fields:
            self.make(**fields)
        number = self.open()
        self.accept()
        self.assertEqual(self.client.answer(number).status, 200)
        return number

    @property
    def came(self) -> bytes:
        """What the backend got after the handshake."""
        _, _, rest = self.backend.connection.received.partition(b"\r\n\r\n")
        return rest


class Handshakes(TunnelTestCase):
    """W1"""

    def test_it_is_offered(self) -> None:
        self.assertEqual(self.client.h2.remote_settings.enable_connect_protocol, 1)

    def test_the_backend_gets_a_handshake_and_the_client_an_answer(self) -> None:
        number = self.open()
        request = self.backend.connection.received
        self.assertTrue(request.startswith(b"GET /chat HTTP/1.1\r\nHost: example.org\r\n"))
        for line in (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
            b"sec-websocket-version: 13\r\n",
            b"sec-websocket-protocol: chat\r\n",
            b"origin: http://example.org\r\n",
        ):
            self.assertEqual(request.count(line), 1, line)
        self.assertNotIn(b"transfer-encoding", request.lower())
        self.accept(b"Sec-WebSocket-Protocol: chat\r\n")
        answer = self.client.answer(number)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.head[b"sec-websocket-protocol"], b"chat")
        for name in (b"sec-websocket-accept", b"connection", b"upgrade", b"content-length"):
            self.assertNotIn(name, answer.head)
        self.assertIn(b"x-request-id", answer.head)
        self.assertFalse(answer.is_whole)

    def test_a_backend_that_did_not_understand(self) -> None:
        """S19: no proof, no tunnel"""
        for name, wire in (
            ("no proof", b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            ("a wrong one", b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
            ("no switch", OK),
            ("no switch, and a long body", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
            ("no head", b"hello\r\n\r\n"),
        ):  # fmt: skip
            with variant(name):
                self.make()
                number = self.open()
                self.backend.connection.send(wire)
                answer = self.client.answer(number)
                self.assertEqual((answer.status, answer.is_whole), (502, True))
                self.client.h2.reset_stream(number) if answer.reset is None else None
                self.client.flush()
                self.assertEqual(self.rig.inflight, 0)

    def test_a_backend_that_does_not_want_to(self) -> None:
        number = self.open()
        self.backend.connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        answer = self.client.answer(number)
        self.assertEqual((answer.status, answer.body, answer.is_whole), (403, b"no", True))
        # What it would have sent is not waited for.
        self.assertEqual(answer.reset, 0)
        self.assertEqual(self.entry()["status"], 403)

    def test_a_route_that_has_none(self) -> None:
        self.make(routes=(Route("all", pools=(Share("app"),), websocket=False),))
        answer = self.client.answer(self.open())
        self.assertEqual((answer.status, answer.is_whole), (501, True))
        self.assertEqual(self.backend.connections, [])

    def test_bad_ones(self) -> None:
        for name, lines, status in (
            ("another version", [(":protocol", "websocket"), ("sec-websocket-version", "8")], 426),
            ("another protocol", [(":protocol", "telnet")], 501),
        ):
            with variant(name):
                self.assertEqual(self.client.answer(self.open(lines)).status, status)
        self.assertEqual(self.backend.connections, [])

    def test_pools_that_speak_http2_have_none(self) -> None:
        self.make(pool={"protocol": "h2"})
        self.assertEqual(self.client.answer(self.open()).status, 501)


class Tunnels(TunnelTestCase):
    def test_bytes_both_ways(self) -> None:
        number = self.tunnel()
        self.client.send(number, b"ping")
        self.assertEqual(self.came, b"ping")
        self.backend.connection.send(b"pong")
        self.assertEqual(self.client.answer(number).body, b"pong")
        self.client.cancel(number)
        entry = self.entry()
        self.assertEqual((entry["status"], entry["bytes_in"], entry["bytes_out"]), (200, 4, 4))
        self.assertEqual(entry["protocol"], "HTTP/2")

    def test_bytes_that_come_early(self) -> None:
        number = self.open()
        self.client.send(number, b"early")
        self.assertEqual(self.came, b"")
        self.accept(rest=b"too")
        self.assertEqual(self.came, b"early")
        self.assertEqual(self.client.answer(number).body, b"too")

    def test_many_bytes_that_come_early_are_bounded(self) -> None:
        number = self.open()
        self.assertLessEqual(self.client.pour(number, BIG), 1 << 16)

    def test_either_end_may_finish_first(self) -> None:
        number = self.tunnel()
        self.client.send(number, b"last", ended=True)
        self.assertEqual((self.came, self.backend.connection.ending), (b"last", "finished"))
        self.backend.connection.send(b"answer")
        self.backend.connection.finish()
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.is_whole, answer.reset), (b"answer", True, None))
        self.assertEqual(self.entry()["termination"], "--")
        number = self.tunnel(backends=1)
        self.backend.connection.send(b"last")
        self.backend.connection.finish()
        answer = self.client.answer(number)
        self.assertEqual((answer.body, answer.is_whole), (b"last", True))
        self.client.send(number, b"still", ended=True)
        self.assertEqual((self.came, self.backend.connection.ending), (b"still", "closed"))
        self.assertEqual(self.rig.inflight, 0)

    def test_it_ends_with_either_end(self) -> None:
        number = self.tunnel()
        self.client.cancel(number)
        self.assertEqual(self.backend.connection.ending, "closed")
        self.assertEqual(self.entry()["termination"], "CD")
        number = self.tunnel(backends=1)
        self.backend.connection.reset()
        answer = self.client.answer(number)
        self.assertTrue(answer.is_whole or answer.reset is not None)
        self.assertEqual(self.entry()["termination"], "SD")
        number = self.tunnel(backends=1)
        self.client.end.close()
        self.assertEqual(self.backend.connection.ending, "closed")
        self.assertEqual(self.rig.inflight, 0)

    def test_a_client_that_reads_slowly_holds_the_backend_back(self) -> None:
        self.make(client={"acknowledges": False})
        number = self.open()
        self.accept()
        self.backend.connection.send(BIG)
        unread = self.backend.connection.unread
        self.assertGreater(unread, len(BIG) - 65_535 - 3 * 65_536)
        # Others go on.
        other = self.client.ask("/other")
        self.backend.connections[1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.client.answer(other).status, 200)
        self.client.acknowledges = True
        self.client.h2.increment_flow_control_window(1 << 20)
        self.client.h2.increment_flow_control_window(1 << 20, number)
        self.assertTrue(self.client.answer(number).body == BIG)

    def test_a_backend_that_reads_slowly_holds_the_client_back(self) -> None:
        number = self.tunnel()
        self.backend.connection.stop_reading()
        poured = self.client.pour(number, BIG)
        self.assertLess(poured, 4 * 65_536)
        self.backend.connection.read()
        while poured < len(BIG):
            now = self.client.pour(number, BIG[poured:])
            self.assertTrue(now)
            poured += now
        self.assertTrue(self.came == BIG)

    def test_a_client_that_never_reads_is_cut_off(self) -> None:
        self.make(client={"acknowledges": False}, limits={"write_timeout_s": 5.0})
        number = self.open()
        self.accept()
        self.backend.connection.send(BIG)
        self.rig.wait(12.0)
        self.assertEqual(self.client.answer(number).reset, 8)
        self.assertEqual(self.backend.connection.ending, "reset")
        self.assertEqual(self.rig.inflight, 0)

    def test_silence_is_allowed(self) -> None:
        number = self.tunnel()
        self.rig.wait(1800.0)
        self.client.send(number, b"a")
        self.assertEqual(self.came, b"a")

    def test_a_new_snapshot_lets_it_be(self) -> None:
        number = self.tunnel()
        self.rig.change()
        self.client.send(number, b"a")
        self.assertEqual(self.came, b"a")

    def test_a_draining_worker_lets_it_be(self) -> None:
        number = self.tunnel()
        self.rig.service.drain()
        self.client.send(number, b"a")
        self.rig.wait(5.0)
        self.client.send(number, b"b")
        self.assertEqual(self.came, b"ab")
        self.client.send(number, b"", ended=True)
        self.backend.connection.finish()
        self.rig.wait(5.0)
        self.assertIsNotNone(self.client.end.ending)

    def test_a_worker_that_goes_now(self) -> None:
        self.tunnel()
        self.rig.service.close()
        self.rig.reactor.turn()
        self.assertEqual(self.backend.connection.ending, "reset")
