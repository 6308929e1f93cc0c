"""One HTTP/2 connection, as far as both of its ends are alike: bytes in and events out, bodies in
and bytes out (RFC 9113). `server` and `client` have what sets them apart.

After `receive` and after every action there may be bytes to `take`. The time is any clock's that
goes forward, in seconds. What is said to a stream that is gone is not an error: whoever says it
has not heard of it yet. The module is long because every frame bears on the same few numbers.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from veloflux.core.wire.http2 import frames, settings
from veloflux.core.wire.http2.budget import Budget
from veloflux.core.wire.http2.error import (
    BrokenConnectionError,
    BrokenStreamError,
    Code,
    calm_down,
    illegal,
    malformed,
    wrong_size,
)
from veloflux.core.wire.http2.events import (
    Came,
    Cancelled,
    Drained,
    Event,
    Failed,
    Leaving,
    Refused,
    Requested,
)
from veloflux.core.wire.http2.flow import Inflow
from veloflux.core.wire.http2.outlet import Outlet
from veloflux.core.wire.http2.packing import NO_TABLE, trailer_block
from veloflux.core.wire.http2.reader import Reader
from veloflux.core.wire.http2.settings import Terms
from veloflux.core.wire.http2.streams import State, Stream, Streams, Verdict
from veloflux.core.wire.http2.translation import trailers
from veloflux.core.wire.http2.unpacking import Fields

# An update of a window by fewer bytes costs us a frame for little.
_SMALL_UPDATE = 256
# Of two pieces of a body that are shorter than this one is made.
_SMALL_DATA = 1024
# So much of a reset is paid for by each stream that comes to its end: of another proxy's clients
# some always go elsewhere. Who means harm has a hundred resets for less, by a new connection.
_REFUND = 0.1


class Connection:
    """One end; what it does with each kind of frame is in `FRAMES`."""

    __slots__ = (
        "_controls",
        "_events",
        "_first_new",
        "_has_packed",
        "_inflow",
        "_is_over",
        "_now",
        "_outlet",
        "_reader",
        "_resets",
        "_streams",
        "_terms",
        "_undone",
    )

    FRAMES: ClassVar[dict[int, Callable[[Any, int, int, bytes], None]]]

    def __init__(self, terms: Terms, now: float, reader: Reader) -> None:
        self._terms = terms
        self._now = now
        self._is_over = False
        self._events: list[Event] = []
        # Streams that began with these bytes, and whether some of them are gone already.
        self._first_new = 0
        self._undone: set[int] | None = None
        self._streams = Streams()
        self._inflow = Inflow(max(terms.connection_window, settings.DEFAULT_WINDOW))
        self._outlet = Outlet()
        self._has_packed = False
        self._resets = Budget(terms.resets_burst, terms.resets_rate, now)
        self._controls = Budget(terms.controls_burst, terms.controls_rate, now)
        self._reader = reader

    # What there is to know

    @property
    def open_streams(self) -> int:
        return len(self._streams.alive)

    @property
    def waiting(self) -> int:
        """Bytes of bodies that wait for the peer's windows, or for `release`."""
        return self._outlet.waiting

    @property
    def is_amid_head(self) -> bool:
        """Whether a head or the preface has begun and is not whole: it has a deadline."""
        return self._reader.is_amid_head

    def unsent(self, stream: int) -> int:
        """Bytes of a body that wait; `Drained` comes when there are none left."""
        found = self._streams.alive.get(stream)
        return 0 if found is None else found.queued

    def take(self) -> bytes:
        """The bytes to send to the peer."""
        return self._outlet.take()

    # What sets the ends apart

    def _unpack(self, block: bytes) -> Fields | None:
        """The fields of a block that is not a head; as `Unpacker.unpack`."""
        raise NotImplementedError

    def _hold_fields(self, stream: Stream, size: int, code: Code) -> None:
        """Fields that stand for so many bytes are held until the stream is gone. Raises
        BrokenStreamError of `code` for too many."""

    def _heed(self, name: int, value: int) -> None:
        """The peer's word on a setting other than its window."""

    def _ponged(self, payload: bytes) -> None:
        """A ping of ours was answered."""

    def _sent_end(self, stream: Stream) -> None:
        """All that goes to the peer on a stream is sent."""
        raise NotImplementedError

    def _last_heard(self) -> int:
        """The last of the peer's streams that was looked at, for GOAWAY."""
        raise NotImplementedError

    # From the peer

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What the peer's bytes mean. Raises nothing: the last event may be `Failed`."""
        if self._is_over:
            return []
        self._now = now
        self._first_new = self._streams.last + 1
        events = self._events
        frames_known = self.FRAMES
        try:
            for kind, flags, stream, payload in self._reader.read(data):
                take = frames_known.get(kind)
                if take is None:
                    # A kind that is not known means nothing (section 5.5).
                    self._spend(1)
                    continue
                try:
                    take(self, flags, stream, payload)
                except BrokenStreamError as problem:
                    self._break(stream, problem)
        except BrokenConnectionError as problem:
            self._fail(problem)
        self._events = []
        if self._undone is not None:
            # A request that was taken back in the same breath was never made (rapid reset).
            undone, self._undone = self._undone, None
            events = [
                event
                for event in events
                if not isinstance(event, Requested | Refused | Came) or event.stream not in undone
            ]
        return events

    def _fail(self, problem: BrokenConnectionError) -> None:
        self._end(problem.code, problem.detail)
        self._events.append(Failed(problem.code, problem.kind, problem.detail))

    def _break(self, number: int, problem: BrokenStreamError) -> None:
        """Reset a stream because of what the peer did: that counts as if it had done it, or it
        could make us work for nothing all the same (CVE-2025-8671)."""
        if self._streams.state(number) is State.IDLE:
            # There is nothing to reset.
            raise BrokenConnectionError(problem.code, problem.kind, problem.detail)
        self._outlet.put(frames.reset(number, problem.code))
        if number in self._streams.alive:
            self._close(number, State.LEFT)
            self._undo(number)
        else:
            self._streams.close(number, State.LEFT)
        self._events.append(Cancelled(number, problem.code, False, problem.kind))
        self._count_reset()

    def _count_reset(self) -> None:
        if not self._resets.spend(1, self._now):
            raise calm_down("Too many streams were reset.")

    def _count_reset_by_peer(self) -> None:
        """The peer cancelled what it had begun (rapid reset)."""
        self._count_reset()

    def _spend(self, cost: float) -> None:
        # Who gets much asks after its way (a gRPC client's pings): what we send pays for that.
        self._controls.refund(self._outlet.count())
        if not self._controls.spend(cost, self._now):
            raise calm_down("Too many frames carried nothing.")

    def _undo(self, number: int) -> bool:
        """Whether a stream that is gone began with these same bytes, and so was not told of."""
        if number < self._first_new:
            return False
        if self._undone is None:
            self._undone = set()
        self._undone.add(number)
        return True

    def _close(self, number: int, state: State) -> None:
        """A stream is gone; what nobody will acknowledge any more is the connection's again."""
        stream = self._streams.alive[number]
        self._streams.close(number, state)
        if state is State.ENDED:
            self._resets.refund(_REFUND)
        if stream.queue is not None:
            self._outlet.forget(stream)
        if stream.unacknowledged:
            self._give(stream.unacknowledged)

    def _give(self, count: int) -> None:
        increment = self._inflow.give(count)
        if increment:
            self._outlet.put(frames.window_update(0, increment))

    # Field blocks

    def _judge(self, verdict: Verdict) -> None:
        """Say what is wrong with a frame that is not to be taken."""
        if verdict is Verdict.ILLEGAL:
            raise illegal("The stream was never opened.")
        if verdict is Verdict.FATALLY_CLOSED:
            raise BrokenConnectionError(Code.STREAM_CLOSED, "frame", "The stream has ended.")
        if verdict is Verdict.CLOSED:
            raise BrokenStreamError(Code.STREAM_CLOSED, "closed", "The stream has ended.")
        self._spend(1)

    def _trailers(self, stream: Stream, block: bytes, ended: bool) -> None:
        fields = self._unpack(block)
        if not ended:
            raise malformed("A second field block does not end the stream.")
        if stream.is_tunnel:
            raise malformed("A tunnel has no trailers.")
        lines = trailers(fields)
        if stream.expected > stream.received:
            raise malformed("The body is shorter than was announced.")
        self._hold_fields(stream, len(lines), Code.ENHANCE_YOUR_CALM)
        self._ended_by_peer(stream)
        if not stream.discards:
            self._events.append(Came(stream.id, b"", True, lines))

    def _ended_by_peer(self, stream: Stream) -> None:
        if stream.state is State.HALF_CLOSED_LOCAL:
            # What was handed on is still to be acknowledged, but no longer by stream.
            self._close(stream.id, State.ENDED)
        else:
            stream.state = State.HALF_CLOSED_REMOTE

    # Bodies

    def _take_in(self, size: int) -> None:
        """So many bytes of data came, on whichever stream."""
        if not self._inflow.take(size):
            raise BrokenConnectionError(
                Code.FLOW_CONTROL_ERROR, "window", "The connection's window is overrun."
            )

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise illegal("Data belongs to a stream.")
        size = len(payload)
        self._take_in(size)
        verdict = self._streams.verdict(number, frames.DATA)
        if verdict is not Verdict.TAKE:
            self._give(size)
            self._judge(verdict)
            return
        stream = self._streams.alive[number]
        # From here on the bytes are given back when the stream ends, however it does.
        stream.unacknowledged += size
        if stream.inflow is None:
            # Until it knows of our settings, the peer keeps to the default.
            stream.inflow = Inflow(max(self._terms.stream_window, settings.DEFAULT_WINDOW))
        if not stream.inflow.take(size):
            raise BrokenStreamError(
                Code.FLOW_CONTROL_ERROR, "window", "The stream's window is overrun."
            )
        data = frames.unpadded(payload) if flags & frames.PADDED else payload
        ended = flags & frames.END_STREAM != 0
        length = len(data)
        stream.received += length
        expected = stream.expected
        if expected >= 0 and (
            stream.received > expected or (ended and stream.received != expected)
        ):
            raise malformed("The body is not as long as was announced.")
        if not length and not ended:
            self._spend(1)
        if ended:
            self._ended_by_peer(stream)
        if stream.discards:
            self.acknowledge(number, size)
            return
        if length != size:
            self.acknowledge(number, size - length)
        if not length and not ended:
            return
        events = self._events
        if length < _SMALL_DATA and events:
            last = events[-1]
            if isinstance(last, Came) and last.stream == number and len(last.data) < _SMALL_DATA:
                # Bytes one by one are not told of, and passed on, one by one.
                events[-1] = Came(number, last.data + data, ended)
                return
        events.append(Came(number, data, ended))

    # Everything else

    def _priority(self, flags: int, number: int, payload: bytes) -> None:
        """Checked, and not followed (RFC 9113 section 5.3.2)."""
        if not number:
            raise illegal("A priority belongs to a stream.")
        self._spend(1)
        if len(payload) != 5:
            raise BrokenStreamError(
                Code.FRAME_SIZE_ERROR, "frame", "The priority is not five bytes long."
            )
        if frames.depends_on(payload) == number:
            raise BrokenStreamError(Code.PROTOCOL_ERROR, "frame", "The stream depends on itself.")

    def _rst_stream(self, flags: int, number: int, payload: bytes) -> None:
        code = frames.number(payload)
        if not number:
            raise illegal("A reset belongs to a stream.")
        verdict = self._streams.verdict(number, frames.RST_STREAM)
        if verdict is not Verdict.TAKE:
            self._judge(verdict)
            return
        self._close(number, State.CANCELLED)
        if not self._undo(number):
            self._events.append(Cancelled(number, code, True))
        self._count_reset_by_peer()

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise illegal("Settings are the connection's.")
        if flags & frames.ACK:
            if payload:
                raise wrong_size("An acknowledgement of settings has a payload.")
            self._spend(1)
            return
        # Each setting counts, or one frame could hold thousands.
        self._spend(1 + len(payload) // 6)
        for name, value in settings.read(payload):
            if name == settings.INITIAL_WINDOW_SIZE:
                self._outlet.resize(value, self._streams.alive)
            else:
                self._heed(name, value)
        self._outlet.put(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._pumped(self._outlet.pump())

    def _push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise illegal("Nobody is to push.")

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise illegal("A ping is the connection's.")
        if len(payload) != 8:
            raise wrong_size("A ping is not eight bytes long.")
        self._spend(1)
        if flags & frames.ACK:
            self._ponged(payload)
        else:
            self._outlet.put(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise illegal("GOAWAY is the connection's.")
        if len(payload) < 8:
            raise wrong_size("GOAWAY is shorter than eight bytes.")
        self._spend(1)
        self._events.append(Leaving(frames.number(payload[4:8])))

    def _window_update(self, flags: int, number: int, payload: bytes) -> None:
        increment = frames.number(payload) & settings.MAX_WINDOW
        if increment < _SMALL_UPDATE:
            # Each frame of ours may be answered by two, for its stream and for the connection.
            self._spend(0.5)
        if not number:
            if not increment:
                raise illegal("The window grows by nothing.")
            self._outlet.widen(increment)
        else:
            verdict = self._streams.verdict(number, frames.WINDOW_UPDATE)
            if verdict is not Verdict.TAKE:
                self._judge(verdict)
                return
            if not increment:
                raise BrokenStreamError(
                    Code.PROTOCOL_ERROR, "window", "The window grows by nothing."
                )
            if not self._outlet.widen_stream(self._streams.alive[number], increment):
                raise BrokenStreamError(
                    Code.FLOW_CONTROL_ERROR, "window", "The stream's window is too large."
                )
        if self._outlet.waiting:
            self._pumped(self._outlet.pump())

    def _pumped(self, drained: list[int]) -> None:
        for number in drained:
            stream = self._streams.alive[number]
            if stream.is_ending:
                self._sent_end(stream)
            self._events.append(Drained(number))

    # To the peer

    def acknowledge(self, number: int, count: int) -> None:
        """So many bytes of what `Came` for a stream are used up: the peer may send more."""
        stream = self._streams.alive.get(number)
        if stream is None:
            # They were given back when it ended.
            return
        count = min(count, stream.unacknowledged)
        stream.unacknowledged -= count
        self._give(count)
        if stream.inflow is not None and stream.state is not State.HALF_CLOSED_REMOTE:
            increment = stream.inflow.give(count)
            if increment:
                self._outlet.put(frames.window_update(number, increment))

    def _packed(self, block: bytes) -> bytes:
        """A field block as it is sent: the first one gives up the table."""
        if self._has_packed:
            return block
        self._has_packed = True
        return NO_TABLE + block

    def data(self, number: int, data: bytes, *, ended: bool = False) -> None:
        """Some of a body, or of what a tunnel carries. What the peer has no window for waits here:
        see `unsent`."""
        stream = self._streams.alive.get(number)
        if stream is None or stream.is_ending:
            return
        assert stream.has_head, "a head comes first"
        if stream.state is State.HALF_CLOSED_LOCAL:
            return
        if self._outlet.data(stream, data, ended=ended):
            self._sent_end(stream)

    def trailers(self, number: int, lines: bytes) -> None:
        """The end of a body, with trailers. Raises ProtocolError 502 for lines that are none."""
        stream = self._streams.alive.get(number)
        if stream is None or stream.is_ending or stream.state is State.HALF_CLOSED_LOCAL:
            return
        block = trailer_block(lines)
        if not block:
            self.data(number, b"", ended=True)
        elif self._outlet.trailers(stream, block):
            self._sent_end(stream)

    def reset(self, number: int, code: Code = Code.INTERNAL_ERROR) -> None:
        """Cut a stream: it cannot end well."""
        if number in self._streams.alive:
            self._outlet.put(frames.reset(number, code))
            self._close(number, State.LEFT)

    def hold(self) -> None:
        """The transport takes no more: what is written waits here until `release`."""
        self._outlet.hold()

    def release(self) -> list[Event]:
        """The transport takes more again; returns `Drained` for each stream that waited."""
        self._pumped(self._outlet.release())
        events, self._events = self._events, []
        return events

    def close(self, code: Code = Code.NO_ERROR) -> None:
        """End the connection now, with whatever is under way."""
        if not self._is_over:
            self._end(code, "")

    def _end(self, code: Code, detail: str) -> None:
        self._is_over = True
        self._reader.clear()
        self._outlet.put(frames.goaway(self._last_heard(), code, detail))


FRAMES: dict[int, Callable[[Any, int, int, bytes], None]] = {
    frames.DATA: Connection._data,
    frames.PRIORITY: Connection._priority,
    frames.RST_STREAM: Connection._rst_stream,
    frames.SETTINGS: Connection._settings,
    frames.PUSH_PROMISE: Connection._push_promise,
    frames.PING: Connection._ping,
    frames.GOAWAY: Connection._goaway,
    frames.WINDOW_UPDATE: Connection._window_update,
}
