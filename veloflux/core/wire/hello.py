"""Which host does a TLS client ask for? Read from its first message, which is not encrypted.

RFC 8446 section 4.1.2 (ClientHello), RFC 6066 section 3 (server_name). The message is read only to
choose where its bytes go; who gets them reads it again. So that both read the same, what is
malformed is refused instead of guessed at.
"""

from veloflux.core.wire.error import ProtocolError, bad_request

# Of the message: those of today's browsers, with keys for after quantum computers, have two or
# three thousand bytes.
LONGEST = 16 * 1024
# A fatal alert: unrecognized_name (RFC 6066 section 9).
UNRECOGNIZED_NAME = b"\x15\x03\x01\x00\x02\x02\x70"

_HEADER = 5
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_MAX_RECORD = 1 << 14
_MAX_SESSION_ID = 32
_RANDOM = 32
_SERVER_NAME = 0
_HOST_NAME = 0


class Reader:
    """Takes a connection's bytes as they come. Each is looked at a bounded number of times."""

    def __init__(self) -> None:
        self._record = bytearray()
        self._message = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """The name asked for, empty when there is none; None when more bytes are needed.

        Raises ProtocolError for anything that is no ClientHello, or cannot become one.
        """
        self._record += data
        while len(self._record) >= 1:
            length = self._record_length()
            if length is None or len(self._record) < _HEADER + length:
                return None
            self._message += self._record[_HEADER : _HEADER + length]
            del self._record[: _HEADER + length]
            needed = self._message_length()
            if needed is not None and len(self._message) >= needed:
                if len(self._message) > needed:
                    raise _malformed("More than a ClientHello comes before an answer.")
                return _name(bytes(self._message[4:]))
        return None

    def _record_length(self) -> int | None:
        """Of the record being received; refused at its first impossible byte."""
        record = self._record
        if record[0] != _HANDSHAKE or (len(record) > 1 and record[1] != 3):
            raise bad_request("not_tls", "That is no TLS.")
        if len(record) < _HEADER:
            return None
        length = record[3] << 8 | record[4]
        if not 0 < length <= _MAX_RECORD or length + len(self._message) > LONGEST:
            raise _malformed("A record is empty or too long.")
        return length

    def _message_length(self) -> int | None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise _malformed("The first message is no ClientHello.")
        if len(message) < 4:
            return None
        needed = 4 + int.from_bytes(message[1:4])
        if needed > LONGEST:
            raise _malformed("The ClientHello is too long.")
        return needed


class _Parts:
    """Takes parts off the front of a message."""

    def __init__(self, left: bytes) -> None:
        self.left = left

    def take(self, count: int) -> bytes:
        if len(self.left) < count:
            raise _malformed("A part is longer than the whole.")
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """What its own length, of so many bytes, comes before."""
        return self.take(self.number(size))


def _name(body: bytes) -> bytes:
    parts = _Parts(body)
    if parts.take(2)[0] != 3:
        raise _malformed("That is no version of TLS.")
    parts.take(_RANDOM)
    if len(parts.vector(1)) > _MAX_SESSION_ID:
        raise _malformed("The session id is too long.")
    suites = parts.vector(2)
    if not suites or len(suites) % 2:
        raise _malformed("The cipher suites are none.")
    if not parts.vector(1):
        raise _malformed("The compression methods are none.")
    if not parts.left:
        return b""
    extensions = _Parts(parts.vector(2))
    if parts.left:
        raise _malformed("Something follows the extensions.")
    name = b""
    seen: set[int] = set()
    while extensions.left:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind in seen:
            raise _malformed("An extension comes twice.")
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _host(content)
    return name


def _host(content: bytes) -> bytes:
    """RFC 6066 section 3: a list, which may have one name of each type, and there is one type."""
    outer = _Parts(content)
    names = _Parts(outer.vector(2))
    if outer.left or names.number(1) != _HOST_NAME:
        raise _malformed("The server name is no host.")
    name = names.vector(2)
    if names.left or not name:
        raise _malformed("The server name is not one name.")
    return name


def _malformed(detail: str) -> ProtocolError:
    return bad_request("hello", detail)
