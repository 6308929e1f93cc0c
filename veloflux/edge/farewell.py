"""The end of a client's connection: its last bytes sent, and time for the client to see them."""

from typing import Any

from veloflux.edge.deadlines import Deadlines, Timed
from veloflux.edge.transport import unsent

# Seconds and bytes for which a connection is read after its last answer.
LINGER_S = 2.0
LINGER_BYTES = 1024 * 1024


class Farewell(Timed):
    """Closes `transport` once its queue is sent.

    With `linger` only our direction is closed at first, and what still comes is read without a
    use: closing with a client's bytes unread would reset the connection, and the reset can
    overtake the answer (RFC 9112 section 9.6). A client that takes not a byte for
    `write_timeout_s` is cut off.
    """

    def __init__(
        self, transport: Any, deadlines: Deadlines, write_timeout_s: float, *, linger: bool
    ) -> None:
        self._transport = transport
        self._deadlines = deadlines
        self._write_timeout_s = write_timeout_s
        self._left = unsent(transport)
        self._read = 0
        self._moved_at = deadlines.now()
        deadlines.arm(self, self._moved_at + LINGER_S)
        if linger:
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    def received(self, data: bytes) -> None:
        """Bytes that nobody will read any more."""
        self._read += len(data)
        if self._read > LINGER_BYTES:
            self._transport.abortConnection()

    def expire(self, now: float) -> None:
        left = unsent(self._transport)
        if left < self._left:
            self._left = left
            self._moved_at = now
        elif not left or now - self._moved_at >= self._write_timeout_s:
            self._transport.abortConnection()
            return
        self._deadlines.arm(self, min(now + LINGER_S, self._moved_at + self._write_timeout_s))

    def over(self) -> None:
        """The connection is lost."""
        self._deadlines.disarm(self)
