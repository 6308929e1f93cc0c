"""The client's end of an HTTP/2 connection: requests go out, answers come in.

    connection = Client(terms, now)
    stream = connection.ask(prelude, b"http", request_id, ended=True)
    transport.write(connection.take())
    for event in connection.receive(data, now): ...

A stream is there from `ask` until both sides have ended it or one has cancelled it; `room` says
how many more may be. Streams that the server's GOAWAY leaves out come as refused.
"""

from typing import ClassVar

from veloflux.core.wire.http1 import MAX_RESPONSE_HEAD
from veloflux.core.wire.http2 import connection, frames, settings
from veloflux.core.wire.http2.error import Code, illegal, malformed
from veloflux.core.wire.http2.events import Answered, Cancelled
from veloflux.core.wire.http2.packing import request_block
from veloflux.core.wire.http2.reader import Reader
from veloflux.core.wire.http2.replies import Replies
from veloflux.core.wire.http2.settings import Terms
from veloflux.core.wire.http2.streams import State, Stream
from veloflux.core.wire.http2.unpacking import Fields

_BLOCK_GRACE = 16 * 1024
# Control frames that come with each honest answer.
_REFUND = 4.0
_BODILESS = frozenset((204, 304))


class Client(connection.Connection):
    """Grants the server's streams what `terms` say, and opens no more than their `max_streams`;
    `expected` is how many the server is thought to take until it says so."""

    __slots__ = ("_is_leaving", "_replies", "max_streams")

    def __init__(self, terms: Terms, now: float, expected: int) -> None:
        super().__init__(terms, now, Reader(MAX_RESPONSE_HEAD + _BLOCK_GRACE, preface=b""))
        self.max_streams = expected
        self._is_leaving = False
        self._replies = Replies()
        self._outlet.put(frames.PREFACE + settings.ask(terms, MAX_RESPONSE_HEAD))

    @property
    def is_over(self) -> bool:
        """Whether nothing will come of this connection any more: close it."""
        return self._is_over or (self._is_leaving and not self._streams.alive)

    @property
    def room(self) -> int:
        """How many more streams may be opened now."""
        if self._is_over or self._is_leaving:
            return 0
        return self.max_streams - len(self._streams.alive)

    # To the server

    def ask(
        self,
        prelude: bytes,
        scheme: bytes,
        request_id: bytes,
        more: bytes = b"",
        *,
        ended: bool,
        is_head: bool = False,
    ) -> int:
        """Open a stream with a request, of which the first three are as in `request_block`; with
        `ended` it has no body. Returns the stream's number. Raises ProtocolError 502, and then
        nothing was sent."""
        assert self.room > 0, "there is no room"
        block = self._packed(request_block(prelude, scheme, request_id, more))
        streams = self._streams
        number = streams.last + 2 if streams.last else 1
        streams.advance(number)
        if number > frames.MAX_STREAM - 2:
            self._is_leaving = True
        state = State.HALF_CLOSED_LOCAL if ended else State.OPEN
        stream = streams.alive[number] = Stream(number, state, self._outlet.initial_window)
        stream.has_head = True
        stream.is_head = is_head
        self._outlet.block(number, block, ended=ended)
        return number

    def ping(self, payload: bytes) -> None:
        """Ask whether the server is there; any answer will do."""
        self._outlet.put(frames.frame(frames.PING, 0, 0, payload))

    def _sent_end(self, stream: Stream) -> None:
        if stream.state is State.HALF_CLOSED_REMOTE:
            self._close(stream.id, State.ENDED)
        else:
            stream.is_ending = False
            stream.state = State.HALF_CLOSED_LOCAL

    def _last_heard(self) -> int:
        # Nothing may be pushed.
        return 0

    # From the server

    def _headers(self, flags: int, number: int, block: bytes) -> None:
        ended = flags & frames.END_STREAM != 0
        stream = self._streams.alive.get(number)
        if stream is None or stream.state is State.HALF_CLOSED_REMOTE:
            self._replies.unpack(block)
            if self._streams.state(number) is State.IDLE:
                raise illegal("The stream was never opened.")
            self._judge(self._streams.verdict(number, frames.HEADERS))
        elif stream.is_answered:
            self._trailers(stream, block, ended)
        else:
            self._answer(stream, block, ended)

    def _answer(self, stream: Stream, block: bytes, ended: bool) -> None:
        head = self._replies.read(block)
        status = head.status
        if status < 200:
            if ended:
                raise malformed("An interim answer ends its stream.")
            self._spend(1)
            self._events.append(Answered(stream.id, head, False))
            return
        is_bodiless = stream.is_head or status in _BODILESS
        length = head.fields.length
        if is_bodiless:
            stream.expected = 0
        elif length is not None:
            if ended and length:
                raise malformed("A body was announced and none comes.")
            stream.expected = length
        stream.is_answered = True
        self._controls.refund(_REFUND)
        if ended:
            self._ended_by_peer(stream)
        self._events.append(Answered(stream.id, head, ended))

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.alive.get(number)
        if stream is not None and not stream.is_answered:
            self._take_in(len(payload))
            self._give(len(payload))
            raise malformed("The body comes before the head.")
        super()._data(flags, number, payload)

    def _count_reset_by_peer(self) -> None:
        """A server may refuse what it will: each costs it as much as us."""

    def _goaway(self, flags: int, number: int, payload: bytes) -> None:
        super()._goaway(flags, number, payload)
        self._is_leaving = True
        last = frames.number(payload[:4]) & frames.MAX_STREAM
        for each in [each for each in self._streams.alive if each > last]:
            self._close(each, State.LEFT)
            self._events.append(Cancelled(each, Code.REFUSED_STREAM, True))

    def _unpack(self, block: bytes) -> Fields | None:
        return self._replies.unpack(block)

    def _heed(self, name: int, value: int) -> None:
        if name == settings.MAX_CONCURRENT_STREAMS:
            self.max_streams = min(value, self._terms.max_streams)
        elif name == settings.ENABLE_PUSH and value:
            raise illegal("A server cannot take pushes.")

    FRAMES: ClassVar = {
        **connection.FRAMES,
        frames.HEADERS: _headers,
        frames.DATA: _data,
        frames.GOAWAY: _goaway,
    }
