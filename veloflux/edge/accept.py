"""Taking clients from a listening socket, also when there are no descriptors left for them.

A client that waits keeps its socket readable, so a loop that cannot accept would spin. One
descriptor is therefore held in reserve: it is given up, whoever waits is accepted and closed, for
a refusal is better than silence, and it is taken back. Where that does not help, because the whole
system is short of something, the port rests for a moment.
"""

import errno
import os
import resource
import sys
from contextlib import suppress
from socket import SocketType
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

if TYPE_CHECKING:
    from veloflux.edge.spread import Spread

# Clients taken in one turn of the loop: who is connected has a claim to it too.
AT_ONCE = 64
REST_S = 0.1
_SHARE_PERCENT = 80

_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_log = Logger()


def share_of_clients() -> int:
    """How many descriptors clients may take up: the rest is for backends and for logs.

    A client that is refused can go elsewhere; one that is taken and has no backend cannot.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit * _SHARE_PERCENT // 100


class Reserve:
    """One descriptor that is open for nothing else."""

    _descriptor: int | None = None

    def fill(self) -> None:
        """Have one, if there is one to be had."""
        if self._descriptor is None:
            with suppress(OSError):
                self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def empty(self) -> None:
        """Make room for one other."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


# A process needs no second one, however many ports it has.
_reserve = Reserve()


class AcceptAll:
    """Mixed in before a `tcp.Port`, whose factory hears by `refused(count)` of those for whom there
    was no descriptor."""

    # Who may give clients to other workers, and how they know this port.
    spread: "Spread | None" = None
    name = b""

    def startListening(self: Any) -> None:
        _reserve.fill()
        super().startListening()  # type: ignore[misc]  # the next in line has it

    def doRead(self: Any) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if self.is_short(error):
                    return
            else:
                self.place(sock, address)

    def place(self: Any, sock: SocketType, address: Any) -> None:
        """Serve a client here, unless another worker does."""
        if self.spread is not None and self.spread.gives(sock, self.name):
            sock.close()
        else:
            self.serve(sock, address)

    def serve(self: Any, sock: SocketType, address: Any) -> None:
        """Connect a client's socket to what the factory builds."""
        transport = None
        try:
            protocol = self.factory.buildProtocol(self._buildAddr(address))
            if protocol is None:
                sock.close()
                return
            self.sessionno += 1
            transport = self.transport(sock, protocol, address, self, self.sessionno, self.reactor)
            protocol.makeConnection(transport)
        except Exception:  # one connection's fault must not close the port
            _log.failure("A connection failed as it was accepted")
            if transport is None:
                sock.close()
            else:
                # The reactor knows its descriptor, which is soon another's.
                transport.abortConnection()

    def is_short(self: Any, error: OSError) -> bool:
        """Whether it is for want of something that nobody can be accepted, and then refuse who
        waits. Else that one client is gone already, or a packet filter wants it gone."""
        if error.errno not in _SHORT:
            return False
        count = 0
        _reserve.empty()
        with suppress(OSError):
            while count < AT_ONCE:
                self.socket.accept()[0].close()
                count += 1
        _reserve.fill()
        self.factory.refused(count)
        if not count:
            self.stopReading()
            self.reactor.callLater(REST_S, self._rested)
        return True

    def _rested(self: Any) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()
