"""TCP transports that send at once when nothing is queued.

Twisted queues each write and sends it in the loop's next turn, which costs two system calls and
that turn. These try the socket first and leave to Twisted's queue what it does not take; the
producer and consumer contract is untouched.
"""

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.main import CONNECTION_LOST

if TYPE_CHECKING:
    from veloflux.edge.splice import Splice

_READ_BYTES = 65536


class WriteNow:
    """Mixed in before a `tcp.Connection`.

    `feeder` is a splice whose pipe holds bytes for this transport; they go before anything queued.
    """

    feeder: "Splice | None" = None

    def doRead(self: Any) -> Any:
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
        if (
            self._tempDataLen
            or self.dataBuffer
            or self.feeder is not None
            or not self.connected
            or self._writeDisconnecting
            or self.disconnecting
        ):
            tcp.Connection.write(self, data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            # Full, or broken: the queue waits for the first and reports the second.
            sent = 0
        if sent < len(data):
            tcp.Connection.write(self, data[sent:])

    def doWrite(self: Any) -> Any:
        if self.feeder is not None:
            return self.feeder.flush()
        return super().doWrite()  # type: ignore[misc]  # the next in line has it

    def fed(self: Any) -> None:
        """The feeder is through: wait for room only if something else is to be done."""
        closing = self.disconnecting or self._writeDisconnecting
        if not (closing or self._tempDataLen or self.dataBuffer):
            self.stopWriting()

    def writeSequence(self: Any, iovec: Any) -> None:
        self.write(b"".join(iovec))

    @property
    def unsent(self: Any) -> int:
        """Bytes written but not yet taken by the system."""
        count: int = len(self.dataBuffer) - self.offset + self._tempDataLen
        return count + self.feeder.pending if self.feeder is not None else count


class Server(WriteNow, tcp.Server):
    """A client's connection."""

    def __init__(self, sock: socket.socket, *rest: Any) -> None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, *rest)


class Client(WriteNow, tcp.Client):
    """A connection to a backend."""


class UnixServer(WriteNow, unix.Server):
    """A client's connection over a Unix socket."""


class UnixClient(WriteNow, unix.Client):
    """A connection to a backend over a Unix socket."""


class Port(tcp.Port):
    transport = Server  # type: ignore[assignment]  # inferred as the stock class itself


class UnixPort(unix.Port):
    transport = UnixServer


class Connector(tcp.Connector):
    def _makeTransport(self) -> Client:
        return Client(self.host, self.port, self.bindAddress, self, self.reactor)


class UnixConnector(unix.Connector):
    def _makeTransport(self) -> UnixClient:  # type: ignore[override]  # annotated for TCP alone
        return UnixClient(self.address, self, self.reactor, self.checkPID)


def unsent(transport: Any) -> int:
    """Bytes `transport` still holds; 0 for a transport that cannot say."""
    count: int = getattr(transport, "unsent", 0)
    return count
