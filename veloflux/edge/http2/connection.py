"""One client's HTTP/2 connection: bytes to the codec, what it says to streams, bytes to the client
(RFC 9113).

Deadlines: for the preface and every head that has begun, for a connection without a stream, and for
a client that takes no bytes. Each stream has its own for its body and for its windows.
"""

from base64 import b64encode
from secrets import token_bytes
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import (
    Came,
    Cancelled,
    Drained,
    Event,
    Failed,
    Refused,
    Requested,
)
from veloflux.core.wire.http2.server import Server
from veloflux.core.wire.http2.settings import Terms
from veloflux.core.wire.hygiene import HTTP2_VIAS
from veloflux.edge.deadlines import NEVER, Timed
from veloflux.edge.farewell import Farewell
from veloflux.edge.http2.stream import Stream
from veloflux.edge.http2.wire import Wire
from veloflux.edge.reception import Reception

# Seconds that a draining process gives to requests that are on their way.
_DRAIN_S = 1.0
_TERMS = Terms()


def _new_key() -> bytes:
    """A Sec-WebSocket-Key (RFC 6455 section 4.1), which HTTP/2's clients have no use for."""
    return b64encode(token_bytes(16))


@implementer(IHalfCloseableProtocol)
class Http2(Reception, Wire, Protocol, Timed):
    """Has a `Stream` for each request under way."""

    transport: Any
    descriptors = 1
    vias = HTTP2_VIAS

    codec: Server

    _is_draining = False
    # Whether the deadline is that of a head, or that of being idle.
    _awaits_head = False
    _is_idle = False
    _farewell: Farewell | None = None

    def connectionMade(self) -> None:
        self.listener.join(self)
        now = self.plane.deadlines.now()
        self.deadlines = self.plane.deadlines
        self.streams: dict[int, Stream] = {}
        self.codec = Server(self.limits, _TERMS, now, _new_key)
        self._awaits_head = True
        self.plane.deadlines.arm(self, now + self.limits.header_timeout_s)
        self.flush()

    # From the client

    def take_events(self, events: list[Event]) -> None:
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Requested):
            stream = self._begin_stream(event.stream)
            stream.is_tunnel = event.is_tunnel
            self.begin(stream, event.head)
        elif isinstance(event, Came):
            found = self.streams.get(event.stream)
            if found is not None:
                found.came(event.data, event.ended, event.trailers)
            else:
                # Its answer is given, and waits to be taken.
                self.codec.acknowledge(event.stream, len(event.data))
        elif isinstance(event, Drained):
            found = self.streams.get(event.stream)
            if found is not None:
                found.drained()
        elif isinstance(event, Cancelled):
            if not event.by_peer:
                self.listener.count_error("http2", event.kind)
            found = self.streams.get(event.stream)
            if found is not None:
                found.gone()
        elif isinstance(event, Refused):
            self.listener.count_error("http2", event.problem.kind)
            self._begin_stream(event.stream).refuse(None, event.problem)
        elif isinstance(event, Failed):
            self.listener.count_error("http2", event.kind)

    def _begin_stream(self, number: int) -> Stream:
        stream = self.streams[number] = Stream(self, number)
        return stream

    def left(self, stream: Stream) -> None:
        """A stream is over."""
        if self.streams.pop(stream.number, None) is None:
            return
        if stream.client is self.client:
            self.text = stream.text
        if not self.streams and not self._is_reading:
            self.look()

    # Its time

    @property
    def write_timeout_s(self) -> float:
        return self.limits.write_timeout_s

    def look(self) -> None:
        """What is it waiting for now?"""
        if self._is_closing or self._is_lost:
            return
        if not self.streams and self._is_draining and not self.codec.is_amid_head:
            if self.deadline == NEVER:
                self.plane.deadlines.arm(self, self.plane.deadlines.now() + _DRAIN_S)
        elif self.codec.is_amid_head:
            if not self._awaits_head:
                self._awaits_head, self._is_idle = True, False
                self._arm(self.limits.header_timeout_s)
        elif self.streams:
            self._awaits_head = self._is_idle = False
            if not self._is_draining:
                self.deadline = NEVER
        elif not self._is_idle:
            self._awaits_head, self._is_idle = False, True
            self._arm(self.limits.keepalive_timeout_s)
        if self.codec.is_over:
            self._close()

    def _arm(self, wait: float) -> None:
        self.plane.deadlines.arm(self, self.plane.deadlines.now() + wait)

    def expire(self, now: float) -> None:
        if self._awaits_head and not self._is_draining:
            self.listener.count_error("http2", "header_timeout")
            self.codec.close(Code.ENHANCE_YOUR_CALM)
            self.flush()
            self._close()
        else:
            self._finish()

    def _finish(self) -> None:
        """Take no more requests, and close when there are none."""
        self.codec.drain(final=True)
        self.flush()
        if self.codec.is_over:
            self._close()

    # The end

    def drain(self, patience_s: float = 0.0) -> None:
        """The process is going, or the listener: say so, and serve what is on its way."""
        if self._is_closing:
            return
        if not self._is_draining:
            self._is_draining = True
            self.codec.drain()
            self.flush()
        until = self.plane.deadlines.now() + max(_DRAIN_S, patience_s)
        if until < self.deadline:
            self.plane.deadlines.arm(self, until)

    def abandon(self) -> None:
        """The process goes now, whatever is under way."""
        self._is_lost = True
        for stream in list(self.streams.values()):
            stream.abandon()
        self.transport.abortConnection()

    def _close(self, *, linger: bool = True) -> None:
        """Say no more; what is under way ends. Lingering is for a client that may still be
        sending."""
        if self._is_closing:
            return
        self._is_closing = True
        self._drop_streams()
        self.plane.deadlines.disarm(self)
        if self._holdback is not None:
            # It takes nothing, not even a farewell.
            self.transport.abortConnection()
            return
        self._farewell = Farewell(
            self.transport, self.plane.deadlines, self.limits.write_timeout_s, linger=linger
        )
        self.dataReceived = self._farewell.received  # type: ignore[method-assign]  # no question per read

    def _drop_streams(self) -> None:
        for stream in list(self.streams.values()):
            stream.gone()

    def readConnectionLost(self) -> None:
        if self._is_closing:
            self.transport.loseConnection()
        else:
            # Nobody is there to be answered: see `Downstream`.
            self._close(linger=False)

    def writeConnectionLost(self) -> None:
        """Our half-close went out; the rest of `_close` is waiting."""

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        self._is_lost = True
        self.listener.leave(self)
        if self._farewell is not None:
            self._farewell.over()
        self._drop_streams()
        self.plane.deadlines.disarm(self)
