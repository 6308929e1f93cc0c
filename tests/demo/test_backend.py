"""The demo backend, asked over a connection in memory."""

import json

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from veloflux.demo.backend import BLOCK, Backend

GONE = Failure(ConnectionDone())


class Narrow(StringTransport):
    """A transport that is full after each write, until told to go on."""

    def write(self, data: bytes) -> None:
        """Take it, and say that it was enough."""
        super().write(data)
        if self.producer:
            self.producer.pauseProducing()


class Asking(SynchronousTestCase):
    """One connection to a backend called `one`."""

    def setUp(self) -> None:
        self.clock = Clock()
        site = Site(Backend(self.clock, "one"), reactor=self.clock, parsePOSTFormSubmission=False)
        self.transport = Narrow()
        self.protocol = site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.addCleanup(self.protocol.connectionLost, GONE)

    def ask(self, target: str, method: str = "GET", body: str = "", more: str = "") -> None:
        """Send one request."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: h\r\n{length}{more}\r\n"
        self.protocol.dataReceived((head + body).encode())

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, and body, as far as written."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        pairs = (field.split(": ", 1) for field in fields)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body

    def test_tells_the_request_back(self) -> None:
        self.ask("/a/b?c=d", "PUT", "hello", "X-Mine: 1\r\n")
        status, headers, body = self.answer()
        told = json.loads(body)
        self.assertEqual((status, headers["x-backend"]), (200, "one"))
        self.assertEqual(told["backend"], "one")
        self.assertEqual((told["method"], told["target"]), ("PUT", "/a/b?c=d"))
        self.assertIn("X-Mine: 1", told["headers"])
        self.assertEqual((told["body_bytes"], told["body"]), (5, "hello"))

    def test_leaves_forms_as_they_came(self) -> None:
        form = "Content-Type: application/x-www-form-urlencoded\r\n"
        self.ask("/", "POST", "a=b&c=%20", form)
        self.assertEqual(json.loads(self.answer()[2])["body"], "a=b&c=%20")

    def test_is_healthy(self) -> None:
        self.ask("/health")
        self.assertEqual(self.answer()[0], 200)

    def test_answers_late(self) -> None:
        self.ask("/slow?ms=300")
        self.clock.advance(0.29)
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.02)
        self.assertEqual(self.answer()[0], 200)

    def test_forgets_a_late_answer_when_the_client_goes(self) -> None:
        self.ask("/slow?ms=300")
        self.protocol.connectionLost(GONE)
        self.clock.advance(1)
        self.assertEqual(self.transport.value(), b"")

    def test_sends_bytes_only_as_they_are_taken(self) -> None:
        self.ask(f"/bytes?n={3 * BLOCK}")
        for blocks in (1, 2):
            self.assertEqual(len(self.answer()[2]), blocks * BLOCK)
            self.transport.producer.resumeProducing()
        _, headers, body = self.answer()
        self.assertEqual(headers["content-length"], str(3 * BLOCK))
        self.assertEqual(len(body), 3 * BLOCK)

    def test_sends_no_bytes_for_head_or_for_none(self) -> None:
        self.ask("/bytes?n=0")
        self.assertEqual(self.answer()[2], b"")
        self.transport.clear()
        self.ask("/bytes?n=55", "HEAD")
        _, headers, body = self.answer()
        self.assertEqual((headers["content-length"], body), ("55", b""))

    def test_streams_line_by_line(self) -> None:
        self.ask("/stream?n=3&ms=100")
        self.clock.pump([0, 0])
        self.assertNotIn(b"one 2", self.transport.value())
        self.clock.pump([0.1, 0, 0.1, 0, 0.1, 0])
        _, headers, body = self.answer()
        self.assertEqual(headers["transfer-encoding"], "chunked")
        self.assertEqual([body.count(b"one %d\n" % line) for line in (1, 2, 3)], [1, 1, 1])
        self.assertTrue(body.endswith(b"0\r\n\r\n"))

    def test_stops_streaming_when_the_client_goes(self) -> None:
        self.ask("/stream?n=3&ms=100")
        self.clock.pump([0, 0])
        before = self.transport.value()
        self.protocol.connectionLost(GONE)
        self.clock.pump([0.1, 0, 0.1, 0])
        self.assertEqual(self.transport.value(), before)

    def test_fails_as_asked(self) -> None:
        self.ask("/fail?status=503")
        self.assertEqual(self.answer()[0], 503)

    def test_fails_without_a_body_where_none_may_be(self) -> None:
        self.ask("/fail?status=204")
        status, headers, body = self.answer()
        self.assertEqual((status, body), (204, b""))
        self.assertNotIn("content-length", headers)
        self.assertNotIn("transfer-encoding", headers)

    def test_refuses_numbers_that_are_none(self) -> None:
        for target in ("/fail?status=99", "/bytes?n=-1", "/slow?ms=x", "/stream?n=9" + "9" * 20):
            with self.subTest(target):
                self.transport.clear()
                self.ask(target)
                self.assertEqual(self.answer()[0], 400)

    def test_echoes_websocket_messages(self) -> None:
        self.ask(
            "/ws",
            more="Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )
        status, headers, _ = self.answer()
        self.assertEqual(status, 101)
        # The key and its answer are those of RFC 6455, 1.3.
        self.assertEqual(headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.transport.clear()
        # RFC 6455, 5.7: a masked "Hello", and what comes back, unmasked.
        self.protocol.dataReceived(bytes.fromhex("818537fa213d7f9f4d5158"))
        self.assertEqual(self.transport.value(), bytes.fromhex("810548656c6c6f"))
