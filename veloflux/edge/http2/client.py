"""One HTTP/2 connection to a backend, shared by many requests (RFC 9113).

A backend that is silent while a request's deadline comes may be gone for good: then it is pinged,
and until it answers it gets nothing new.
"""

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from veloflux.core.wire.error import bad_answer
from veloflux.core.wire.http2 import client
from veloflux.core.wire.http2.events import Answered, Came, Cancelled, Drained, Event, Failed
from veloflux.core.wire.http2.settings import Terms
from veloflux.edge.deadlines import NEVER, Deadlines, Timed
from veloflux.edge.http2.call import Call
from veloflux.edge.http2.wire import Wire

if TYPE_CHECKING:
    from veloflux.edge.backend import Backend
    from veloflux.edge.http2.multiplex import Multiplex

# Streams on one connection: more would wait for each other too long.
MOST_STREAMS = 100
# What waits for a slow client must hold up no other: there is a window for each stream.
_STREAM_WINDOW = 128 * 1024
_TERMS = Terms(
    max_streams=MOST_STREAMS,
    stream_window=_STREAM_WINDOW,
    connection_window=MOST_STREAMS * _STREAM_WINDOW,
)
# Seconds in which a live backend answers a ping, whatever else it does.
_PONG_S = 5.0
_PING = b"are you?"


@implementer(IHalfCloseableProtocol)
class Client(Wire, Protocol, Timed):
    """Has a `Call` for each request under way."""

    transport: Any
    codec: client.Client
    # A backend may answer before it reads on.
    reads_on = True
    # It has answered a request, so a kept connection may have ended unseen.
    has_served = False
    _heard_at = 0.0
    _is_doubted = False

    def __init__(self, backend: "Backend", multiplex: "Multiplex", deadlines: Deadlines) -> None:
        self.backend = backend
        self.deadlines = deadlines
        self._multiplex = multiplex
        self.calls: dict[int, Call] = {}

    def connectionMade(self) -> None:
        self.backend.connected(1)
        self.backend.tune(self.transport)
        now = self._heard_at = self.deadlines.now()
        self.codec = client.Client(_TERMS, now, self._multiplex.most_streams)
        self._is_reading = True
        self._multiplex.made(self)
        # The preface goes with the first requests.
        self._is_reading = False
        self.flush()
        self.look()

    @property
    def room(self) -> int:
        """How many more requests it takes."""
        return 0 if self._is_doubted or self._is_closing else self.codec.room

    @property
    def write_timeout_s(self) -> float:
        return self.backend.pool.timeouts.idle_s

    # From the backend

    def dataReceived(self, data: bytes) -> None:
        self._heard_at = self.deadlines.now()
        self._is_doubted = False
        super().dataReceived(data)

    def take_events(self, events: list[Event]) -> None:
        whole = zip(events, (*events[1:], None), strict=False)
        for event, after in whole:
            if isinstance(event, Answered):
                call = self.calls.get(event.stream)
                if call is None:
                    continue
                if (
                    isinstance(after, Came)
                    and after.stream == event.stream
                    and after.ended
                    and not after.trailers
                ):
                    # The commonest case: the answer is all there.
                    next(whole)
                    call.answered(event.head, after.data, ended=True)
                else:
                    call.answered(event.head, b"", ended=event.ended)
            elif isinstance(event, Came):
                call = self.calls.get(event.stream)
                if call is None:
                    self.codec.acknowledge(event.stream, len(event.data))
                else:
                    call.came(event.data, event.ended, event.trailers)
            else:
                self._take_other(event)

    def _take_other(self, event: Event) -> None:
        if isinstance(event, Drained):
            call = self.calls.get(event.stream)
            if call is not None:
                call.room_again()
        elif isinstance(event, Cancelled):
            call = self.calls.get(event.stream)
            if call is not None:
                call.cancelled(event)
        elif isinstance(event, Failed):
            for call in list(self.calls.values()):
                call.broken(bad_answer(event.kind, event.detail))

    # Its calls

    def begin(self) -> Call:
        """One more request's; there must be room."""
        return Call(self)

    def left(self, call: Call) -> None:
        """A call is over."""
        if self.calls.pop(call.number, None) is None:
            return
        if not self._is_reading:
            self.look()
        self._multiplex.freed(self)

    def doubt(self, since: float) -> None:
        """A request was not answered in time: is there anybody?"""
        if self._heard_at <= since and not self._is_doubted and not self._is_closing:
            self._is_doubted = True
            self.codec.ping(_PING)
            self.flush()
            self.deadlines.arm(self, self.deadlines.now() + _PONG_S)

    # Its time

    def look(self) -> None:
        if self._is_closing or self._is_lost:
            return
        if self.codec.is_over:
            self._close()
        elif self._is_doubted:
            # Its deadline is that of the ping.
            return
        elif self.calls:
            self._multiplex.idle.discard(self)
            self.deadline = NEVER
        elif self not in self._multiplex.idle:
            pool = self.backend.pool
            if self._multiplex.keeps(self):
                self._multiplex.idle.add(self)
                self.deadlines.arm(self, self.deadlines.now() + pool.idle_timeout_s)
            else:
                self.close()

    def expire(self, now: float) -> None:
        if self._is_doubted:
            self.transport.abortConnection()
        elif not self.calls:
            self.close()

    # The end

    def close(self) -> None:
        """Take no more requests, and end when there are none."""
        self._multiplex.forget(self)
        if not self.calls and not self._is_closing:
            self.codec.close()
            self.flush()
            self._close()

    def _close(self) -> None:
        self._is_closing = True
        self._multiplex.forget(self)
        self.deadlines.disarm(self)
        if self._holdback is None:
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """It will say no more: whatever is not answered never will be."""
        self._lose()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """We never close by halves."""

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        self.backend.connected(-1)
        self._lose()

    def _lose(self) -> None:
        self._is_lost = self._is_closing = True
        self._multiplex.forget(self)
        self.deadlines.disarm(self)
        for call in list(self.calls.values()):
            call.lost()
