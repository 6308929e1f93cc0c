"""The shortest way in Python from an event to a protocol, and from a protocol to its socket.

`compiled.pyx` is the same for a C compiler; whichever there is comes by way of `edge.direct`.
"""

import os
import socket
from collections.abc import Callable
from select import EPOLLIN, epoll
from typing import Any

from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger

_READ_BYTES = 65536
# Of one wait; who is left over is told of by the next.
_MOST_EVENTS = 256

_log = Logger()


class Direct:
    """A connection that asks its socket at once; a base before `tcp.Connection`.

    `is_clear` says that a write may go to the socket: nothing is queued and nobody has asked to
    close. `queue` is called with what the socket did not take, and `_dataReceived` at the end of
    what comes.
    """

    is_clear = True

    def doRead(self: Any) -> Any:
        """Hand one read to the protocol; returns as Twisted's does why the connection is lost."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return self._dataReceived(data)
        return self.protocol.dataReceived(data)

    def write(self: Any, data: bytes) -> None:
        """Send, or queue what cannot be sent now."""
        if not self.is_clear:
            self.queue(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            # Full, or broken: the queue waits for the first and reports the second.
            sent = 0
        if sent < len(data):
            self.is_clear = False
            self.queue(data[sent:])


def accept(listening: socket.socket) -> tuple[int, Any] | None:
    """The next client of a TCP socket: a descriptor that does not block, and the address as
    `socket.accept` has it; None when there is nobody. Raises OSError."""
    try:
        fd, address = listening._accept()  # type: ignore[attr-defined]  # accept() makes enums
    except BlockingIOError:
        return None
    os.set_blocking(fd, False)
    return fd, address


def dispatch(
    poller: epoll,
    selectables: dict[int, Any],
    timeout: float,
    otherwise: Callable[[Any, int, int], None],
    disconnect: Callable[[Any, Any, bool], None],
) -> None:
    """Wait once, for so many seconds or for ever below 0, and call `doRead` of whoever can read.

    Other events go to `otherwise`, with the descriptor and the event; who is lost to `disconnect`,
    with the reason and True.
    """
    try:
        ready = poller.poll(timeout, _MOST_EVENTS)
    except InterruptedError:
        return
    for fd, event in ready:
        selectable = selectables.get(fd)
        if selectable is None:
            continue
        if event != EPOLLIN:
            otherwise(selectable, fd, event)
            continue
        try:
            why = selectable.doRead()
        except Exception as error:  # one connection's fault must not end the loop
            _log.failure("A connection failed while reading")
            why = error
        if why:
            disconnect(selectable, why, True)
