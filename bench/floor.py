"""The floor: about the least that Python on Twisted can do for a request. `floor.py PORT ORIGIN`

It has one origin, one route, no log, no deadline, no metric and no request bodies, and believes
the origin. What stands above it in the table is the price of everything else. Two things make it
quick, and are worth knowing: it sends before it queues, and its reactor calls a readable socket
directly instead of through the stock reactor's bookkeeping.
"""

import contextlib
import re
import select
import sys

from twisted.internet import epollreactor, error, main, protocol, tcp

# The strict shape of a head without a body, and of an answer with a stated length.
_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r\n"
ASKED = re.compile(rb"[A-Z]++ [!-~]++ HTTP/1\.1\r\n(?:" + _FIELD + rb")++\r\n")
BODY_COMES = re.compile(rb"\r\n(?:content-length|transfer-encoding):", re.I)
ANSWERED = re.compile(rb"HTTP/1\.1 [1-5]\d\d[^\r\n]*+\r\n(?:" + _FIELD + rb")*+\r\n")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*+(\d++)", re.I)


class Reactor(epollreactor.EPollReactor):
    """epoll, with the shortest way from an event to a socket that has something to read."""

    def doPoll(self, timeout: float | None) -> None:
        """Wait once, and hand each event to its socket."""
        try:
            events = self._poller.poll(-1 if timeout is None else timeout, 256)
        except InterruptedError:
            return
        for fd, event in events:
            owner = self._selectables.get(fd)
            if owner is None:
                continue
            if event == select.EPOLLIN:
                lost = owner.doRead()
                if lost:
                    self._disconnectSelectable(owner, lost, True)
            else:
                self._doReadOrWrite(owner, fd, event)

    doIteration = doPoll


class Prompt:
    """Reads once a turn, and writes to the socket at once when nothing waits before it."""

    def doRead(self):
        """Hand one read to the protocol; returns why the connection is lost, or None."""
        try:
            got = self.socket.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not got:
            return main.CONNECTION_DONE
        self.protocol.dataReceived(got)
        return None

    def write(self, block: bytes) -> None:
        """Send now what the socket takes, and queue the rest."""
        if self.connected and not (self.dataBuffer or self._tempDataBuffer or self.disconnecting):
            # After an error the queue meets the same one, and reports it as Twisted does.
            with contextlib.suppress(OSError):
                block = block[self.socket.send(block) :]
            if not block:
                return
        super().write(block)


class Accepted(Prompt, tcp.Server):
    """A client's connection."""


class Opened(Prompt, tcp.Client):
    """A connection to the origin."""


class Port(tcp.Port):
    """Listens, and makes prompt connections."""

    transport = Accepted


class Connector(tcp.Connector):
    """Connects, and makes prompt connections."""

    def _makeTransport(self):
        return Opened(self.host, self.port, self.bindAddress, self, self.reactor)


class Upstream(protocol.Protocol):
    """One connection to the origin; `client` is whom it serves now."""

    client = None
    unread = 0
    head = b""

    def connectionMade(self) -> None:
        """Serve the client that it was opened for."""
        self.transport.setTcpNoDelay(True)
        self.client, request = self.factory.waiting
        self.transport.write(request)

    def dataReceived(self, block: bytes) -> None:
        """Pass an answer on, and count it to its end."""
        if not self.unread:
            self.head += block
            head = ANSWERED.match(self.head)
            if head is None:
                return
            block, self.head = self.head, b""
            length = LENGTH.search(block, 0, head.end())
            self.unread = head.end() + (int(length[1]) if length else 0)
        self.unread -= len(block)
        client = self.client
        client.transport.write(block)
        if not self.unread:
            self.client = None
            idle.append(self)
            client.go_on()

    def connectionLost(self, reason=None) -> None:
        """An answer that was under way ends with its connection."""
        if self in idle:
            idle.remove(self)
        if self.client is not None:
            self.client.transport.abortConnection()


class Downstream(protocol.Protocol):
    """One client: requests in a row, one under way at a time."""

    pending = b""
    is_busy = False

    def connectionMade(self) -> None:
        """Prepare what every request of this client gets."""
        self.transport.setTcpNoDelay(True)
        self.told = b"X-Forwarded-For: %s\r\n\r\n" % self.transport.getPeer().host.encode()

    def dataReceived(self, block: bytes) -> None:
        """Forward a whole head; keep a part of one."""
        self.pending += block
        if self.is_busy:
            return
        head = ASKED.match(self.pending)
        if head is None:
            if b"\r\n\r\n" in self.pending:
                self.transport.abortConnection()
            return
        end = head.end()
        if BODY_COMES.search(self.pending, 0, end):
            self.transport.abortConnection()
            return
        request = self.pending[: end - 2] + self.told
        self.pending = self.pending[end:]
        self.is_busy = True
        if idle:
            upstream = idle.pop()
            upstream.client = self
            upstream.transport.write(request)
        else:
            factory = protocol.ClientFactory.forProtocol(Upstream)
            factory.noisy, factory.waiting = False, (self, request)
            Connector("127.0.0.1", ORIGIN, factory, 5, None, reactor).connect()

    def go_on(self) -> None:
        """The answer is through; take the next request if it is here."""
        self.is_busy = False
        if self.pending:
            self.dataReceived(b"")


idle: list[Upstream] = []
LISTEN, ORIGIN = int(sys.argv[1]), int(sys.argv[2])
reactor = Reactor()
main.installReactor(reactor)
front = protocol.Factory.forProtocol(Downstream)
front.noisy = False
try:
    Port(LISTEN, front, 4096, "127.0.0.1", reactor).startListening()
except error.CannotListenError as refused:
    sys.exit(str(refused))
reactor.run()
