"""A kernel in memory: sockets without a network, and a reactor that turns only when told.

The transports on these sockets are the product's own (`veloflux.edge.transport`), so buffering,
pausing, half-closing and aborting are Twisted's and ours, not a double's idea of them.
"""

import errno
import select
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import error, posixbase, tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import BaseConnector
from twisted.internet.task import Clock
from twisted.logger import Logger

from veloflux.edge import transport
from veloflux.edge.reactor import LeanReactor

_log = Logger()
# What all sockets here give as their descriptor: a real one, so that nothing of this process is
# touched by mistake, and one of which splice(2) says that it cannot, so bytes are copied.
_UNSPLICEABLE = select.epoll()
_LINGER_NOT = struct.pack("ii", 1, 0)
# Rounds in which something was ready, before a loop is said never to rest.
_RESTLESS = 20_000
# Deadlines are kept to a tenth of a second.
_STEP_S = 0.1


class Socket:
    """The near end of a connection: what Twisted asks of a stream socket."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.peer = Peer(self)
        self.options: dict[tuple[int, int], Any] = {}
        self._arrived = bytearray()
        self._is_finished = False
        self._is_reset = False

    def fileno(self) -> int:
        return _UNSPLICEABLE.fileno()

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int) -> Any:
        return self.options.get((level, option), 0)

    @property
    def is_readable(self) -> bool:
        return bool(self._arrived) or self._is_finished or self._is_reset

    @property
    def is_writable(self) -> bool:
        return self.peer.window != 0 or self._is_reset or self.peer.is_closed

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self._is_reset:
            raise ConnectionResetError(errno.ECONNRESET, "reset by the peer")
        if self._arrived:
            taken = bytes(self._arrived[:size])
            if not flags & socket.MSG_PEEK:
                del self._arrived[:size]
            return taken
        if self._is_finished:
            return b""
        raise BlockingIOError(errno.EWOULDBLOCK, "nothing there")

    def send(self, sent: bytes) -> int:
        if self._is_reset or self.peer.is_closed or self.peer.ending:
            raise BrokenPipeError(errno.EPIPE, "nobody reads")
        room = len(sent) if self.peer.window is None else min(len(sent), self.peer.window)
        if not room:
            raise BlockingIOError(errno.EWOULDBLOCK, "no room")
        if self.peer.window is not None:
            self.peer.window -= room
        self.peer.received += bytes(sent[:room])
        return room

    def shutdown(self, how: int) -> None:
        self.peer.ending = "finished" if how == socket.SHUT_WR else "closed"

    def close(self) -> None:
        linger = self.options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        self.peer.ending = "reset" if linger == _LINGER_NOT else "closed"

    # What the far end does to this one.

    def arrive(self, sent: bytes) -> None:
        self._arrived += sent

    def finish(self) -> None:
        self._is_finished = True

    def reset(self) -> None:
        self._is_reset = True

    @property
    def unread(self) -> int:
        """Bytes that arrived and were not read."""
        return len(self._arrived)

    @property
    def footprint(self) -> int:
        """Bytes of memory that are the network's, both ways."""
        return sys.getsizeof(self._arrived) + sys.getsizeof(self.peer.received)


class Peer:
    """The far end, in the hands of the test.

    `window` is how many bytes it still takes, None for any number; `ending` is how the near end
    ended: None, `finished` (half-closed), `closed` or `reset`.
    """

    def __init__(self, near: Socket) -> None:
        self.near = near
        self.received = bytearray()
        self.window: int | None = None
        self.ending: str | None = None
        self.is_closed = False


class _Accepted:
    """A client's connection."""

    client_address: Any

    def getPeer(self) -> Any:
        return self.client_address

    def getHost(self) -> Any:
        return IPv4Address("TCP", "127.0.0.1", 80)


class _Dialled:
    """A connection to a backend, under way or made."""

    def __init__(self, sock: Socket, connector: "Connector") -> None:
        tcp.Connection.__init__(self, sock, None, connector.reactor)  # type: ignore[arg-type]
        self.connector = connector

    def getPeer(self) -> Any:
        return self.connector.getDestination()

    def getHost(self) -> Any:
        return IPv4Address("TCP", "127.0.0.1", 50000)


class LeanServer(_Accepted, transport.Server):
    """As the lean reactor makes them."""


class LeanClient(_Dialled, transport.Client):
    """As the lean reactor makes them."""


class StockServer(_Accepted, tcp.Server):
    """As any other reactor makes them."""


class StockClient(_Dialled, tcp.Client):
    """As any other reactor makes them."""


