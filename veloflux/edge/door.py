"""Where connections come in that other workers have accepted."""

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor

from veloflux.edge.accept import AT_ONCE
from veloflux.edge.transport import NOT_BLOCKING

_LONGEST_NAME = 512
_DESCRIPTOR_BYTES = 4


def receive(door: socket.socket) -> tuple[str, int | None]:
    """The address where a connection was accepted, and its descriptor.

    Without a descriptor there was none left for it; without an address, too, nobody has the other
    end any more. Raises BlockingIOError when nothing is there. (`socket.recv_fds` does not pass its
    flags on in Python 3.11, and then programs that are started would have the connection.)
    """
    name, found, _, _ = door.recvmsg(
        _LONGEST_NAME, socket.CMSG_LEN(_DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC
    )
    return name.decode(), int.from_bytes(found[0][2], sys.byteorder) if found else None


class Door(FileDescriptor):
    """Takes what comes in to the port that `port_at` has for its address, None for none.

    `on_taken` is called after each.
    """

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        port_at: Callable[[str], Any],
        on_taken: Callable[[], None],
    ) -> None:
        super().__init__(reactor)
        self._sock = sock
        self._port_at = port_at
        self._on_taken = on_taken

    def fileno(self) -> int:
        return self._sock.fileno()

    def doRead(self) -> None:
        for _ in range(AT_ONCE):
            try:
                address, descriptor = receive(self._sock)
            except BlockingIOError:
                return
            port = self._port_at(address)
            if descriptor is not None:
                self._take(port, descriptor)
            elif port is not None:
                port.factory.refused(1)
            elif not address:
                self.stopReading()
                return

    def _take(self, port: Any, descriptor: int) -> None:
        if port is None:
            # As with who waits in the queue of an address that is listened on no more.
            os.close(descriptor)
            return
        sock = socket.socket(port.addressFamily, NOT_BLOCKING, 0, descriptor)
        try:
            address = sock.getpeername()
        except OSError:
            # Gone already.
            sock.close()
            return
        # It may go on: whoever gave it did not know what waited here.
        port.place(sock, address)
        self._on_taken()

    def close(self) -> None:
        self.stopReading()
        self._sock.close()
