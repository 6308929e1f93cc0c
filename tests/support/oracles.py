"""What others read in the same bytes: h11, and llhttp by way of httptools.

A message is forwarded safely only if these two, written by others from the same RFCs, see in it
exactly what was meant.
"""

from typing import Any, NamedTuple

import h11
import httptools

Fields = list[tuple[bytes, bytes]]


class Request(NamedTuple):
    """One request as read by an oracle; the names of `fields` are in lower case, in order."""

    method: bytes
    target: bytes
    fields: Fields
    body: bytes
    trailers: Fields

    def field(self, name: bytes) -> bytes | None:
        """The only value of a field, or None; fails when there are several."""
        return only(self.fields, name)


class Response(NamedTuple):
    """One final answer, with the interim ones that came before it."""

    status: int
    fields: Fields
    body: bytes
    trailers: Fields
    interim: list[int]
    is_http10: bool

    def field(self, name: bytes) -> bytes | None:
        """The only value of a field, or None; fails when there are several."""
        return only(self.fields, name)


class UnfinishedError(Exception):
    """The bytes end within a message."""


def only(fields: Fields, name: bytes) -> bytes | None:
    values = [value for key, value in fields if key == name]
    assert len(values) < 2, f"{name!r} is there {len(values)} times"
    return values[0] if values else None


def read_by_h11(wire: bytes) -> list[Request]:
    """The requests in `wire`. Raises h11.RemoteProtocolError, or UnfinishedError."""
    found, is_whole = read_whole(wire)
    if not is_whole:
        raise UnfinishedError
    return found


def read_whole(wire: bytes) -> tuple[list[Request], bool]:
    """The whole requests in `wire`, and whether that is all there is, as h11 sees it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 24)
    connection.receive_data(wire)
    found: list[Request] = []
    head: Any = None
    body = b""
    while True:
        event: Any = connection.next_event()
        match event:
            case h11.Request():
                head, body = event, b""
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                found.append(
                    Request(head.method, head.target, list(head.headers), body, list(event.headers))
                )
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    return found, True
                connection.start_next_cycle()
                head = None
            case h11.NEED_DATA:
                return found, head is None and not connection.trailing_data[0]
            case _:
                raise AssertionError(f"unexpected: {event!r}")


class _Llhttp:
    """Gathers what httptools calls out."""

    def __init__(self) -> None:
        self.found: list[Request] = []
        self.is_whole = True
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.is_whole = False
        self._target = b""
        self._fields: Fields = []
        self._trailers: Fields = []
        self._body = b""
        self._has_head = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        fields = self._trailers if self._has_head else self._fields
        fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.is_whole = True
        method = self.parser.get_method()
        self.found.append(Request(method, self._target, self._fields, self._body, self._trailers))


def read_by_llhttp(wire: bytes) -> list[Request]:
    """The requests in `wire`. Raises httptools.HttpParserError, or UnfinishedError."""
    found: list[Request] = []
    while wire:
        reader = _Llhttp()
        try:
            reader.parser.feed_data(wire)
            wire = b""
        except httptools.HttpParserUpgrade as upgrade:
            # It was not granted when another request follows.
            wire = wire[upgrade.args[0] :]
        if not reader.is_whole:
            raise UnfinishedError
        found += reader.found
    return found


def read_requests(wire: bytes) -> list[Request]:
    """The requests in `wire`, as both oracles see them; fails where they differ."""
    one, other = read_by_h11(wire), read_by_llhttp(wire)
    assert one == other, f"read in two ways:\n{one}\n{other}\n{wire!r}"
    return one


def read_responses(
    wire: bytes, methods: list[bytes], *, at_end: bool
) -> tuple[list[Response], bytes]:
    """The answers to requests with these methods, as h11 sees them, and the bytes after them.

    `at_end` says that no more will come. Raises h11.RemoteProtocolError for an answer that is cut.
    """
    found: list[Response] = []
    for method in methods:
        if not wire:
            break
        answer, wire = _read_response(wire, method, at_end=at_end)
        if answer is None:
            break
        found.append(answer)
        if answer.status == 101:
            break
    return found, wire


def _read_response(wire: bytes, method: bytes, *, at_end: bool) -> tuple[Response | None, bytes]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 24)
    fields = [("Host", "a"), ("Upgrade", "websocket"), ("Connection", "upgrade")]
    connection.send(h11.Request(method=method, target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    if at_end:
        connection.receive_data(b"")
    interim: list[int] = []
    head: Any = None
    body = b""
    while True:
        event: Any = connection.next_event()
        match event:
            case h11.InformationalResponse() if event.status_code != 101:
                interim.append(event.status_code)
            case h11.Response() | h11.InformationalResponse():
                head = event
                if head.status_code == 101:
                    rest = connection.trailing_data[0]
                    return _response(head, body, [], interim), rest
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                rest = connection.trailing_data[0]
                return _response(head, body, list(event.headers), interim), rest
            case _:
                return None, wire


def _response(head: Any, body: bytes, trailers: Fields, interim: list[int]) -> Response:
    return Response(
        head.status_code,
        list(head.headers),
        body,
        trailers,
        interim,
        head.http_version == b"1.0",
    )