class Connector(BaseConnector):
    """One attempt to connect; `made` and `failed` are the network's answers."""

    def __init__(self, reactor: "StockReactor", host: str, port: int, factory: Any, timeout: float):
        super().__init__(factory, timeout, reactor)  # type: ignore[arg-type]
        self.host = host
        self.port = port

    def _makeTransport(self) -> Any:
        self.socket = self.reactor.open_socket()
        return self.reactor.client(self.socket, self)

    def getDestination(self) -> Any:
        kind = IPv6Address if ":" in self.host else IPv4Address
        return kind("TCP", self.host, self.port)

    def made(self) -> Peer | None:
        """The other end accepted; None when nobody waits for it any more."""
        if self.state != "connecting":
            return None
        made: Any = self.transport
        made._connectDone()
        return self.socket.peer

    def failed(self, number: int) -> None:
        """The system says `number`, an errno."""
        if self.state == "connecting":
            failed: Any = self.transport
            failed.failIfNotConnected(error.getConnectError((number, errno.errorcode[number])))


class Port:
    """A listening port whose queue the test fills."""

    _realPortNumber = 80

    def __init__(self, reactor: "StockReactor", factory: Any) -> None:
        self.reactor = reactor
        self.factory = factory
        self.is_listening = True
        self.waiting: list[Any] = []

    def accept(self, address: Any) -> Peer | None:
        """A connection from `address`; None when it was turned away."""
        sock = self.reactor.open_socket()
        protocol = self.factory.buildProtocol(address)
        if protocol is None:
            sock.close()
            return None
        where = (address.host, address.port)
        made = self.reactor.server(sock, protocol, where, self, 0, self.reactor)
        made.client_address = address
        protocol.makeConnection(made)
        return sock.peer

    def doRead(self) -> None:
        """Take one connection that waits."""
        if self.waiting:
            self.waiting.pop(0)()

    def stopListening(self) -> None:
        self.is_listening = False


class StockReactor(Clock):
    """Time, sockets and their readiness; nothing happens but in `turn` and `wait`.

    `network` is asked for each connection that is to be made: it keeps the Connector and calls one
    of its answers, or none.
    """

    server: Any = StockServer
    client: Any = StockClient
    _disconnectSelectable = posixbase._DisconnectSelectableMixin._disconnectSelectable

    def __init__(self, network: Callable[[Connector], None]) -> None:
        super().__init__()
        # 0.0 would look like no time at all.
        self.rightNow = 1000.0
        self.ports: list[Port] = []
        self._network = network
        self._sockets: list[Socket] = []
        self._readers: dict[Any, None] = {}
        self._writers: dict[Any, None] = {}

    def open_socket(self) -> Socket:
        self._sockets.append(Socket())
        return self._sockets[-1]

    # What transports and the service ask for

    def addReader(self, reader: Any) -> None:
        self._readers[reader] = None

    def addWriter(self, writer: Any) -> None:
        self._writers[writer] = None

    def removeReader(self, reader: Any) -> None:
        self._readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        self._writers.pop(writer, None)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        connector = Connector(self, host, port, factory, timeout)
        connector.connect()
        self.callLater(0, self._network, connector)
        return connector

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Port:
        port = Port(self, factory)
        self.ports.append(port)
        return port

    # What the test asks for

    @property
    def descriptors(self) -> int:
        """How many sockets were opened and not closed."""
        return sum(sock.peer.ending in (None, "finished") for sock in self._sockets)

    def turn(self) -> None:
        """Go on until nothing is ready."""
        for _ in range(_RESTLESS):
            if not self.step():
                return
        raise AssertionError("the loop never rests")

    def step(self) -> bool:
        """Go round once, as a reactor does: the calls that are due by now, then who is ready.

        Says whether there was anything to do.
        """
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        self._before_waiting()
        return self._dispatch() or bool(due)

    def wait(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        for _ in range(round(seconds / _STEP_S)):
            self.advance(_STEP_S)
            self.turn()

    def _before_waiting(self) -> None:
        """What a reactor does before it waits for events."""

    def _dispatch(self) -> bool:
        was_busy = False
        for reader in list(self._readers):
            if reader in self._readers and reader.socket.is_readable:
                was_busy = True
                self._act(reader, reader.doRead, is_read=True)
        for writer in list(self._writers):
            if writer in self._writers and writer.socket.is_writable:
                was_busy = True
                self._act(writer, writer.doWrite, is_read=False)
        return was_busy

    def _act(self, selectable: Any, act: Callable[[], Any], *, is_read: bool) -> None:
        try:
            why = act()
        except Exception as problem:  # as reactors do; trial then fails the test
            _log.failure("A connection failed")
            why = problem
        if why:
            self._disconnectSelectable(selectable, why, is_read)


class Reactor(StockReactor):
    """With the product's transports, as `veloflux.edge.reactor` has them."""

    server = LeanServer
    client = LeanClient

    def __init__(self, network: Callable[[Connector], None]) -> None:
        super().__init__(network)
        self._closing: list[Any] = []

    def close_soon(self, closing: Any) -> None:
        self._closing.append(closing)

    def forget(self, closed: Any) -> None:
        self.removeReader(closed)
        self.removeWriter(closed)

    _before_waiting = LeanReactor._close_all
