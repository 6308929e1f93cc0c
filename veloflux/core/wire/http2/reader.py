"""Bytes into whole frames: the preface, their sizes, and field blocks put together (RFC 9113
sections 3.4, 4 and 6.10)."""

from collections.abc import Iterator

from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import (
    BrokenConnectionError,
    Code,
    calm_down,
    illegal,
    wrong_size,
)

Frame = tuple[int, int, int, bytes]

_HEADER_BYTES = frames.HEADER_BYTES
_MAX_FRAME = frames.MAX_FRAME
_UNPACK = frames.HEADER.unpack_from
_PADDED_OR_PRIORITY = frames.PADDED | frames.WITH_PRIORITY
# A field block may come in so many frames (VU#421644).
_MAX_FRAGMENTS = 32
# Pieces of a body that are shorter than this are taken together.
_SMALL = 1024


def _together(buffer: bytes, at: int, stream: int, payload: bytes) -> tuple[bytes, int]:
    """A small piece of a body with those right after it, and where they end: thousands of frames of
    one byte fit in one read, and looking at each by itself would hold up everybody else.

    What would end the body, carries nothing or has padding is not among them; nor is what belongs
    to another stream."""
    pieces = [payload]
    last = len(buffer) - _HEADER_BYTES
    while at < last:
        high, low, kind, flags, number = _UNPACK(buffer, at)
        size = high << 8 | low
        after = at + _HEADER_BYTES + size
        if kind or flags or number != stream or not 0 < size < _SMALL or after > len(buffer):
            break
        pieces.append(buffer[at + _HEADER_BYTES : after])
        at = after
    return b"".join(pieces), at


class Reader:
    """One direction's bytes; `max_block` bounds a field block that comes in several frames, and
    `preface` is what comes before the first, a server's being empty."""

    __slots__ = (
        "_buffer",
        "_count",
        "_flags",
        "_is_greeted",
        "_max_block",
        "_pieces",
        "_preface",
        "_stream",
    )

    def __init__(self, max_block: int, preface: bytes = frames.PREFACE) -> None:
        self._buffer = b""
        self._is_greeted = False
        self._max_block = max_block
        self._preface = preface
        # A field block that is not whole: its pieces, and what its first frame said.
        self._pieces = b""
        self._count = 0
        self._stream = 0
        self._flags = 0

    @property
    def is_amid_head(self) -> bool:
        """Whether the preface or a field block is not whole."""
        return self._stream != 0 or not self._is_greeted

    def clear(self) -> None:
        """Nothing more is read."""
        self._buffer = self._pieces = b""

    def read(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now, as (kind, flags, stream, payload); to be exhausted.

        A HEADERS frame comes with its whole block, and without padding and priority. Raises
        BrokenConnectionError.
        """
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if not self._is_greeted:
            at = self._greet(buffer)
            if not self._is_greeted:
                self._buffer = buffer
                return
        end = len(buffer)
        while end - at >= _HEADER_BYTES:
            high, low, kind, flags, stream = _UNPACK(buffer, at)
            size = high << 8 | low
            if size > _MAX_FRAME:
                raise wrong_size("The frame is over 16384 bytes.")
            start = at + _HEADER_BYTES
            if end - start < size:
                break
            at = start + size
            stream &= frames.MAX_STREAM
            payload = buffer[start:at]
            if kind == frames.HEADERS or kind == frames.CONTINUATION or self._stream:
                if kind == frames.HEADERS and flags & _PADDED_OR_PRIORITY:
                    payload = frames.fragment(payload, flags, stream)
                if kind != frames.HEADERS or not flags & frames.END_HEADERS or self._stream:
                    whole = self._assemble(kind, flags, stream, payload)
                    if whole is not None:
                        yield whole
                    continue
            if not kind and not flags and 0 < size < _SMALL:
                payload, at = _together(buffer, at, stream, payload)
            yield kind, flags, stream, payload
        self._buffer = buffer[at:]

    def _greet(self, buffer: bytes) -> int:
        """Where the frames begin, when that has come (section 3.4)."""
        preface = self._preface
        if not buffer.startswith(preface):
            if preface.startswith(buffer):
                return 0
            raise BrokenConnectionError(Code.PROTOCOL_ERROR, "preface", "This is not HTTP/2.")
        first = buffer[len(preface) : len(preface) + _HEADER_BYTES]
        if len(first) < _HEADER_BYTES:
            return 0
        if first[3] != frames.SETTINGS or first[4] & frames.ACK:
            raise illegal("The first frame is not SETTINGS.")
        self._is_greeted = True
        return len(preface)

    def _assemble(self, kind: int, flags: int, stream: int, payload: bytes) -> Frame | None:
        """Put a field block together, which nothing may interrupt (section 6.10)."""
        if kind == frames.HEADERS:
            if self._stream or not stream:
                raise illegal("A field block is interrupted, or belongs to no stream.")
            self._stream, self._flags, self._pieces, self._count = stream, flags, payload, 1
            return None
        if kind != frames.CONTINUATION or stream != self._stream or not stream:
            raise illegal("A field block is interrupted, or goes on that never began.")
        self._pieces += payload
        self._count += 1
        if len(self._pieces) > self._max_block or self._count > _MAX_FRAGMENTS:
            raise calm_down("The field block is too long.")
        if not flags & frames.END_HEADERS:
            return None
        block, self._pieces, self._stream = self._pieces, b"", 0
        return frames.HEADERS, self._flags, stream, block
