"""Frames on their way out: what may be sent now, and what waits for a window (RFC 9113 section
5.2). Streams that wait take turns, a frame each; a client's priorities are not asked (RFC 9218
lets a server do so)."""

from collections import deque

from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import BrokenConnectionError, Code
from veloflux.core.wire.http2.flow import widened
from veloflux.core.wire.http2.settings import DEFAULT_WINDOW
from veloflux.core.wire.http2.streams import Stream

_PACK = frames.HEADER.pack
_MAX_FRAME = frames.MAX_FRAME


class Outlet:
    """What is sent, in order. `initial_window` is what a new stream begins with, `waiting` how many
    bytes wait for the peer or for `release`."""

    __slots__ = ("_is_held", "_out", "_ready", "_sent", "initial_window", "waiting", "window")

    def __init__(self) -> None:
        self._out: list[bytes | memoryview] = []
        # Streams that have something to send and a window for it, in the order of their turns.
        self._ready: dict[int, Stream] = {}
        self._is_held = False
        self._sent = 0
        self.window = DEFAULT_WINDOW
        self.initial_window = DEFAULT_WINDOW
        self.waiting = 0

    def take(self) -> bytes:
        """The bytes to send."""
        out = self._out
        if not out:
            return b""
        sent = b"".join(out)
        out.clear()
        return sent

    def count(self) -> int:
        """How many frames with something in them were sent since this was last asked."""
        sent, self._sent = self._sent, 0
        return sent

    def put(self, frame: bytes) -> None:
        """A frame that waits for nothing."""
        self._out.append(frame)

    def block(self, stream: int, block: bytes, *, ended: bool) -> None:
        """A field block, in as many frames as it needs."""
        flags = frames.END_STREAM if ended else 0
        size = len(block)
        if size <= _MAX_FRAME:
            self._out += (
                _PACK(size >> 8, size & 0xFF, frames.HEADERS, flags | frames.END_HEADERS, stream),
                block,
            )
            return
        kind = frames.HEADERS
        for at in range(0, size, _MAX_FRAME):
            piece = block[at : at + _MAX_FRAME]
            if at + _MAX_FRAME >= size:
                flags |= frames.END_HEADERS
            self._out.append(frames.frame(kind, flags, stream, piece))
            kind, flags = frames.CONTINUATION, 0

    def data(self, stream: Stream, data: bytes, *, ended: bool) -> bool:
        """Some of a body; says whether that was the end and all is sent.

        An empty frame needs no window (section 6.9).
        """
        size = len(data)
        if stream.queue is None and not self._is_held and size <= _MAX_FRAME:
            if not size:
                if ended:
                    self._out.append(_PACK(0, 0, frames.DATA, frames.END_STREAM, stream.id))
                return ended
            if size <= stream.window and size <= self.window:
                stream.window -= size
                self.window -= size
                flags = frames.END_STREAM if ended else 0
                self._out += (_PACK(size >> 8, size & 0xFF, frames.DATA, flags, stream.id), data)
                self._sent += 1
                return ended
        if stream.queue is None:
            stream.queue = deque()
        if size:
            stream.queue.append(memoryview(data))
            stream.queued += size
            self.waiting += size
        stream.is_ending = ended
        self._make_ready(stream)
        return stream.id in self.pump() and ended

    def trailers(self, stream: Stream, block: bytes) -> bool:
        """The end, with trailers, after what waits; says whether all is sent."""
        if stream.queue is None:
            self.block(stream.id, block, ended=True)
            return True
        stream.trailers = block
        stream.is_ending = True
        return False

    def hold(self) -> None:
        """The connection takes no more: let bodies wait here."""
        self._is_held = True

    def release(self) -> list[int]:
        """It does again; returns as `pump`."""
        self._is_held = False
        return self.pump()

    def pump(self) -> list[int]:
        """Send what the windows allow; returns the streams whose queue is empty now."""
        drained: list[int] = []
        ready = self._ready
        while ready and not self._is_held:
            number = next(iter(ready)) if self.window > 0 else self._first_empty()
            stream = ready.pop(number, None)
            if stream is None:
                break
            self._send_one(stream)
            if stream.queue is None:
                drained.append(number)
            elif stream.window > 0:
                ready[number] = stream
        return drained

    def _first_empty(self) -> int:
        """A stream that only has to end, which needs no window; 0 for none."""
        return next((number for number, stream in self._ready.items() if not stream.queued), 0)

    def _send_one(self, stream: Stream) -> None:
        """One frame from the queue of a stream that may send."""
        queue = stream.queue
        assert queue is not None
        size = 0
        if queue:
            piece = queue[0]
            size = min(len(piece), stream.window, self.window, _MAX_FRAME)
            if size == len(piece):
                queue.popleft()
            else:
                queue[0] = piece[size:]
                piece = piece[:size]
            stream.queued -= size
            stream.window -= size
            self.window -= size
            self.waiting -= size
        is_last = not queue
        flags = frames.END_STREAM if is_last and stream.is_ending and stream.trailers is None else 0
        if size or flags:
            self._out.append(_PACK(size >> 8, size & 0xFF, frames.DATA, flags, stream.id))
            if size:
                self._out.append(piece)
                self._sent += 1
        if is_last:
            stream.queue = None
            if stream.trailers is not None:
                self.block(stream.id, stream.trailers, ended=True)

    def forget(self, stream: Stream) -> None:
        """A stream is gone, and what waited for it."""
        self.waiting -= stream.queued
        stream.queue = None
        stream.queued = 0
        self._ready.pop(stream.id, None)

    # Windows

    def widen(self, increment: int) -> None:
        """The connection's window grows. Raises BrokenConnectionError."""
        window = widened(self.window, increment)
        if window is None:
            raise _too_large("The connection's window is too large.")
        self.window = window

    def widen_stream(self, stream: Stream, increment: int) -> bool:
        """A stream's window grows; False when it would be too large."""
        window = widened(stream.window, increment)
        if window is None:
            return False
        stream.window = window
        self._make_ready(stream)
        return True

    def resize(self, initial: int, alive: "dict[int, Stream]") -> None:
        """A new size for all streams, by which a window can become negative (section 6.9.2).

        Raises BrokenConnectionError when one would be too large.
        """
        change = initial - self.initial_window
        self.initial_window = initial
        for stream in alive.values():
            window = widened(stream.window, change)
            if window is None:
                raise _too_large("A stream's window is too large.")
            stream.window = window
            if window > 0:
                self._make_ready(stream)
            elif stream.queued:
                self._ready.pop(stream.id, None)

    def _make_ready(self, stream: Stream) -> None:
        if stream.queue is not None and (stream.window > 0 or not stream.queued):
            self._ready[stream.id] = stream


def _too_large(detail: str) -> BrokenConnectionError:
    return BrokenConnectionError(Code.FLOW_CONTROL_ERROR, "window", detail)
