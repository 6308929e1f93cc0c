"""A TCP server in threads of the test, for what no good server does."""

import contextlib
import socket
import threading
from collections.abc import Callable


class Server:
    """Gives each connection to `serve` in a thread of its own, and closes it afterwards.

    `opened` and `ended` count connections: the second is released when `serve` is through.
    """

    def __init__(self, serve: Callable[[socket.socket], None], receive_bytes: int = 0) -> None:
        self.opened = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self._serve = serve
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        if receive_bytes:
            # Of each connection's as well, which the kernel would widen to 32 MiB here and there.
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it listens, as in a configuration."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """End everything; `serve` sees its connection shut."""
        self._listening.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._sockets.append(connection)
            self.opened.release()
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(connection)
        self._sockets.remove(connection)
        self.ended.release()


def read_head(connection: socket.socket) -> bytes:
    """Read to the end of a request's or an answer's head, and what came with it."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed before the end of the head")
        read += piece
    return read


def read_all(connection: socket.socket) -> bytes:
    """Read until the other end is through."""
    read = b""
    while piece := connection.recv(65536):
        read += piece
    return read
