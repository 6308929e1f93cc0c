"""The sockets: RFC 6455 from outside, byte by byte, on Autobahn."""

import struct

import msgspec
import txaio
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from veloflux.control.services.feed import Feed, Topic
from veloflux.control.services.identity.identity import Standing
from veloflux.control.services.principal import ROLES, Principal
from veloflux.control.streams.server import LOOK_S, MAX_STRANGERS, Socket, Watchers
from veloflux.control.streams.session import AUTH_DEADLINE_S

HEAD = (
    b"GET /api/ws/status HTTP/1.1\r\nHost: localhost:9090\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
VIEWER = Principal("u1", "ann", "viewer", ROLES["viewer"])
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0
) -> bytes:
    """One frame as a client writes it, masked with zeros."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, bit | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, bit | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, bit | 127, len(payload))
    return head + (bytes(4) if mask else b"") + payload


def frames(raw: bytes) -> list[tuple[int, bytes]]:
    """What a server wrote: opcodes and payloads."""
    found = []
    while raw:
        opcode, length = raw[0] & 0x0F, raw[1]
        start = 2
        if length == 126:
            (length,), start = struct.unpack("!H", raw[2:4]), 4
        elif length == 127:
            (length,), start = struct.unpack("!Q", raw[2:10]), 10
        found.append((opcode, raw[start : start + length]))
        raw = raw[start + length :]
    return found


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        # Autobahn's timers go by the process's reactor, whatever its factory is given.
        self.patch(txaio.config, "loop", self.clock)
        self.state: object = True
        topic = Topic("status", "status", None, 10.0, lambda scope: {"ok": self.state})
        self.feed = Feed([topic], self.clock, lambda: 1e9)
        self.found: Standing = "good"
        self.sockets = Watchers(self.feed, self, self.clock, lambda: 1e9)
        self.addCleanup(self.sockets.stop)
        self.socket, self.transport = self.connect()

    async def admit(self, token: str, address: str) -> Principal | None:
        return VIEWER if token == "good" else None

    async def standing(self, by: Principal) -> Standing:
        return self.found

    def connect(
        self, principal: Principal | None = VIEWER, transport: StringTransport | None = None
    ) -> tuple[Socket, StringTransport]:
        """A connection that was let in; its answer to the handshake is read."""
        transport = transport or StringTransport()
        socket = self.sockets.expect("127.0.0.1", principal, "status", None)
        socket.makeConnection(transport)
        transport.registerProducer(socket, True)
        socket.dataReceived(HEAD)
        head, _, rest = transport.value().partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
        self.assertIn(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", head)
        self.assertNotIn(b"xtension", head)
        transport.clear()
        transport.write(rest)
        return socket, transport

    def read(self) -> list[tuple[int, bytes]]:
        raw = self.transport.value()
        self.transport.clear()
        return frames(raw)

    def closed(self) -> int:
        """The code of the close frame that was sent."""
        [code] = [struct.unpack("!H", body[:2])[0] for op, body in self.read() if op == CLOSE]
        return int(code)


class Watching(Case):
    def test_sends_text_messages(self) -> None:
        read = self.read()
        self.assertEqual([opcode for opcode, _ in read], [TEXT, TEXT])
        types = [msgspec.json.decode(body)["type"] for _, body in read]
        self.assertEqual(types, ["connected", "status"])

    def test_answers(self) -> None:
        self.read()
        self.socket.dataReceived(frame(TEXT, b'{"type":"ping"}'))
        [(_, body)] = self.read()
        self.assertEqual(msgspec.json.decode(body)["type"], "pong")

    def test_takes_a_message_in_fragments(self) -> None:
        self.read()
        self.socket.dataReceived(frame(TEXT, b'{"type":', fin=False))
        self.socket.dataReceived(frame(PING, b"between") + frame(0, b'"ping"}'))
        self.assertEqual([opcode for opcode, _ in self.read()], [PONG, TEXT])

    def test_serves_whoever_says_who_they_are_in_the_first_message(self) -> None:
        self.socket, self.transport = self.connect(None)
        self.assertEqual(self.read(), [])
        self.socket.dataReceived(frame(TEXT, b'{"type":"auth","token":"good"}'))
        self.assertEqual([opcode for opcode, _ in self.read()], [TEXT, TEXT])

    def test_goes_over_any_tls(self) -> None:
        """Autobahn believes that Twisted's own is all there is."""
        transport = StringTransport()
        directlyProvides(transport, ISSLTransport)
        self.socket, self.transport = self.connect(transport=transport)
        self.assertEqual([opcode for opcode, _ in self.read()], [TEXT, TEXT])
        self.socket.session.close(1001, "")
        self.assertEqual(self.closed(), 1001)

    def test_sends_one_prepared_frame_to_many(self) -> None:
        _, other = self.connect()
        self.read()
        other.clear()
        self.feed.force(["status"])
        self.assertEqual(self.transport.value(), other.value())
        self.assertEqual(len(self.read()), 1)

    def test_lets_a_full_transport_be(self) -> None:
        self.read()
        self.socket.pauseProducing()
        self.feed.force(["status"])
        self.feed.force(["status"])
        self.assertEqual(self.read(), [])
        self.socket.resumeProducing()
        [(_, body)] = self.read()
        self.assertEqual(msgspec.json.decode(body)["skipped"], 1)

    def test_sends_more_than_it_takes(self) -> None:
        """What is limited is what watchers may say."""
        self.state = "x" * 100_000
        self.read()
        self.socket.pauseProducing()
        for _ in range(2):
            self.feed.force(["status"])
        self.socket.resumeProducing()
        self.feed.force(["status"])
        bodies = [msgspec.json.decode(body) for _, body in self.read()]
        self.assertEqual([body.get("skipped", 0) for body in bodies], [1, 0])
        self.assertEqual({body["data"]["ok"] for body in bodies}, {self.state})


