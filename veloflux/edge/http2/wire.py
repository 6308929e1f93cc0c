"""A connection's bytes: those that come go to its codec, and the codec's to the transport while
that takes them."""

from typing import Any

from veloflux.core.wire.http2.connection import Connection
from veloflux.core.wire.http2.events import Event
from veloflux.edge.deadlines import Deadlines
from veloflux.edge.holdback import Holdback
from veloflux.edge.transport import unsent

# Bytes that the transport may hold before nothing more is given to it.
_UNREAD = 64 * 1024


class Wire:
    """Mixed into either end's protocol. `reads_on` says that the peer is read from also while it
    takes nothing."""

    transport: Any
    codec: Connection
    deadlines: Deadlines
    reads_on = False

    _is_reading = False
    _is_closing = False
    _is_lost = False
    _holdback: Holdback | None = None

    def take_events(self, events: list[Event]) -> None:
        """What the peer did."""
        raise NotImplementedError

    def look(self) -> None:
        """What is it waiting for now?"""
        raise NotImplementedError

    @property
    def write_timeout_s(self) -> float:
        """How long the peer may take no byte."""
        raise NotImplementedError

    def dataReceived(self, data: bytes) -> None:
        self._is_reading = True
        self.take_events(self.codec.receive(data, self.deadlines.now()))
        self._is_reading = False
        self.flush()
        self.look()

    def flush(self) -> None:
        """Send what there is to send, unless more is to come at once."""
        if self._is_reading or self._is_lost:
            return
        wire = self.codec.take()
        if wire:
            self.transport.write(wire)
            if self._holdback is None and unsent(self.transport) > _UNREAD:
                self._hold()

    def _hold(self) -> None:
        """The peer takes no more."""
        if self._is_closing:
            return
        self.codec.hold()
        self._holdback = Holdback(
            self.transport,
            self.deadlines,
            self.write_timeout_s,
            self._go_on,
            reads_on=self.reads_on,
        )

    def _go_on(self) -> None:
        self._holdback = None
        self._is_reading = True
        self.take_events(self.codec.release())
        self._is_reading = False
        self.flush()
        self.look()
