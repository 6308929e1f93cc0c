"""A stream as what a valve takes for a transport: a source that is acknowledged when its bytes are
used up, and a sink that is full when too much waits for its windows."""

from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer

from veloflux.core.wire.http2.connection import Connection

# Bytes that may wait for the windows, of one stream and of all, before their source has to.
_STREAM_WAITS = 64 * 1024
_ALL_WAIT = 1024 * 1024


class Flushed(Protocol):
    """The connection of a stream."""

    transport: Any

    def flush(self) -> None: ...


class Flow:
    """Mixed into a stream's owner at either end."""

    connection: Flushed
    codec: Connection
    number: int

    # Bytes that came, were passed on, and are not acknowledged, for their sink takes no more.
    _owed = 0
    _is_paused = False
    # Who writes, and whether it was told to wait.
    _producer: IPushProducer | None = None
    _has_to_wait = False

    def pauseProducing(self) -> None:
        """The sink takes no more: the peer's window stays as it is."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        if self._owed:
            owed, self._owed = self._owed, 0
            self.codec.acknowledge(self.number, owed)
            self.connection.flush()

    def used(self, count: int) -> None:
        """So many bytes that came are passed on."""
        if self._is_paused:
            self._owed += count
        else:
            self.codec.acknowledge(self.number, count)

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._producer = producer
        self._has_to_wait = False
        self.hold_back()

    def unregisterProducer(self) -> None:
        self._producer = None

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer."""
        return self.codec.unsent(self.number)

    def hold_back(self) -> None:
        """After something was written: does too much of it wait?"""
        if self._producer is None or self._has_to_wait:
            return
        waiting = self.unsent
        if waiting > _STREAM_WAITS or (waiting and self.codec.waiting > _ALL_WAIT):
            self._has_to_wait = True
            self._producer.pauseProducing()

    def room_again(self) -> None:
        """All that was written has gone."""
        if self._has_to_wait:
            self._has_to_wait = False
            if self._producer is not None:
                self._producer.resumeProducing()

    def getPeer(self) -> Any:
        return self.connection.transport.getPeer()

    def getHost(self) -> Any:
        return self.connection.transport.getHost()
