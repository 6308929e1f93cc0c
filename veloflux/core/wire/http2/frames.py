"""Frames as bytes (RFC 9113 sections 4 and 6): their kinds, their flags, how they are written, and
what is stripped off those that carry something."""

from struct import Struct

from veloflux.core.wire.http2.error import Code, illegal, wrong_size

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0x0, 0x1, 0x2, 0x3, 0x4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0x5, 0x6, 0x7, 0x8, 0x9

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

# The largest payload that everybody takes. We never announce more: a larger one would make the
# streams of a connection wait longer for each other.
MAX_FRAME = 16_384
MAX_STREAM = 0x7FFF_FFFF
HEADER_BYTES = 9
# The length's upper 16 bits and its lowest 8, kind, flags, stream.
HEADER = Struct(">HBBBL")
_LONG = Struct(">L")
_GOAWAY = Struct(">LL")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def reset(stream: int, code: Code) -> bytes:
    return frame(RST_STREAM, 0, stream, _LONG.pack(code))


def goaway(last: int, code: Code, detail: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last, code) + detail.encode())


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _LONG.pack(increment))


def number(payload: bytes) -> int:
    """The one number of a RST_STREAM or WINDOW_UPDATE frame."""
    if len(payload) != 4:
        raise wrong_size("The frame is not four bytes long.")
    (value,) = _LONG.unpack(payload)
    return int(value)


def unpadded(payload: bytes) -> bytes:
    """The payload of a frame with the PADDED flag, less its padding (section 6.1)."""
    if not payload:
        raise wrong_size("The frame has no room for the length of its padding.")
    end = len(payload) - payload[0]
    if end < 1:
        raise illegal("The padding is longer than its frame.")
    return payload[1:end]


def fragment(payload: bytes, flags: int, stream: int) -> bytes:
    """The field block of a HEADERS frame, less its padding and its priority (section 6.2)."""
    if flags & PADDED:
        payload = unpadded(payload)
    if flags & WITH_PRIORITY:
        if len(payload) < 5:
            raise wrong_size("The frame has no room for its priority.")
        if depends_on(payload) == stream:
            raise illegal("The stream depends on itself.")
        payload = payload[5:]
    return payload


def depends_on(priority: bytes) -> int:
    """The stream that a priority names (RFC 7540 section 5.3.1); nothing else in it matters."""
    return int(_LONG.unpack_from(priority)[0]) & MAX_STREAM
