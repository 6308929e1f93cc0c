"""The server's end of an HTTP/2 connection: requests come in, answers go out.

connection = Server(limits, terms, now)
transport.write(connection.take())
for event in connection.receive(data, now): ...
connection.answer(stream, b"200 OK", lines); connection.data(stream, body, ended=True)
transport.write(connection.take())
"""

from typing import ClassVar

from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http2 import connection, frames, settings
from veloflux.core.wire.http2.error import BrokenStreamError, Code, illegal
from veloflux.core.wire.http2.events import Refused, Requested
from veloflux.core.wire.http2.openings import Openings
from veloflux.core.wire.http2.packing import answer_block
from veloflux.core.wire.http2.reader import Reader
from veloflux.core.wire.http2.settings import Terms
from veloflux.core.wire.http2.streams import State, Stream, Verdict
from veloflux.core.wire.http2.translation import NewKey
from veloflux.core.wire.http2.unpacking import Fields

# Bytes of a field block beyond what its limits need.
_BLOCK_GRACE = 16 * 1024
# So many of the largest field blocks may be under way at once: a byte on the wire can stand for
# thousands that are held until its request is over (CVE-2026-49975).
_LARGEST_AT_ONCE = 16
# Control frames that come with each honest request.
_REFUND = 4.0
_DRAIN_PING = b"veloflux"
_BODILESS = frozenset((b"204", b"304"))


class Server(connection.Connection):
    """`new_key` makes a Sec-WebSocket-Key for each tunnel (RFC 8441); without it there are none."""

    __slots__ = ("_final", "_max_fields", "_openings")

    def __init__(
        self, limits: Limits, terms: Terms, now: float, new_key: NewKey | None = None
    ) -> None:
        most = limits.max_header_bytes + limits.max_target_bytes + _BLOCK_GRACE
        super().__init__(terms, now, Reader(most))
        # The last stream that a final GOAWAY names; None before that.
        self._final: int | None = None
        self._openings = Openings(limits, new_key)
        self._max_fields = _LARGEST_AT_ONCE * limits.max_header_bytes
        self._outlet.put(settings.announce(terms, limits, tunnels=new_key is not None))

    @property
    def is_over(self) -> bool:
        """Whether nothing will come of this connection any more: close it."""
        return self._is_over or (self._final is not None and not self._streams.alive)

    # From the client

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
        self._unpack(block)
        self._judge(verdict)

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
        if known.head is not None:
            self._hold_fields(stream, len(known.head.raw), Code.REFUSED_STREAM)
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

    def _hold_fields(self, stream: Stream, size: int, code: Code) -> None:
        held = self._streams.fields + size
        if held > self._max_fields:
            raise BrokenStreamError(code, "refused", "The fields of open streams are too large.")
        self._streams.fields = held
        stream.fields += size

    def _unpack(self, block: bytes) -> Fields | None:
        return self._openings.unpack(block)

    def _ponged(self, payload: bytes) -> None:
        if payload == _DRAIN_PING and self._final is None:
            self.drain(final=True)

    # To the client

    def interim(self, number: int, status_line: bytes, lines: bytes) -> None:
        """A 1xx answer, `100 Continue`; the real one is to come. Raises ProtocolError 502."""
        stream = self._streams.alive.get(number)
        if stream is not None and not stream.has_head:
            self._outlet.block(
                number, self._packed(answer_block(status_line[:3], lines)), ended=False
            )

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
        assert not stream.has_head, "a stream has one answer"
        block = self._packed(answer_block(status_line[:3], lines, request_id))
        stream.has_head = True
        if stream.is_tunnel and not status_line.startswith(b"2"):
            # It is refused, and this an answer like any other.
            stream.is_tunnel = False
        ended = ended or stream.is_head or status_line[:3] in _BODILESS
        self._outlet.block(number, block, ended=ended)
        if ended:
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

    def _last_heard(self) -> int:
        # It must not name more than before (section 6.8).
        return self._streams.last if self._final is None else self._final

    FRAMES: ClassVar = {**connection.FRAMES, frames.HEADERS: _headers}
