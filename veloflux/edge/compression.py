"""Bodies compressed while they pass: each piece goes on as soon as it has come, so that events and
long polls are not held back.

A flush after each read costs nothing to speak of at 64 KiB, 4 % at 4 KiB and 10 % at the 1,400
bytes of one packet. The settings keep one piece well below five milliseconds of the loop, and the
memory of one stream to 128 KiB (gzip) or half a megabyte (zstd).
"""

import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from veloflux.core.flow import coding
from veloflux.core.flow.exchange import Relay
from veloflux.core.model.policies import Compression
from veloflux.core.policy.compression import IDENTITY, Rule
from veloflux.core.wire.framing import Body, Chunked
from veloflux.core.wire.http1 import RequestHead, ResponseHead

# From 6 on a piece of the worst kind takes twice as long or more, and none gets smaller by 5 %.
_GZIP_LEVEL = 5
# Half of zlib's own, for half the memory ((1 << bits + 2) + (1 << level + 9)) and 3 % more bytes.
_WINDOW_BITS, _MEMORY_LEVEL = 14, 7
_LEAST_BITS = 9
# Added to the window's bits, it asks zlib for gzip's frame.
_GZIP_FRAME = 16

_ZSTD_LEVEL = 3
# 64 KiB of window; at its own size of tables the level takes thrice the memory for nothing.
_ZSTD_BITS = {"window_log": 16, "hash_log": 14, "chain_log": 14}


class Press(Protocol):
    """Takes a body's pieces, and gives each back compressed and whole."""

    def squeeze(self, payload: bytes, is_last: bool) -> bytes: ...


class Gzip:
    """`length` is the body's in bytes, None if unknown: a short one needs little memory (as in
    ngx_http_gzip_filter_module.c)."""

    __slots__ = ("_stream",)

    def __init__(self, length: int | None) -> None:
        bits, memory = _WINDOW_BITS, _MEMORY_LEVEL
        if length is not None:
            while bits > _LEAST_BITS and length < 1 << (bits - 1):
                bits -= 1
                memory -= 1
        memory = max(memory, 1)
        self._stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FRAME + bits, memory)

    def squeeze(self, payload: bytes, is_last: bool) -> bytes:
        flush = zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH
        return self._stream.compress(payload) + self._stream.flush(flush)


class Zstd:
    """RFC 8878, by the library `zstandard`."""

    __slots__ = ("_block", "_finish", "_stream")

    def __init__(self, library: Any, parameters: Any) -> None:
        self._stream = library.ZstdCompressor(compression_params=parameters).compressobj()
        self._block: int = library.COMPRESSOBJ_FLUSH_BLOCK
        self._finish: int = library.COMPRESSOBJ_FLUSH_FINISH

    def squeeze(self, payload: bytes, is_last: bool) -> bytes:
        flushed = self._finish if is_last else self._block
        squeezed: bytes = self._stream.compress(payload) + self._stream.flush(flushed)
        return squeezed


Presses = dict[bytes, Callable[[int | None], Press]]


@cache
def presses() -> Presses:
    """What can be made here: gzip always, zstd where its library is installed. To look for it once
    is enough, for ten thousand routes may ask."""
    found: Presses = {b"gzip": Gzip}
    try:
        library = import_module("zstandard")
    except ImportError:
        return found
    parameters = library.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, **_ZSTD_BITS)
    found[b"zstd"] = lambda length: Zstd(library, parameters)
    return found


class Compressing:
    """A route's compression at run time."""

    __slots__ = ("_presses", "_rule")

    def __init__(self, model: Compression) -> None:
        self._presses = presses()
        here = tuple(each for each in model.codings if each.encode("ascii") in self._presses)
        self._rule = Rule(model, here)

    def begin(self, request: RequestHead, answer: ResponseHead) -> "Recoding | None":
        """What becomes of `answer`; None when it goes on as any other."""
        chosen = coding.judge(self._rule, request, answer)
        if chosen is None:
            return None
        press = None
        if chosen != IDENTITY and request.method != b"HEAD":
            press = self._presses[chosen](answer.fields.length)
        return Recoding(chosen, press)


class Recoding:
    """One answer's; `is_as_it_was` says that its body, if it has one, is not compressed."""

    __slots__ = ("_coding", "_press", "is_as_it_was")

    def __init__(self, chosen: bytes, press: Press | None) -> None:
        self._coding = chosen
        self._press = press
        self.is_as_it_was = press is None

    def relay(self, relay: Relay) -> Relay:
        return relay if self._coding == IDENTITY else coding.recoded(relay)

    def lines(self, lines: bytes) -> bytes:
        return coding.described(lines, self._coding)

    def squeeze(self, payload: bytes, body: Body) -> bytes:
        """A piece of the body compressed; nothing for nothing, but at the end."""
        if self._press is None or not (payload or body.done):
            return payload
        if body.done and isinstance(body, Chunked):
            body.trailers = coding.trailers(body.trailers)
        return self._press.squeeze(payload, body.done)
