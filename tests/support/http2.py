"""Clients and backends of a data plane that speak HTTP/2, by the library h2."""

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

from tests.support.edge import End

# Bytes of a frame's header, and the kind that ends a connection.
_FRAME, _GOAWAY = 9, 7

Headers = list[tuple[str, str]]


@dataclass
class Answer:
    """What came on one stream."""

    head: dict[bytes, bytes] = field(default_factory=dict)
    interim: list[bytes] = field(default_factory=list)
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    is_whole: bool = False
    reset: int | None = None
    continued: int = 0

    @property
    def status(self) -> int:
        return int(self.head.get(b":status", b"0"))


class Http2Client:
    """Speaks over `end`, one connection to the data plane. With `acknowledges` the windows of what
    it has received are opened again at once."""

    def __init__(self, end: End, *, acknowledges: bool = True, window: int | None = None) -> None:
        self.end = end
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({4: window})
        self.acknowledges = acknowledges
        self.found: defaultdict[int, Answer] = defaultdict(Answer)
        self.goaways: list[tuple[int, int]] = []
        self.pongs: list[bytes] = []
        self._heard = 0
        self.flush()

    def flush(self) -> None:
        """Send what h2 has to send, and hear what comes of it."""
        self.end.send(b"")
        self.listen()
        while wire := self.h2.data_to_send():
            self.end.send(wire)
            self.listen()

    def ask(
        self,
        path: str = "/",
        lines: Headers | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
        ended: bool = True,
        authority: str = "example.org",
        flush: bool = True,
    ) -> int:
        """Begin a request, and end it if it is `ended`; returns its stream's number."""
        number: int = self.h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":scheme", "http"),
            (":authority", authority),
            (":path", path),
            *(lines or []),
        ]
        self.h2.send_headers(number, head, end_stream=ended and body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=ended)
        if flush:
            self.flush()
        return number

    def send(self, number: int, data: bytes, *, ended: bool = False) -> None:
        """More of a body."""
        self.h2.send_data(number, data, end_stream=ended)
        self.flush()

    def pour(self, number: int, data: bytes) -> int:
        """As much of a body as the windows let; returns how many bytes that was."""
        sent = 0
        while sent < len(data):
            self.flush()
            room = min(self.h2.local_flow_control_window(number), 16384, len(data) - sent)
            if room <= 0:
                break
            self.h2.send_data(number, data[sent : sent + room])
            sent += room
        self.flush()
        return sent

    def cancel(self, number: int) -> None:
        self.h2.reset_stream(number, 8)
        self.flush()

    def answer(self, number: int) -> Answer:
        """What has come on a stream."""
        self.flush()
        return self.found[number]

    def listen(self) -> None:
        received = self.end.received
        news = b""
        while len(received) - self._heard >= _FRAME:
            start = self._heard
            end = start + _FRAME + int.from_bytes(received[start : start + 3], "big")
            if end > len(received):
                break
            self._heard = end
            if received[start + 3] == _GOAWAY:
                # After one h2 does not go on with what is under way.
                last, code = struct.unpack_from(">LL", received, start + _FRAME)
                self.goaways.append((last, code))
            else:
                news += received[start:end]
        if news:
            for event in self.h2.receive_data(news):
                self._take(event)

    def _take(self, event: Any) -> None:
        if isinstance(event, events.PingAckReceived):
            self.pongs.append(event.ping_data)
            return
        number = getattr(event, "stream_id", None)
        if not number:
            return
        found = self.found[number]
        if isinstance(event, events.InformationalResponseReceived):
            found.interim.append(dict(event.headers)[b":status"])
        elif isinstance(event, events.ResponseReceived):
            found.head = dict(event.headers)
        elif isinstance(event, events.DataReceived):
            found.body += event.data
            if self.acknowledges and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, events.TrailersReceived):
            found.trailers = dict(event.headers)
        elif isinstance(event, events.StreamEnded):
            found.is_whole = True
        elif isinstance(event, events.StreamReset):
            found.reset = int(event.error_code)


