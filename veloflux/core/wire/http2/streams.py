"""The life of a stream (RFC 9113 section 5.1), as a table: what a frame means in which state.

Nothing is pushed, so no stream is ever reserved. Closed streams are told apart by how they ended,
for what may still come differs: after our RST_STREAM the client's frames may have been on the way.
"""

from collections import deque
from enum import Enum, auto

from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.flow import Inflow

# Streams that ended by a reset and are remembered, and ranges of numbers left out: more than can
# be under way at once.
_REMEMBERED = 256
_GAPS = 8


class State(Enum):
    IDLE = auto()
    OPEN = auto()
    HALF_CLOSED_REMOTE = auto()
    HALF_CLOSED_LOCAL = auto()
    # Both sides have finished.
    ENDED = auto()
    # The client reset it, or we did.
    CANCELLED = auto()
    LEFT = auto()
    # Its number was passed over.
    SKIPPED = auto()


class Verdict(Enum):
    """What to do with a frame."""

    TAKE = auto()
    IGNORE = auto()
    # A stream error, or a connection error, of type STREAM_CLOSED.
    CLOSED = auto()
    FATALLY_CLOSED = auto()
    # A connection error of type PROTOCOL_ERROR.
    ILLEGAL = auto()


_T, _I, _C, _F, _X = (
    Verdict.TAKE,
    Verdict.IGNORE,
    Verdict.CLOSED,
    Verdict.FATALLY_CLOSED,
    Verdict.ILLEGAL,
)
_KINDS = (frames.HEADERS, frames.DATA, frames.RST_STREAM, frames.WINDOW_UPDATE)
VERDICTS: dict[State, dict[int, Verdict]] = {
    state: dict(zip(_KINDS, verdicts, strict=True))
    for state, verdicts in {
        #                          HEADERS DATA RST WINDOW
        State.IDLE: (_T, _X, _X, _X),
        State.OPEN: (_T, _T, _T, _T),
        State.HALF_CLOSED_REMOTE: (_C, _C, _T, _T),
        State.HALF_CLOSED_LOCAL: (_T, _T, _T, _T),
        State.ENDED: (_F, _F, _I, _I),
        State.CANCELLED: (_C, _C, _I, _I),
        State.LEFT: (_I, _I, _I, _I),
        State.SKIPPED: (_X, _X, _I, _I),
    }.items()
}


class Stream:
    """One request and its answer.

    `window` is what we may send; `unacknowledged` what of the peer's bytes was handed on and not
    yet used up; `expected` the length that the peer announced, -1 for none, and `received` what
    came of it. `queue` holds what of our body waits for a window, `trailers` its last block.
    `fields` are the bytes that the peer's fields stand for.
    `has_head` says that our head is sent, `is_answered` that a server's is there.
    """

    __slots__ = (
        "discards",
        "expected",
        "fields",
        "has_head",
        "id",
        "inflow",
        "is_answered",
        "is_ending",
        "is_head",
        "is_tunnel",
        "queue",
        "queued",
        "received",
        "state",
        "trailers",
        "unacknowledged",
        "window",
    )

    def __init__(self, number: int, state: State, window: int) -> None:
        self.id = number
        self.state = state
        self.window = window
        self.inflow: Inflow | None = None
        self.unacknowledged = 0
        self.expected = -1
        self.received = 0
        self.fields = 0
        self.queue: deque[memoryview] | None = None
        self.queued = 0
        self.trailers: bytes | None = None
        self.is_ending = False
        self.is_head = False
        self.is_tunnel = False
        self.discards = False
        self.has_head = False
        self.is_answered = False


class Streams:
    """The streams of a connection: those alive, by number, and what became of the others. `fields`
    is the sum over those alive."""

    __slots__ = ("_gaps", "_gone", "alive", "fields", "last")

    def __init__(self) -> None:
        self.alive: dict[int, Stream] = {}
        self.fields = 0
        self.last = 0
        self._gone: dict[int, State] = {}
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_GAPS)

    def verdict(self, number: int, kind: int) -> Verdict:
        """What a frame of `kind` means for the stream `number`."""
        return VERDICTS[self.state(number)][kind]

    def state(self, number: int) -> State:
        stream = self.alive.get(number)
        if stream is not None:
            return stream.state
        # Even numbers are ours to open, and we open none.
        if number > self.last or not number & 1:
            return State.IDLE
        gone = self._gone.get(number)
        if gone is not None:
            return gone
        if any(low <= number <= high for low, high in self._gaps):
            return State.SKIPPED
        return State.ENDED

    def advance(self, number: int) -> None:
        """The client has begun with `number`, and with none lower from now on (section 5.1.1)."""
        if number > self.last + 2:
            self._gaps.append((self.last + 1, number - 1))
        self.last = number

    def close(self, number: int, state: State) -> None:
        """Forget a stream, but for how it ended."""
        stream = self.alive.pop(number, None)
        if stream is not None:
            self.fields -= stream.fields
        if state is not State.ENDED:
            self._gone[number] = state
            if len(self._gone) > _REMEMBERED:
                del self._gone[next(iter(self._gone))]
