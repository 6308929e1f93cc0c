"""TCP transports that send at once when nothing is queued.

Twisted queues each write and sends it in the loop's next turn, which costs two system calls and
that turn. These try the socket first and leave to Twisted's queue what it does not take; the
producer and consumer contract is untouched.
"""

import socket
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv6Address
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import connectionDone

from veloflux.edge.accept import AcceptAll
from veloflux.edge.direct import Direct, accept

if TYPE_CHECKING:
    from veloflux.edge.splice import Splice

# The type of a socket whose descriptor does not block: Python takes it as said, and asks nobody.
NOT_BLOCKING = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


class WriteNow(Direct):
    """Mixed in before a `tcp.Connection`.

    `feeder` is a splice whose pipe holds bytes for this transport; they go before anything queued.
    """

    feeder: "Splice | None" = None
    # Nobody else has the descriptor: closing it ends the connection just as well.
    _shouldShutdown = False

    def queue(self: Any, data: bytes) -> None:
        """What the socket did not take at once waits in Twisted's way."""
        tcp.Connection.write(self, data)

    def writeSequence(self: Any, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def doWrite(self: Any) -> Any:
        if self.feeder is not None:
            return self.feeder.flush()
        result = super().doWrite()  # type: ignore[misc]  # the next in line has it
        self.is_clear = result is None and not self._is_busy()
        return result

    def feed_from(self: Any, feeder: "Splice") -> None:
        """Send what `feeder` holds as soon as there is room."""
        self.feeder = feeder
        self.is_clear = False
        self.startWriting()

    def fed(self: Any) -> None:
        """The feeder is through, or gives up."""
        self.feeder = None
        if self.connected and not self._is_busy():
            self.is_clear = True
            self.stopWriting()

    def loseConnection(self: Any, *rest: Any) -> None:
        was_clear, self.is_clear = self.is_clear, False
        if (
            was_clear
            and self.connected
            and self.producer is None
            and hasattr(self.reactor, "close_soon")
        ):
            self.disconnecting = 1
            self.reactor.close_soon(self)
        else:
            super().loseConnection(*rest)  # type: ignore[misc]  # the next in line has it

    def end(self: Any) -> None:
        """Close a connection that has nothing to send, for a reactor that was asked to."""
        self.reactor._disconnectSelectable(self, CONNECTION_DONE, False)

    def loseWriteConnection(self: Any) -> None:
        self.is_clear = False
        super().loseWriteConnection()  # type: ignore[misc]  # the next in line has it

    def abortConnection(self: Any) -> None:
        self.is_clear = False
        super().abortConnection()  # type: ignore[misc]  # the next in line has it

    def connectionLost(self: Any, reason: Any) -> None:
        self.is_clear = False
        super().connectionLost(reason)  # type: ignore[misc]  # the next in line has it

    @property
    def unsent(self: Any) -> int:
        """Bytes written but not yet taken by the system."""
        if self.is_clear:
            return 0
        count: int = len(self.dataBuffer) - self.offset + self._tempDataLen
        return count + self.feeder.pending if self.feeder is not None else count

    def _is_busy(self: Any) -> bool:
        return bool(
            self._tempDataLen
            or self.dataBuffer
            or self.feeder is not None
            or self.disconnecting
            or self._writeDisconnecting
            or self._aborting
        )


class Server(WriteNow, tcp.Server):
    """A client's connection. Nagle's algorithm is off by the listening socket."""

    logstr = "a client"

    def __init__(
        self,
        sock: socket.socket,
        protocol: Any,
        client: Any,
        server: Any,
        number: int,
        reactor: Any,
    ) -> None:
        """As `tcp.Server`, less the texts it makes of every connection for a log line; `sock` does
        not block."""
        FileDescriptor.__init__(self, reactor)
        self.socket = sock
        self.fileno = sock.fileno
        self.protocol = protocol
        self.client = client
        self.server = server
        self.sessionno = number
        self.hostname = client[0]
        if len(client) != 2:
            self._addressType = IPv6Address
        self.startReading()
        self.connected = 1

    def end(self) -> None:
        if self.producer is not None or not self.connected:
            super().end()
            return
        # What `connectionLost` does, less what the closing of a descriptor does by itself.
        reactor: Any = self.reactor
        reactor.forget(self)
        self.connected, self.disconnected = 0, 1
        sock, protocol = self.socket, self.protocol
        del self.socket, self.fileno, self.protocol
        try:  # noqa: SIM105  a context manager takes longer than the close
            sock.close()
        except OSError:
            pass
        protocol.connectionLost(connectionDone)

    def __repr__(self) -> str:
        return f"<connection {self.sessionno} from {self.hostname}>"


def _nothing() -> None:
    """What a connection does that was never made."""


class _Dialled(WriteNow):
    """What knows its connector, and is known by it: no longer than the connection lives, or what
    is still unsent then would wait for a garbage collection. Nor does it know itself when it could
    not connect."""

    def failIfNotConnected(self: Any, err: Any) -> None:
        super().failIfNotConnected(err)  # type: ignore[misc]  # the next in line has it
        if not self.connected:
            # What has become readable and writable at once is still asked to write.
            self.doRead = self.doWrite = _nothing

    def connectionLost(self: Any, reason: Any) -> None:
        super().connectionLost(reason)
        self.__dict__.pop("connector", None)


class Client(_Dialled, tcp.Client):
    """A connection to a backend."""


class UnixServer(WriteNow, unix.Server):
    """A client's connection over a Unix socket."""


class UnixClient(_Dialled, unix.Client):
    """A connection to a backend over a Unix socket."""


class Host(msgspec.Struct, gc=False):
    """Where a client is: all that the factory asks of an address."""

    host: str


class Port(AcceptAll, tcp.Port):
    """Accepts without the stock port's log buffer, which it builds for each round."""

    transport = Server  # type: ignore[assignment]  # inferred as the stock class itself

    _MOST_ACCEPTS = 64

    def _buildAddr(self, address: Any) -> Any:
        return Host(address[0])

    def startListening(self) -> None:
        super().startListening()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def doRead(self) -> None:
        serve = self.serve if self.spread is None else self.place
        limit = self.numberAccepts
        accepted = 0
        while accepted < limit:
            try:
                found = accept(self.socket)
            except OSError as error:
                if self.is_short(error):
                    break
                continue
            if found is None:
                break
            accepted += 1
            fd, address = found
            # Without what the class above it adds in Python.
            serve(socket.SocketType(self.addressFamily, NOT_BLOCKING, 0, fd), address)
        # The last call of a round that found nobody is saved where one comes at a time.
        self.numberAccepts = min(2 * limit, self._MOST_ACCEPTS) if accepted == limit else 1


class _SharedPort(unix.Port):
    """On a socket that all workers share: its name and its end are the supervisor's."""

    # It would end the listening for all of them.
    _shouldShutdown = False

    def startListening(self: Any) -> None:
        # The stock port changes the rights of the name, and the backlog.
        self.socket, self._preexistingSocket = self._preexistingSocket, None
        self.factory.doStart()
        self.fileno = self.socket.fileno
        self.connected = True
        self.startReading()

    def connectionLost(self, reason: Any) -> None:
        # The stock port removes the name.
        tcp.Port.connectionLost(self, reason)


class UnixPort(AcceptAll, _SharedPort):
    transport = UnixServer


class Connector(tcp.Connector):
    def _makeTransport(self) -> Client:
        return Client(self.host, self.port, self.bindAddress, self, self.reactor)


class UnixConnector(unix.Connector):
    def _makeTransport(self) -> UnixClient:  # type: ignore[override]  # annotated for TCP alone
        return UnixClient(self.address, self, self.reactor, self.checkPID)


def unsent(transport: Any) -> int:
    """Bytes `transport` still holds, one of ours or a stock one."""
    count: int | None = getattr(transport, "unsent", None)
    if count is None:
        count = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return count


def is_cut(transport: Any) -> bool:
    """Whether the peer of a connection has closed it, though the loop has not come to that yet;
    False for a transport that has no socket to ask."""
    sock = getattr(transport, "socket", None)
    if sock is None:
        return False
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def has_ended(transport: Any) -> bool:
    """Whether the peer of an idle connection has closed it, or sent what nobody asked for, though
    the loop has not come to that yet; False for a transport that has no socket to ask."""
    sock = getattr(transport, "socket", None)
    if sock is None:
        return False
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
