"""Where a body ends (RFC 9112 sections 6 and 7): counted, chunked, or until the connection closes.

A decoder takes what arrived and gives back payload; `done` is set at the end of the body, and
what follows it in the same bytes is in `rest`. The encoders are functions: payload to bytes.
"""

import re

from veloflux.core.wire import grammar
from veloflux.core.wire.error import ProtocolError, bad_request

_QUOTED = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION = (
    rb"[ \t]*+;[ \t]*+"
    + grammar.TOKEN
    + rb"(?:[ \t]*=[ \t]*+(?:"
    + grammar.TOKEN
    + rb"|"
    + _QUOTED
    + rb"))?"
)
# Fifteen digits are over any body; the cap also keeps int() cheap.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:" + _EXTENSION + rb")*)\r\n")
_PARTIAL_SIZE = re.compile(
    rb"[0-9A-Fa-f]{0,15}(?:[ \t]*;[^\r\n\x00-\x08\x0b-\x1f\x7f]*+|[ \t]*)\r?"
)
_MAX_EXTENSION = 256
# Of a size line whose last byte has not come.
_MAX_LINE = 15 + _MAX_EXTENSION + 1
# Bytes of extensions that a body may carry beyond a sixteenth of its payload.
_EXTENSIONS_GRACE = 4096
_MAX_TRAILERS = 8192
# A trailer must not change what was decided from the headers (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS = frozenset(
    (
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"http2-settings",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"keep-alive",
        b"max-forwards",
        b"pragma",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"set-cookie",
        b"te",
        b"traceparent",
        b"tracestate",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
        b"x-real-ip",
        b"x-request-id",
    )
)


class Counted:
    """A body of `left` more bytes."""

    __slots__ = ("done", "left", "rest")
    trailers = b""

    def __init__(self, length: int) -> None:
        self.left = length
        self.rest = b""
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        left = self.left - len(data)
        if left > 0:
            self.left = left
            return data
        if left < 0:
            data, self.rest = data[: self.left], data[self.left :]
        self.left = 0
        self.done = True
        return data


class UntilClose:
    """A body that ends with its connection; whoever sees that end sets `done`."""

    __slots__ = ("done",)
    rest = b""
    trailers = b""

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> bytes:
        return data


class Framed:
    """A body whose end and trailers another layer tells, as HTTP/2's frames do; whoever hears of
    them sets `done` and `trailers`."""

    __slots__ = ("done", "trailers")
    rest = b""

    def __init__(self) -> None:
        self.done = False
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        return data


class Chunked:
    """A chunked body; extensions are checked and dropped, trailers checked and kept, less those
    called by one of `nominated`.

    `feed` raises ProtocolError with the status that `status` names: 400 for a client's body,
    502 for a backend's.
    """

    __slots__ = (
        "_buffer",
        "_extensions",
        "_left",
        "_nominated",
        "_payload",
        "_seen",
        "_state",
        "_status",
        "done",
        "rest",
        "trailers",
    )

    def __init__(self, status: int = 400, nominated: frozenset[bytes] = frozenset()) -> None:
        self._buffer = b""
        self._left = 0
        # Not bound, or it would be part of a cycle.
        self._state = Chunked._size
        self._extensions = 0
        self._payload = 0
        self._seen = 0
        self._status = status
        self._nominated = nominated
        self.done = False
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`, joined."""
        buffer = self._buffer + data if self._buffer else data
        payload: list[bytes] = []
        at = 0
        while not self.done:
            step = self._state(self, buffer, at, payload)
            if step < 0:
                self._buffer = buffer[at:]
                break
            at = step
        else:
            self._buffer, self.rest = b"", buffer[at:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    # Each state takes one piece off `buffer` at `at` and says where the next begins, or -1 when
    # it needs more bytes.

    def _size(self, buffer: bytes, at: int, payload: list[bytes]) -> int:
        match = _SIZE_LINE.match(buffer, at)
        if match is None:
            if _PARTIAL_SIZE.fullmatch(buffer, at) is None or len(buffer) - at > _MAX_LINE:
                raise self._error("A chunk's size line is malformed.")
            return -1
        extension = match.end(2) - match.start(2)
        self._extensions += extension
        if extension > _MAX_EXTENSION or self._extensions > _EXTENSIONS_GRACE + self._payload // 16:
            raise self._error("The chunk extensions are too long.")
        self._left = int(match[1], 16)
        self._payload += self._left
        self._state = Chunked._data if self._left else Chunked._trailers
        return match.end()

    def _data(self, buffer: bytes, at: int, payload: list[bytes]) -> int:
        piece = buffer[at : at + self._left]
        if not piece:
            return -1
        payload.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._state = Chunked._end
        return at + len(piece)

    def _end(self, buffer: bytes, at: int, payload: list[bytes]) -> int:
        end = buffer[at : at + 2]
        if not b"\r\n".startswith(end):
            raise self._error("A chunk's data does not end where its size says.")
        if len(end) < 2:
            return -1
        self._state = Chunked._size
        return at + 2

    def _trailers(self, buffer: bytes, at: int, payload: list[bytes]) -> int:
        if buffer.startswith(b"\r\n", at):
            self.done = True
            return at + 2
        # What was looked at before is not looked at again, or a byte at a time would cost dearly.
        seen = at + self._seen
        end = buffer.find(b"\r\n\r\n", max(at, seen - 3))
        if (len(buffer) if end < 0 else end) - at > _MAX_TRAILERS:
            raise self._error("The trailers are too long.")
        if end < 0:
            if grammar.BROKEN.search(buffer, max(at, seen - 1)):
                raise self._error("The trailers are malformed.")
            self._seen = len(buffer) - at
            return -1
        block = b"\n" + buffer[at : end + 4]
        if grammar.FIELDS.fullmatch(block) is None:
            raise self._error("The trailers are malformed.")
        self.trailers = b"".join(
            match[0]
            for match in grammar.ANY_FIELD.finditer(block, 1)
            if is_trailer(name := match[1].lower()) and name not in self._nominated
        )
        self.done = True
        return end + 4

    def _error(self, detail: str) -> ProtocolError:
        error = bad_request("chunk", detail)
        error.status = self._status
        return error


Body = Counted | Chunked | Framed | UntilClose


def encode(payload: bytes, body: Body) -> bytes:
    """`payload` in the chunked coding, with the end and the trailers when `body` is done."""
    # An empty chunk would end the body.
    coded = b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
    return coded + b"0\r\n%b\r\n" % body.trailers if body.done else coded


def is_trailer(name: bytes) -> bool:
    """Whether a field of this name (lower case) may come after a body."""
    return not (name in _NOT_IN_TRAILERS or name.startswith(b"x-forwarded-") or b"_" in name)
