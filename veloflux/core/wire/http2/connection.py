"""One client's HTTP/2 connection: bytes in and events out, answers in and bytes out (RFC 9113).

    connection = Connection(limits, terms, now)
    transport.write(connection.take())
    for event in connection.receive(data, now): ...
    connection.answer(stream, b"200 OK", lines); connection.data(stream, body, ended=True)
    transport.write(connection.take())

After `receive` and after every action there may be bytes to `take`. The time is any clock's that
goes forward, in seconds. What is said to a stream that is gone is not an error: whoever says it
has not heard of it yet. The module is long because every frame bears on the same few numbers.
"""

from collections.abc import Callable

from veloflux.core.model.traffic import Limits
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
from veloflux.core.wire.http2.openings import Openings
from veloflux.core.wire.http2.outlet import Outlet
from veloflux.core.wire.http2.packing import NO_TABLE, answer_block, trailer_block
from veloflux.core.wire.http2.reader import Reader
from veloflux.core.wire.http2.settings import Terms
from veloflux.core.wire.http2.streams import State, Stream, Streams, Verdict
from veloflux.core.wire.http2.translation import NewKey, trailers

# Bytes of a field block beyond what its limits need.
_BLOCK_GRACE = 16 * 1024
# An update of a window by fewer bytes costs us a frame for little.
_SMALL_UPDATE = 256
# Of two pieces of a body that are shorter than this one is made.
_SMALL_DATA = 1024
# Control frames that come with each honest request.
_REFUND = 4.0
_DRAIN_PING = b"veloflux"
_BODILESS = frozenset((b"204", b"304"))


