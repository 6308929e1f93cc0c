"""A client that says exactly what a test wants, and understands what comes back by hyperframe and
hpack."""

from collections.abc import Sequence
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import Frame

from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import Cancelled, Event, Failed
from veloflux.core.wire.http2.frames import frame
from veloflux.core.wire.http2.server import Server
from veloflux.core.wire.http2.settings import Terms
from veloflux.core.wire.http2.translation import NewKey

Field = tuple[bytes, bytes]

GET: tuple[Field, ...] = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/"),
    (b":authority", b"a.example"),
)
POST: tuple[Field, ...] = ((b":method", b"POST"), *GET[1:])
HELLO = frames.PREFACE + frame(frames.SETTINGS, 0, 0)
END = frames.END_STREAM
WHOLE = frames.END_HEADERS
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def long(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


class Peer:
    """A connection with a client that has said hello."""

    def __init__(
        self,
        limits: Limits | None = None,
        terms: Terms | None = None,
        new_key: NewKey | None = None,
    ) -> None:
        self.connection = Server(limits or Limits(), terms or Terms(), 0.0, new_key)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.now = 0.0
        self.events: list[Event] = []
        self.frames: list[Frame] = []
        self.unread = b""
        self.announced: list[Any] = self.listen()
        self.say(HELLO)
        self.frames.clear()

    def say(self, data: bytes) -> list[Event]:
        events = self.connection.receive(data, self.now)
        self.events += events
        self.listen()
        return events

    def listen(self) -> list[Frame]:
        """Read what there is to read; field blocks are decoded into `.fields`."""
        self.unread += self.connection.take()
        heard: list[Any] = []
        while len(self.unread) >= 9:
            found, size = Frame.parse_frame_header(memoryview(self.unread[:9]))
            if len(self.unread) < 9 + size:
                break
            found.parse_body(memoryview(self.unread[9 : 9 + size]))
            self.unread = self.unread[9 + size :]
            heard.append(found)
        self.frames += heard
        return heard

    def heard(self, kind: str) -> list[Any]:
        return [found for found in self.frames if type(found).__name__ == kind + "Frame"]

    def head(self, stream: int, fields: Sequence[Field] = GET, flags: int = END | WHOLE) -> bytes:
        """A block, in two frames or more if it is over the size of one."""
        block = self.encoder.encode(list(fields))
        if len(block) <= frames.MAX_FRAME:
            return frame(frames.HEADERS, flags, stream, block)
        first, rest = block[: frames.MAX_FRAME], block[frames.MAX_FRAME :]
        wire = frame(frames.HEADERS, flags & ~WHOLE, stream, first)
        for at in range(0, len(rest), frames.MAX_FRAME):
            piece = rest[at : at + frames.MAX_FRAME]
            is_last = at + len(piece) == len(rest)
            wire += frame(frames.CONTINUATION, WHOLE if is_last else 0, stream, piece)
        return wire

    def ask(self, stream: int, fields: Sequence[Field] = GET, flags: int = END | WHOLE) -> Any:
        """Open a stream; the events of it."""
        return self.say(self.head(stream, fields, flags))

    def resets(self) -> list[tuple[int, int]]:
        return [(found.stream_id, found.error_code) for found in self.heard("RstStream")]

    def left_with(self) -> Code | None:
        """The code of the GOAWAY that ended the connection, if one did."""
        for event in self.events:
            if isinstance(event, Failed):
                assert self.heard("GoAway")[-1].error_code == event.code
                return event.code
        return None

    def cancelled(self) -> list[Cancelled]:
        return [event for event in self.events if isinstance(event, Cancelled)]

    def fields(self, found: Any) -> list[tuple[bytes, bytes]]:
        return [(bytes(n), bytes(v)) for n, v in self.decoder.decode(found.data, raw=True)]
