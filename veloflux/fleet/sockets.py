"""The listening sockets: bound by the supervisor, one per worker and address, and kept open.

The kernel spreads connections over sockets that share an address by SO_REUSEPORT, so each worker
has its own and none wakes in vain; workers make that even (`veloflux.edge.spread`). As the
supervisor keeps them open, connections that wait for a worker that died are served by its
successor. Unix sockets cannot be shared so; there is one for all workers.

Binding and listening are two steps. A socket is bound, and an occupied port noticed, before any
worker hears of it; it listens only when the configuration that asks for it is decided. A bound
socket that does not listen refuses connections, so an undecided one does no harm.
"""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress

from veloflux.core.model.address import Address
from veloflux.fleet.bind import ListenError, bind, explain
from veloflux.fleet.narrowing import narrow, widen

# The kernel lowers it to net.core.somaxconn.
BACKLOG = 65_535


def shut(sock: socket.socket) -> None:
    """End the listening also for a worker's copy: closing ours would leave that one listening."""
    with suppress(OSError):  # one that does not listen yet
        sock.shutdown(socket.SHUT_RDWR)


class Sockets:
    """All listening sockets of the daemon, by address as configured and by worker."""

    def __init__(self) -> None:
        self._by_address: dict[Address, list[socket.socket]] = {}
        self._inodes: dict[str, tuple[int, int]] = {}

    def bind(self, addresses: Iterable[Address], workers: int) -> None:
        """Bind what is missing, so that each worker has a socket for each address.

        Raises ListenError, and then nothing changed.
        """
        before = {address: len(socks) for address, socks in self._by_address.items()}
        try:
            for address in addresses:
                self._bind_all(address, workers)
        except ListenError:
            self._cut(before)
            raise

    def listen(self) -> list[socket.socket]:
        """Let connections come in, on every socket; returns those that did not listen before.

        Raises ListenError, and then the sockets that did not listen before are shut for good.
        """
        silent = [
            (address, sock)
            for address, socks in self._by_address.items()
            for sock in socks
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ]
        for address, sock in silent:
            try:
                sock.listen(BACKLOG)
            except OSError as error:
                for _, other in silent:
                    shut(other)
                why = explain(address, error)
                raise ListenError(f"cannot listen on {address}: {why}") from error
            if not address.path:
                widen(sock)
        return [sock for _, sock in silent]

    def narrow(self, workers: int) -> None:
        """Lead no more connections to the sockets of any other workers than the first so many, so
        that none waits there when they are closed. It stays so until more listen: a lot is as even
        as the kernel's hash."""
        for address, socks in self._by_address.items():
            if not address.path and len(socks) > workers:
                narrow(socks[0], workers)

    def retain(self, addresses: Iterable[Address], workers: int) -> None:
        """Close every socket but those."""
        self._cut({address: 1 if address.path else workers for address in addresses})

    def hold(self) -> None:
        """Let nobody connect any more, and keep every address for a later `bind`.

        For a port, one socket stays that is bound and does not listen: so it is the same when the
        kernel chose it, and coming back needs no privilege that was dropped. A Unix socket is
        closed. Raises ListenError, and then nothing changed.
        """
        held: dict[Address, socket.socket] = {}
        try:
            for address in self._by_address:
                if not address.path:
                    held[address] = bind(self.actual(address), shared=True, alone=False)
        except ListenError:
            for sock in held.values():
                sock.close()
            raise
        for address, sock in held.items():
            self._by_address[address].insert(0, sock)
        self._cut(dict.fromkeys(held, 1))

    def close(self) -> None:
        """Close all."""
        self._cut({})

    def of(self, address: Address, worker: int) -> socket.socket:
        """Return the socket with which this worker serves this address."""
        return self._by_address[address][0 if address.path else worker]

    def actual(self, address: Address) -> Address:
        """Return where an address really is: the port that the kernel chose in place of 0."""
        socks = self._by_address[address]
        if address.path:
            return address
        name = socks[0].getsockname()
        return Address(host=address.host, port=name[1])

    def __contains__(self, address: Address) -> bool:
        return address in self._by_address

    def _bind_all(self, address: Address, workers: int) -> None:
        socks = self._by_address.setdefault(address, [])
        while len(socks) < (1 if address.path else workers):
            if socks:
                socks.append(bind(self.actual(address), shared=True, alone=False))
            else:
                socks.append(bind(address, shared=True, alone=not self._is_ours(address.port)))
                if address.path:
                    found = os.stat(address.path)
                    self._inodes[address.path] = (found.st_dev, found.st_ino)

    def _is_ours(self, port: int) -> bool:
        """Say whether we are on that port, maybe by another address that covers the same."""
        return any(
            socks and not address.path and socks[0].getsockname()[1] == port
            for address, socks in self._by_address.items()
        )

    def _cut(self, keep: dict[Address, int]) -> None:
        """Leave the first so many sockets of each address, and no other address."""
        for address in list(self._by_address):
            socks = self._by_address[address]
            while len(socks) > keep.get(address, 0):
                socks.pop().close()
            if not socks:
                del self._by_address[address]
                if address.path:
                    self._unlink(address.path)

    def _unlink(self, path: str) -> None:
        """Remove a Unix socket's name, unless somebody else has taken it meanwhile."""
        ours = self._inodes.pop(path, None)
        try:
            found = os.stat(path)
            if ours == (found.st_dev, found.st_ino):
                os.unlink(path)
        except OSError:
            # Gone already, or no longer ours to remove after the privileges were dropped; the next
            # start clears it.
            return
