"""The listening sockets: bound by the supervisor, one per worker and address, and kept open.

The kernel spreads connections over sockets that share an address by SO_REUSEPORT, so each worker
has its own and none wakes in vain. As the supervisor keeps them open, connections that wait for a
worker that died are served by its successor. Unix sockets cannot be shared so; there is one for
all workers.

Binding and listening are two steps. A socket is bound, and an occupied port noticed, before any
worker hears of it; it listens only when the configuration that asks for it is decided. A bound
socket that does not listen refuses connections, so an undecided one does no harm.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress

from veloflux.core.model.address import Address

# The kernel lowers it to net.core.somaxconn.
BACKLOG = 65_535


class ListenError(Exception):
    """An address cannot be listened on; the text says which, why, and the way out."""


def bind(address: Address, *, shared: bool = False, alone: bool = True) -> socket.socket:
    """Bind a stream socket, not blocking and not yet listening.

    With `shared`, further sockets may be bound to the same address. With `alone` it is made sure
    first that nobody else listens there: SO_REUSEPORT alone would let a second daemon of the same
    user steal half of the traffic without a word.

    Raises ListenError.
    """
    try:
        if address.path:
            return _bind_unix(address.path)
        family, sockaddr = _resolve(address)
        if alone and address.port:
            _bind_inet(family, sockaddr, shared=False).close()
        return _bind_inet(family, sockaddr, shared=shared)
    except UnicodeError:
        raise ListenError(f"cannot listen on {address}: that is no possible host name") from None
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {_explain(address, error)}") from error


def _resolve(address: Address) -> tuple[int, tuple[str, int] | tuple[str, int, int, int]]:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr  # type: ignore[return-value]  # typeshed allows for no IPv6 support


def _bind_inet(family: int, sockaddr: tuple[object, ...], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # An address means what it says: [::] is not 0.0.0.0 as well.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(sockaddr)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: str) -> socket.socket:
    _clear_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(path)
        # As with other servers, the directory says who may connect.
        os.chmod(path, 0o666)  # noqa: S103  # see above
    except OSError:
        sock.close()
        raise
    return sock


def _clear_stale(path: str) -> None:
    """Remove the socket that a process which is gone left behind."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "there is a file of that name which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # its queue is full, so somebody listens
    raise OSError(errno.EADDRINUSE, "Address already in use")


def _explain(address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}; is {address.host!r} a name of this machine?"
    match error.errno:
        case errno.EADDRINUSE:
            where = (
                f"`lsof {address.path}`" if address.path else f"`ss -ltnp sport = :{address.port}`"
            )
            return (
                f"another process listens there; stop it ({where} names it) or change the address"
            )
        case errno.EACCES if not address.path and address.port < 1024:
            return (
                "permission denied; a port below 1024 needs root at the start (twistd --uid drops "
                "it later) or the capability CAP_NET_BIND_SERVICE; or choose a higher port"
            )
        case errno.EACCES | errno.EPERM:
            return "permission denied; may this user write to the directory?"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address; `ip address` lists those it has"
        case errno.EMFILE | errno.ENFILE:
            return "no descriptor is left; raise the limit (LimitNOFILE, ulimit -n)"
    return f"{error.strerror}"


def _shut(sock: socket.socket) -> None:
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

    def listen(self) -> None:
        """Let connections come in, on every socket.

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
                    _shut(other)
                why = _explain(address, error)
                raise ListenError(f"cannot listen on {address}: {why}") from error

    def retain(self, addresses: Iterable[Address], workers: int) -> None:
        """Close every socket but those."""
        self._cut({address: 1 if address.path else workers for address in addresses})

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
