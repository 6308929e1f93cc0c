"""WebSockets over real sockets: by HTTP/2 with h2 (RFC 8441), by HTTP/1.1 in plain bytes; wsproto
makes and reads the frames of both."""

import socket
from collections import defaultdict
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage

from tests.support.server import read_head

_HANDSHAKE = (
    "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class WebSocket:
    """One WebSocket; `send_bytes` and `receive_bytes` are those of what carries it."""

    def __init__(self) -> None:
        self._frames = Connection(ConnectionType.CLIENT)
        self._heard: list[Any] = []
        self.close_code: int | None = None
        self.pongs: list[bytes] = []

    def send_bytes(self, wire: bytes) -> None:
        raise NotImplementedError

    def receive_bytes(self) -> bytes:
        raise NotImplementedError

    def finish(self) -> None:
        """Nothing more is sent."""
        raise NotImplementedError

    def send(self, message: str | bytes) -> None:
        kind = TextMessage if isinstance(message, str) else BytesMessage
        self.send_bytes(self._frames.send(kind(data=message)))

    def ping(self, payload: bytes) -> None:
        self.send_bytes(self._frames.send(Ping(payload=payload)))

    def close(self, code: int) -> None:
        """Say that this is the end, and wait for the other's word."""
        self.send_bytes(self._frames.send(CloseConnection(code=code)))
        while self.close_code is None:
            self._hear()
        self.finish()

    def receive(self) -> str | bytes:
        """The next message."""
        pieces: list[Any] = []
        while True:
            while not self._heard:
                self._hear()
            event = self._heard.pop(0)
            pieces.append(event.data)
            if event.message_finished:
                return pieces[0][:0].join(pieces)

    def _hear(self) -> None:
        self._frames.receive_data(self.receive_bytes() or None)
        for event in self._frames.events():
            if isinstance(event, Message):
                self._heard.append(event)
            elif isinstance(event, Pong):
                self.pongs.append(bytes(event.payload))
            elif isinstance(event, CloseConnection):
                self.close_code = event.code


class OverHttp1(WebSocket):
    """On a connection of its own."""

    def __init__(self, connection: socket.socket, path: str = "/ws") -> None:
        super().__init__()
        self._connection = connection
        connection.sendall(_HANDSHAKE.format(path).encode())
        head, _, rest = read_head(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self._early = rest

    def send_bytes(self, wire: bytes) -> None:
        self._connection.sendall(wire)

    def finish(self) -> None:
        self._connection.close()

    def receive_bytes(self) -> bytes:
        early, self._early = self._early, b""
        return early or self._connection.recv(65536)


class Connected:
    """A connection that speaks HTTP/2, for many WebSockets and requests."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.initiate_connection()
        self.statuses: dict[int, int] = {}
        self.came: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self._flush()
        while not self._h2.remote_settings.enable_connect_protocol:
            self.hear()

    def open(self, path: str = "/ws") -> "OverHttp2":
        """One more WebSocket."""
        number = self._ask("CONNECT", path, [(":protocol", "websocket")], ended=False)
        assert self.statuses[number] == 200, self.statuses[number]
        return OverHttp2(self, number)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask, and wait for the answer."""
        number = self._ask("GET", path, [], ended=True)
        while number not in self.ended:
            self.hear()
        return self.statuses[number], bytes(self.came.pop(number, b""))

    def send(self, number: int, wire: bytes) -> None:
        at = 0
        while at < len(wire):
            room = min(self._h2.local_flow_control_window(number), 16384)
            if room <= 0:
                self.hear()
                continue
            self._h2.send_data(number, wire[at : at + room])
            at += room
            self._flush()

    def finish(self, number: int) -> None:
        """End one side of a stream."""
        if number not in self.reset:
            self._h2.end_stream(number)
            self._flush()

    def hear(self) -> None:
        """Wait for whatever comes."""
        wire = self._connection.recv(65536)
        if not wire:
            raise ConnectionError("the connection has ended")
        for event in self._h2.receive_data(wire):
            if isinstance(event, events.ResponseReceived):
                self.statuses[event.stream_id] = int(dict(event.headers)[b":status"])
            elif isinstance(event, events.DataReceived):
                self.came[event.stream_id] += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded | events.StreamReset):
                self.ended.add(event.stream_id)
                if isinstance(event, events.StreamReset):
                    self.reset.add(event.stream_id)
            elif isinstance(event, events.ConnectionTerminated):
                raise ConnectionError(f"GOAWAY {event.error_code}")
        self._flush()

    def _ask(self, method: str, path: str, lines: list[tuple[str, str]], *, ended: bool) -> int:
        number: int = self._h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", path),
            *lines,
            ("sec-websocket-version", "13"),
        ]
        self._h2.send_headers(number, head, end_stream=ended)
        self._flush()
        while number not in self.statuses:
            self.hear()
        return number

    def _flush(self) -> None:
        wire = self._h2.data_to_send()
        if wire:
            self._connection.sendall(wire)


class OverHttp2(WebSocket):
    """On a stream."""

    def __init__(self, connection: Connected, number: int) -> None:
        super().__init__()
        self._carrier = connection
        self._number = number

    def send_bytes(self, wire: bytes) -> None:
        self._carrier.send(self._number, wire)

    def finish(self) -> None:
        self._carrier.finish(self._number)

    def receive_bytes(self) -> bytes:
        while not self._carrier.came[self._number] and self._number not in self._carrier.ended:
            self._carrier.hear()
        return bytes(self._carrier.came.pop(self._number, b""))