class Connection:
    """The server's end of one connection.

    `new_key` makes a Sec-WebSocket-Key for each tunnel; without it none are offered (RFC 8441).
    """

    __slots__ = (
        "_controls",
        "_events",
        "_final",
        "_first_new",
        "_has_packed",
        "_inflow",
        "_is_over",
        "_now",
        "_openings",
        "_outlet",
        "_reader",
        "_resets",
        "_streams",
        "_terms",
        "_undone",
    )

    def __init__(
        self, limits: Limits, terms: Terms, now: float, new_key: NewKey | None = None
    ) -> None:
        self._terms = terms
        self._now = now
        self._is_over = False
        self._events: list[Event] = []
        # Streams that began with these bytes, and whether some of them are gone already.
        self._first_new = 0
        self._undone: set[int] | None = None
        self._streams = Streams()
        # The last stream that a final GOAWAY names; None before that.
        self._final: int | None = None
        self._inflow = Inflow(max(terms.connection_window, settings.DEFAULT_WINDOW))
        self._outlet = Outlet()
        self._has_packed = False
        self._resets = Budget(terms.resets_burst, terms.resets_rate, now)
        self._controls = Budget(terms.controls_burst, terms.controls_rate, now)
        self._reader = Reader(limits.max_header_bytes + limits.max_target_bytes + _BLOCK_GRACE)
        self._openings = Openings(limits, new_key)
        self._outlet.put(settings.announce(terms, limits, tunnels=new_key is not None))

    # What there is to know

    @property
    def open_streams(self) -> int:
        return len(self._streams.alive)

    @property
    def waiting(self) -> int:
        """Bytes of answers that wait for the client's windows, or for `release`."""
        return self._outlet.waiting

    @property
    def is_amid_head(self) -> bool:
        """Whether a head or the preface has begun and is not whole: it has a deadline."""
        return self._reader.is_amid_head

    @property
    def is_over(self) -> bool:
        """Whether nothing will come of this connection any more: close it."""
        return self._is_over or (self._final is not None and not self._streams.alive)

    def unsent(self, stream: int) -> int:
        """Bytes of an answer that wait; `Drained` comes when there are none left."""
        found = self._streams.alive.get(stream)
        return 0 if found is None else found.queued

    def take(self) -> bytes:
        """The bytes to send to the client."""
        return self._outlet.take()

    # From the client

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What the client's bytes mean. Raises nothing: the last event may be `Failed`."""
        if self._is_over:
            return []
        self._now = now
        self._first_new = self._streams.last + 1
        events = self._events
        try:
            for kind, flags, stream, payload in self._reader.read(data):
                take = _FRAMES.get(kind)
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
        """Reset a stream because of what the client did: that counts as if it had done it, or it
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

    def _spend(self, cost: float) -> None:
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
        if stream.queue is not None:
            self._outlet.forget(stream)
        if stream.unacknowledged:
            self._give(stream.unacknowledged)

    def _give(self, count: int) -> None:
        increment = self._inflow.give(count)
        if increment:
            self._outlet.put(frames.window_update(0, increment))

    # Field blocks

    def _headers(self, flags: int, number: int, block: bytes) -> None:
        if not number & 1:
            raise illegal("A client's streams have odd numbers.")
        ended = flags & frames.END_STREAM != 0
        streams = self._streams
        if number > streams.last:
            streams.advance(number)
            self._open(number, block, ended)
            return
        verdict = streams.verdict(number, frames.HEADERS)
        if verdict is Verdict.TAKE:
            self._trailers(streams.alive[number], block, ended)
            return
        # Also what is ignored takes part in the compression.
        self._openings.unpack(block)
        self._judge(verdict)

    def _judge(self, verdict: Verdict) -> None:
        """Say what is wrong with a frame that is not to be taken."""
        if verdict is Verdict.ILLEGAL:
            raise illegal("The stream was never opened.")
        if verdict is Verdict.FATALLY_CLOSED:
            raise BrokenConnectionError(Code.STREAM_CLOSED, "frame", "The stream has ended.")
        if verdict is Verdict.CLOSED:
            raise BrokenStreamError(Code.STREAM_CLOSED, "closed", "The stream has ended.")
        self._spend(1)

    def _open(self, number: int, block: bytes, ended: bool) -> None:
        known = self._openings.read(block, ended)
        streams = self._streams
        if self._final is not None:
            # It will be asked again elsewhere (section 6.8).
            streams.close(number, State.LEFT)
            self._spend(1)
            return
        if len(streams.alive) >= self._terms.max_streams:
            raise BrokenStreamError(Code.REFUSED_STREAM, "refused", "Too many streams are open.")
        stream = Stream(
            number,
            State.HALF_CLOSED_REMOTE if ended else State.OPEN,
            self._outlet.initial_window,
        )
        streams.alive[number] = stream
        stream.expected = known.expected
        stream.is_head = known.method == b"HEAD"
        self._controls.refund(_REFUND)
        if known.head is not None:
            stream.is_tunnel = known.is_tunnel
            self._events.append(Requested(number, known.head, ended, known.is_tunnel))
        else:
            assert known.problem is not None
            stream.discards = True
            self._events.append(Refused(number, known.problem, known.method))

    def _trailers(self, stream: Stream, block: bytes, ended: bool) -> None:
        fields = self._openings.unpack(block)
        if not ended:
            raise malformed("A second field block does not end the stream.")
        if stream.is_tunnel:
            raise malformed("A tunnel has no trailers.")
        lines = trailers(fields)
        if stream.expected > stream.received:
            raise malformed("The body is shorter than was announced.")
        self._ended_by_client(stream)
        if not stream.discards:
            self._events.append(Came(stream.id, b"", True, lines))

    def _ended_by_client(self, stream: Stream) -> None:
        if stream.state is State.HALF_CLOSED_LOCAL:
            # What was handed on is still to be acknowledged, but no longer by stream.
            self._close(stream.id, State.ENDED)
        else:
            stream.state = State.HALF_CLOSED_REMOTE

    # Bodies

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise illegal("Data belongs to a stream.")
        size = len(payload)
        if not self._inflow.take(size):
            raise BrokenConnectionError(
                Code.FLOW_CONTROL_ERROR, "window", "The connection's window is overrun."
            )
        verdict = self._streams.verdict(number, frames.DATA)
        if verdict is not Verdict.TAKE:
            self._give(size)
            self._judge(verdict)
            return
        stream = self._streams.alive[number]
        # From here on the bytes are given back when the stream ends, however it does.
        stream.unacknowledged += size
        if stream.inflow is None:
            # Until it knows of our settings, the client keeps to the default.
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
            self._ended_by_client(stream)
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
        self._count_reset()

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
        self._outlet.put(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._pumped(self._outlet.pump())

    def _push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise illegal("A client cannot push.")

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise illegal("A ping is the connection's.")
        if len(payload) != 8:
            raise wrong_size("A ping is not eight bytes long.")
        self._spend(1)
        if not flags & frames.ACK:
            self._outlet.put(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == _DRAIN_PING and self._final is None:
            self.drain(final=True)

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
            self._spend(1)
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
            else:
                self._events.append(Drained(number))

    # To the client

    def acknowledge(self, number: int, count: int) -> None:
        """So many bytes of what `Came` for a stream are used up: the client may send more."""
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

    def interim(self, number: int, status_line: bytes, lines: bytes) -> None:
        """A 1xx answer, `100 Continue`; the real one is to come. Raises ProtocolError 502."""
        stream = self._streams.alive.get(number)
        if stream is not None and not stream.has_answer:
            self._outlet.block(number, self._packed(status_line, lines), ended=False)

    def answer(
        self,
        number: int,
        status_line: bytes,
        lines: bytes,
        *,
        request_id: bytes = b"",
        ended: bool = False,
    ) -> None:
        """The head of an answer: `200 OK` and field lines, less X-Request-ID.

        With `ended` there is no body; there is none for HEAD, 204 and 304 in any case. Raises
        ProtocolError 502 for lines that are none, and then nothing was sent.
        """
        stream = self._streams.alive.get(number)
        if stream is None:
            return
        assert not stream.has_answer, "a stream has one answer"
        block = self._packed(status_line, lines, request_id)
        stream.has_answer = True
        ended = ended or stream.is_head or status_line[:3] in _BODILESS
        self._outlet.block(number, block, ended=ended)
        if ended:
            self._sent_end(stream)

    def _packed(self, status_line: bytes, lines: bytes, request_id: bytes = b"") -> bytes:
        block = answer_block(status_line[:3], lines, request_id)
        if not self._has_packed:
            self._has_packed = True
            block = NO_TABLE + block
        return block

    def data(self, number: int, data: bytes, *, ended: bool = False) -> None:
        """Some of an answer's body, or of what a tunnel carries. What the client has no window for
        waits here: see `unsent`."""
        stream = self._streams.alive.get(number)
        if stream is None or stream.is_ending:
            return
        assert stream.has_answer, "the head of an answer comes first"
        if stream.state is State.HALF_CLOSED_LOCAL:
            return
        if self._outlet.data(stream, data, ended=ended):
            self._sent_end(stream)

    def trailers(self, number: int, lines: bytes) -> None:
        """The end of an answer, with trailers. Raises ProtocolError 502."""
        stream = self._streams.alive.get(number)
        if stream is None or stream.is_ending or stream.state is State.HALF_CLOSED_LOCAL:
            return
        block = trailer_block(lines)
        if not block:
            self.data(number, b"", ended=True)
        elif self._outlet.trailers(stream, block):
            self._sent_end(stream)

    def _sent_end(self, stream: Stream) -> None:
        """All of an answer is sent. Who still sends a body to it is told to stop, without blame
        (section 8.1); a tunnel may be closed by halves."""
        if stream.state is State.HALF_CLOSED_REMOTE:
            self._close(stream.id, State.ENDED)
        elif stream.is_tunnel:
            stream.is_ending = False
            stream.state = State.HALF_CLOSED_LOCAL
        else:
            self._outlet.put(frames.reset(stream.id, Code.NO_ERROR))
            self._close(stream.id, State.LEFT)

    def reset(self, number: int, code: Code = Code.INTERNAL_ERROR) -> None:
        """Cut a stream: its answer cannot end well."""
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

    def drain(self, *, final: bool = False) -> None:
        """Take no more requests, in two steps: those that are on their way are still served until
        the client has heard of it, or until `final` (section 6.8)."""
        if self._is_over or self._final is not None:
            return
        if final:
            self._final = self._streams.last
            self._outlet.put(frames.goaway(self._final, Code.NO_ERROR))
        else:
            self._outlet.put(frames.goaway(frames.MAX_STREAM, Code.NO_ERROR))
            self._outlet.put(frames.frame(frames.PING, 0, 0, _DRAIN_PING))

    def close(self, code: Code = Code.NO_ERROR) -> None:
        """End the connection now, with whatever is under way."""
        if not self._is_over:
            self._end(code, "")

    def _end(self, code: Code, detail: str) -> None:
        self._is_over = True
        self._reader.clear()
        # It must not name more than before (section 6.8).
        last = self._streams.last if self._final is None else self._final
        self._outlet.put(frames.goaway(last, code, detail))


_FRAMES: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    frames.DATA: Connection._data,
    frames.HEADERS: Connection._headers,
    frames.PRIORITY: Connection._priority,
    frames.RST_STREAM: Connection._rst_stream,
    frames.SETTINGS: Connection._settings,
    frames.PUSH_PROMISE: Connection._push_promise,
    frames.PING: Connection._ping,
    frames.GOAWAY: Connection._goaway,
    frames.WINDOW_UPDATE: Connection._window_update,
}
