"""Which of the sockets that share an address get connections (SO_REUSEPORT, socket(7)).

Whoever waits in the queue of a socket that is closed is reset, though others listen at the same
address. So before one is closed, no more is led to it: a program of two steps, in the classic
language of packet filters, chooses among the others by lot.
"""

import ctypes
import socket
import struct
from contextlib import suppress

# <asm-generic/socket.h>; the socket module has no names for them.
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68
# <linux/filter.h>: load a random number, take the rest of its division, return it.
_STEP = struct.Struct("HBBI")
_LOAD, _MODULO, _RETURN = 0x20, 0x94, 0x16
_RANDOM = 0x1_0000_0000 - 0x1000 + 56


def narrow(sock: socket.socket, count: int) -> None:
    """Lead connections to the `count` sockets of this one's group that listen for longest.

    Where the system cannot, some that wait when the others are closed are reset.
    """
    program = b"".join(
        _STEP.pack(code, 0, 0, k) for code, k in ((_LOAD, _RANDOM), (_MODULO, count), (_RETURN, 0))
    )
    steps = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HP", len(program) // _STEP.size, ctypes.addressof(steps))
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, described)


def widen(sock: socket.socket) -> None:
    """Lead them to all again, by the kernel's own choice."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)
