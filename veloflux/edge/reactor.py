"""An epoll reactor that takes the short way for the commonest event, with lean transports.

The stock reactor wraps every event in a logging context and asks for the descriptor's number
twice. A plain "readable" needs neither. The stock loop looks for calls that are due before each
wait in three places; here one comparison tells that there are none. Everything else takes the stock
way, so Twisted's semantics stand. Any other reactor works as well, slower.
"""

import socket
from select import EPOLLIN
from time import monotonic
from typing import Any

from twisted.internet import epollreactor
from twisted.internet.main import installReactor
from twisted.logger import Logger

from veloflux.edge.direct import dispatch
from veloflux.edge.transport import Connector, Port, UnixConnector, UnixPort

_log = Logger()


class LeanReactor(epollreactor.EPollReactor):
    """Dispatches EPOLLIN directly, and measures intervals on the monotonic clock."""

    # Monotonic: a stepped wall clock must not fire or delay a timeout.
    seconds = staticmethod(monotonic)

    def __init__(self) -> None:
        self._closing: list[Any] = []
        super().__init__()

    def addReader(self, reader: Any) -> None:
        fd = reader.fileno()
        if fd in self._selectables:
            super().addReader(reader)
            return
        try:
            self._poller.register(fd, EPOLLIN)
        except OSError:
            # Not for epoll, perhaps, but for the stock way.
            super().addReader(reader)
            return
        self._reads.add(fd)
        self._selectables[fd] = reader

    def close_soon(self, transport: Any) -> None:
        """Close `transport` before the loop waits again; its protocol is told then, not now.

        The stock way asks epoll when a socket without anything to send can be written to.
        """
        self._closing.append(transport)

    def _close_all(self) -> None:
        closing, self._closing = self._closing, []
        for transport in closing:
            try:
                if transport.unsent:
                    transport.startWriting()
                else:
                    transport.end()
            except Exception:  # the others are to be closed too
                _log.failure("A connection failed as it was closed")

    def forget(self, transport: Any) -> None:
        """Watch one no more whose descriptor is closed now: that takes it out of epoll, as nobody
        else has it (epoll(7))."""
        fd = transport.fileno()
        self._reads.discard(fd)
        self._writes.discard(fd)
        self._selectables.pop(fd, None)

    def doIteration(self, timeout: float | None) -> None:
        """Wait and dispatch until there is something else to do: a call is due, or one was made, or
        the loop is to end. With few connections each wait brings few events, and what is done once
        for each wait is done for every request."""
        while True:
            self.doPoll(timeout)
            if self._newTimedCalls or self.threadCallQueue or self._justStopped or not self.running:
                return
            timed = self._pendingTimedCalls
            if not timed:
                timeout = None
                continue
            timeout = timed[0].time - monotonic()
            if timeout <= 0:
                return

    def iterate(self, delay: float = 0) -> None:
        """One turn, as whoever calls this wants."""
        self.runUntilCurrent()
        self.doPoll(delay)

    def doPoll(self, timeout: float | None) -> None:
        if self._closing:
            while self._closing:
                self._close_all()
            if self._newTimedCalls or self._justStopped:
                # Who was told of a close wants more, and the wait was computed before.
                timeout = 0
        dispatch(
            self._poller,
            self._selectables,
            -1 if timeout is None else timeout,
            self._doReadOrWrite,
            self._disconnectSelectable,
        )

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        connector = Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def connectUNIX(
        self, address: Any, factory: Any, timeout: float = 30, checkPID: int = 0
    ) -> UnixConnector:
        connector = UnixConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        if addressFamily == socket.AF_UNIX:
            port = UnixPort._fromListeningDescriptor(self, fileDescriptor, factory)
        else:
            port = Port._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        port.startListening()
        return port


def install() -> LeanReactor:
    """Make a LeanReactor the process's reactor. Raises if there is one already."""
    reactor = LeanReactor()
    installReactor(reactor)
    return reactor