@dataclass
class Request:
    """What came on one stream of a backend."""

    number: int
    head: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_whole: bool = False
    reset: int | None = None

    def __getitem__(self, name: bytes) -> bytes:
        return dict(self.head)[name]

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(self.head)


class Http2Backend:
    """The far end of one connection that the data plane made to a backend, by the library h2.

    `settings` are its own, by number. With `acknowledges` the windows of what it has received are
    opened again at once.
    """

    def __init__(
        self,
        end: End,
        *,
        settings: dict[int, int] | None = None,
        acknowledges: bool = True,
    ) -> None:
        self.end = end
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        if settings:
            for name, value in settings.items():
                self.h2.local_settings[SettingCodes(name)] = value
            self.h2.local_settings.acknowledge()
        self.acknowledges = acknowledges
        self.requests: dict[int, Request] = {}
        self.pings: list[bytes] = []
        self.goaways: list[int] = []
        self._heard = 0
        self._taken = 0
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Send what h2 has to send, and hear what comes of it."""
        self.listen()
        while wire := self.h2.data_to_send():
            self.end.send(wire)
            self.listen()

    def listen(self) -> None:
        self.end.send(b"")
        news, self._heard = self.end.received[self._heard :], len(self.end.received)
        if news:
            for event in self.h2.receive_data(news):
                self._take(event)

    def _take(self, event: Any) -> None:
        if isinstance(event, events.PingReceived):
            self.pings.append(event.ping_data)
        elif isinstance(event, events.ConnectionTerminated):
            self.goaways.append(int(event.error_code))
        elif isinstance(event, events.RequestReceived):
            self.requests[event.stream_id] = Request(event.stream_id, list(event.headers))
        elif isinstance(event, events.DataReceived):
            self.requests[event.stream_id].body += event.data
            if self.acknowledges and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.TrailersReceived):
            self.requests[event.stream_id].trailers = list(event.headers)
        elif isinstance(event, events.StreamEnded):
            self.requests[event.stream_id].is_whole = True
        elif isinstance(event, events.StreamReset):
            self.requests[event.stream_id].reset = int(event.error_code)

    def request(self) -> Request:
        """The next request."""
        self.flush()
        found = list(self.requests.values())
        assert len(found) > self._taken, f"no request came: {self.end.received!r}"
        self._taken += 1
        return found[self._taken - 1]

    def answer(
        self,
        number: int,
        body: bytes = b"",
        lines: Headers | None = None,
        *,
        status: int = 200,
        ended: bool = True,
        trailers: Headers | None = None,
    ) -> None:
        """Answer a request; its end comes with the head where there is nothing else."""
        is_all = ended and not body and trailers is None
        self.h2.send_headers(number, [(":status", str(status)), *(lines or [])], end_stream=is_all)
        if body:
            self.h2.send_data(number, body, end_stream=ended and trailers is None)
        if trailers is not None:
            self.h2.send_headers(number, trailers, end_stream=True)
        self.flush()

    def send(self, number: int, data: bytes, *, ended: bool = False) -> None:
        """More of a body."""
        self.h2.send_data(number, data, end_stream=ended)
        self.flush()

    def pour(self, number: int, data: bytes) -> int:
        """As much of a body as the windows let; returns how many bytes that was."""
        sent = 0
        while sent < len(data):
            self.flush()
            room = min(self.h2.local_flow_control_window(number), 16384, len(data) - sent)
            if room <= 0:
                break
            self.h2.send_data(number, data[sent : sent + room])
            sent += room
        self.flush()
        return sent

    def reset(self, number: int, code: int = 8) -> None:
        self.h2.reset_stream(number, code)
        self.flush()

    def raw(self, wire: bytes) -> None:
        """Bytes that h2 would not send."""
        self.end.send(wire)
