"""Binds one address, and says in an operator's words why that cannot be."""

import errno
import os
import socket
import stat

from veloflux.core.model.address import Address


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
        raise ListenError(f"cannot listen on {address}: {explain(address, error)}") from error


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


def explain(address: Address, error: OSError) -> str:
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
