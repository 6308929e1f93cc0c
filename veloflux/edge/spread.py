"""Connections go to the worker that has fewest, of whatever kind they are.

The kernel has chosen a worker, and that one accepts. When it is ahead of another, it gives the
socket away before anything is read: through the door of the other, a Unix socket that takes
descriptors (unix(7), SCM_RIGHTS). Workers see on the board how many descriptors clients of each
have. Nobody waits: a door that is full, or closed, or of a worker that does not yet serve by the
same configuration, is passed by, and the connection stays.
"""

import socket
from collections.abc import Mapping
from fcntl import ioctl
from struct import Struct
from termios import TIOCOUTQ
from typing import Any

from veloflux.core.policy.spread import is_ahead, is_worth_it
from veloflux.edge.board import ROOM, VERSION, Board
from veloflux.edge.door import Door
from veloflux.edge.plane import Plane

# A worker's room is this less what it has; none is for one that takes nobody.
_ALL = 1 << 30
_VERSIONS = 0x7FFF_FFFF
# What the kernel counts for one short message (SIOCOUTQ, which is TIOCOUTQ by another name).
_MESSAGE_BYTES = 768
# A worker that does not come to its door is not given more.
_MOST_WAITING = 8

_integer = Struct("i")
_EMPTY = _integer.pack(0)


class Spread:
    """One worker's part: what it gives, and what it takes; nothing without a board."""

    def __init__(self, plane: Plane, board: Board | None) -> None:
        # Those it takes for, by address.
        self._ports: Mapping[str, Any] = {}
        self._plane = plane
        self._board = board
        self._door: Door | None = None
        self._doors: dict[int, socket.socket] = {}
        self._version = 0
        self._taken = 0
        self._is_on = False
        self._is_worth_it = True

    def configure(self, ports: Mapping[str, Any]) -> None:
        """Take to the plane's configuration, which has these ports, by address."""
        self.retire()
        self._ports = dict(ports)
        plane, board = self._plane, self._board
        if board is None:
            return
        self._room = board.cell(ROOM, plane.workers)
        self._versions = board.cell(VERSION, plane.workers)
        self._version = plane.version & _VERSIONS
        self._versions.put(self._version)
        self._is_on = plane.workers > 1 and not plane.is_draining
        if self._is_on:
            for port in ports.values():
                port.spread = self
        self.tell()

    def meet(self, row: int, descriptor: int) -> None:
        """Own the descriptor that leads to the worker with this row of the board; or, when it is
        our own row, by which others lead to us."""
        door = socket.socket(fileno=descriptor)
        door.setblocking(False)
        if self._board is not None and self._board.row == row:
            self._door = Door(self._plane.reactor, door, self._port_at, self.tell)
            self._door.startReading()
        else:
            self._doors[row] = door

    def look(self, seconds: float) -> None:
        """Judge by the last so many seconds, and tell the others how it is now."""
        if self._is_on:
            self._is_worth_it = is_worth_it(self._taken, seconds, self._plane.descriptors)
            self._taken = 0
            self.tell()

    def tell(self) -> None:
        """Let the others know how many are here now."""
        if self._is_on:
            self._room.put(_ALL - self._plane.descriptors)

    def gives(self, sock: Any, name: bytes) -> bool:
        """Whether another worker has it now, or soon; `name` is the port's. The socket stays the
        caller's, to close or to serve."""
        self._taken += 1
        if not self._is_worth_it:
            return False
        mine = self._plane.descriptors
        # As it is when the connection stays.
        self._room.put(_ALL - mine - 1)
        rooms = self._room.each()
        most = max(rooms)
        least = _ALL - most
        if is_ahead(mine, least):
            row = rooms.index(most)
            door = self._doors.get(row)
            if (
                door is not None
                and self._versions.each()[row] == self._version
                and _gave(door, sock, name, mine, least)
            ):
                self.tell()
                return True
        return False

    def retire(self) -> None:
        """Give no more, and be given no more; what comes still is taken."""
        for port in self._ports.values():
            port.spread = None
        if self._is_on:
            self._room.put(0)
            self._is_on = False

    def _port_at(self, address: str) -> Any:
        return self._ports.get(address)

    def close(self) -> None:
        """Let go of every door."""
        self.retire()
        for door in self._doors.values():
            door.close()
        self._doors.clear()
        if self._door is not None:
            self._door.close()
            self._door = None


def _gave(door: socket.socket, sock: Any, name: bytes, mine: int, least: int) -> bool:
    """Whether it is through the door, to one that has `least` and perhaps some that wait there."""
    try:
        [waiting] = _integer.unpack(ioctl(door.fileno(), TIOCOUTQ, _EMPTY))
        waiting //= _MESSAGE_BYTES
        if waiting >= _MOST_WAITING or not is_ahead(mine, least + waiting):
            return False
        socket.send_fds(door, [name], [sock.fileno()])
    except OSError:
        # Full, or too many descriptors are on their way: it is served here.
        return False
    return True