class Strangers(Case):
    def test_are_so_many_at_most(self) -> None:
        self.assertTrue(self.sockets.takes_strangers)
        strangers = [self.connect(None) for _ in range(MAX_STRANGERS)]
        self.assertFalse(self.sockets.takes_strangers)
        self.assertFalse(self.sockets.is_full)
        strangers[0][0].dataReceived(frame(TEXT, b'{"type":"auth","token":"good"}'))
        self.assertTrue(self.sockets.takes_strangers)
        self.clock.advance(AUTH_DEADLINE_S)


class Closing(Case):
    def test_says_goodbye_when_the_server_stops(self) -> None:
        self.read()
        self.sockets.stop()
        self.assertEqual(self.closed(), 1001)

    def test_closes_with_the_clients_code(self) -> None:
        self.read()
        self.socket.dataReceived(frame(CLOSE, struct.pack("!H", 1000)))
        self.assertEqual(self.closed(), 1000)

    def test_forgets_whoever_is_gone(self) -> None:
        self.socket.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((len(self.sockets), len(self.feed)), (0, 0))
        self.clock.advance(5)
        left = [call for call in self.clock.getDelayedCalls() if call.active()]
        self.assertEqual(left, [])

    def test_closes_when_the_admission_ends(self) -> None:
        """W4: the token expires, or the account is shut, in the middle of a stream."""
        self.read()
        self.found = "over"
        self.clock.advance(LOOK_S)
        self.assertEqual(self.closed(), 4401)

    def test_drops_whoever_does_not_answer_pings(self) -> None:
        self.read()
        for _ in range(25):
            self.clock.advance(1)
        self.assertIn(PING, [opcode for opcode, _ in self.read()])
        for _ in range(15):
            self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)

    def test_drops_whoever_does_not_close(self) -> None:
        self.socket.session.close(1013, "too slow")
        for _ in range(8):
            self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)


class Abuse(Case):
    """W3: frames that RFC 6455 forbids, and too many that it allows."""

    def test_closes_on_forbidden_frames(self) -> None:
        ping = b'{"type":"ping"}'
        for name, raw, code in (
            ("unmasked", frame(TEXT, ping, mask=False), 1002),
            ("reserved bits", frame(TEXT, ping, rsv=4), 1002),
            ("reserved opcode", frame(3, b""), 1002),
            ("reserved control opcode", frame(11, b""), 1002),
            ("fragmented control frame", frame(PING, b"", fin=False), 1002),
            ("long control frame", frame(PING, b"x" * 126), 1002),
            ("continuation of nothing", frame(0, b"x"), 1002),
            ("a message in a message", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
            ("bad UTF-8", frame(TEXT, b"\xff\xfe"), 1007),
            ("close code 1005", frame(CLOSE, struct.pack("!H", 1005)), 1002),
            ("close code 999", frame(CLOSE, struct.pack("!H", 999)), 1002),
            ("close with one byte", frame(CLOSE, b"x"), 1002),
            ("close reason not UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 1007),
            ("too long", frame(TEXT, b" " * 4097), 1009),
            ("too long at last", frame(TEXT, b" " * 4000, fin=False) + frame(0, b" " * 97), 1009),
            ("a length over 2^63", b"\x81\xff" + b"\xff" * 8 + bytes(4), 1002),
            ("a length of 2^62", b"\x81\xff\x40" + bytes(7) + bytes(4), 1009),
        ):  # fmt: skip
            self.socket, self.transport = self.connect()
            self.read()
            self.socket.dataReceived(raw)
            self.assertEqual(self.closed(), code, name)

    def test_closes_on_what_is_compressed(self) -> None:
        """W2: 22 bytes that would be inflated to gigabytes are no frame of a known kind."""
        self.read()
        self.socket.dataReceived(frame(TEXT, b"\xab\x56" * 11, rsv=4))
        self.assertEqual(self.closed(), 1002)

    def test_closes_on_a_million_empty_fragments(self) -> None:
        self.read()
        self.socket.dataReceived(frame(TEXT, b"", fin=False))
        flood = frame(0, b"", fin=False) * 1000
        for _ in range(1000):
            if not self.transport.disconnecting:
                self.socket.dataReceived(flood)
        self.assertEqual(self.closed(), 1008)
        self.assertTrue(self.transport.disconnecting)

    def test_closes_on_a_flood_of_pings(self) -> None:
        self.read()
        self.socket.dataReceived(frame(PING, b"x" * 125) * 1000)
        read = self.read()
        self.assertLess(len(read), 100)
        self.assertEqual(struct.unpack("!H", read[-1][1][:2])[0], 1008)
        self.assertTrue(self.transport.disconnecting)
