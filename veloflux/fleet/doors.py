"""The doors by which workers give each other connections: a pair of sockets for each board's row.

Like the listening sockets, they are kept by the supervisor, and given to every process that has the
row. So none is closed under a worker who is about to use it, and what lies behind the door of one
that died goes to another.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from veloflux.edge.door import receive
from veloflux.fleet.messages import Door

Send = Callable[[Door, int], None]


class _Pair(NamedTuple):
    inside: socket.socket
    outside: socket.socket


class Doors:
    """All of them, by row: `make` before a process starts, `open` when it has, `left` when it is
    gone."""

    def __init__(self) -> None:
        self._pairs: dict[int, _Pair] = {}
        self._sends: dict[int, Send] = {}

    def make(self, row: int) -> None:
        """Have one for this row, and let the others know. Raises OSError."""
        if row in self._pairs:
            return
        self._pairs[row] = pair = _Pair(*socket.socketpair(type=socket.SOCK_SEQPACKET))
        for end in pair:
            end.setblocking(False)
        for tell in self._sends.values():
            tell(Door(row), pair.outside.fileno())

    def open(self, row: int, send: Send) -> None:
        """Let the process that has this row now know its own door, and all others."""
        for each, pair in self._pairs.items():
            send(Door(each), (pair.inside if each == row else pair.outside).fileno())
        self._sends[row] = send

    def left(self, row: int) -> None:
        """Give what its process has not taken to others; without any, nobody needs a door."""
        self._sends.pop(row, None)
        if not self._sends:
            for pair in self._pairs.values():
                for end in pair:
                    end.close()
            self._pairs.clear()
        elif row in self._pairs:
            self._pass_on(row)

    def _pass_on(self, row: int) -> None:
        others = [self._pairs[each].outside for each in self._sends]
        with suppress(BlockingIOError):
            while True:
                address, descriptor = receive(self._pairs[row].inside)
                if descriptor is None:
                    continue
                for other in others:
                    with suppress(OSError):
                        socket.send_fds(other, [address.encode()], [descriptor])
                        break
                os.close(descriptor)
