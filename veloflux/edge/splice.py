"""Bytes from one socket to another without coming into this process: splice(2) through a pipe.

For bodies of known length, and for tunnels while much goes through them: to copy a little costs
less. A pipe is borrowed while it has bytes in it, so an idle tunnel holds none.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.main import CONNECTION_LOST

from veloflux.edge.transport import WriteNow

# A megabyte moves in two system calls; the kernel may grant less to a user with many pipes.
_PIPE_BYTES = 1 << 20
_POOLED = 64
# What a socket holds at once; below it, copying costs as little.
WORTH_BYTES = 128 * 1024
# Where the end is not known, a read of so much says that more is to come, and one of so little that
# nothing is.
MUCH_BYTES = 64 * 1024
_LITTLE_BYTES = 16 * 1024

# A socket that cannot be spliced, or no descriptors for a pipe.
_COPY_INSTEAD = frozenset((errno.EINVAL, errno.EMFILE, errno.ENFILE))

_pipes: list[tuple[int, int]] = []


def can_splice(source: Any, sink: Any) -> bool:
    """Whether both are plain sockets of ours, with nothing queued on the way."""
    return (
        hasattr(os, "splice")
        and isinstance(source, WriteNow)
        and isinstance(sink, WriteNow)
        and not sink.unsent
    )


class Splice:
    """One direction. `left` is how many bytes to move, None for as long as there are many.

    `moved` is called with the count of bytes taken from the source, `done` when those were the
    last, or few, and the sink has them all; the end of the source is told by its own protocol.
    `full` and `room` are called when the sink takes no more and when it has taken what the pipe
    held.
    """

    def __init__(
        self,
        source: Any,
        sink: Any,
        left: int | None,
        *,
        full: Callable[[], None],
        room: Callable[[], None],
        moved: Callable[[int], None],
        done: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._left = left
        self._full = full
        self._room = room
        self._moved = moved
        self._done = done
        self._pipe: tuple[int, int] | None = None
        self._is_last = False
        self.pending = 0
        source.doRead = self._read

    def stop(self) -> None:
        """Give the source back to its protocol, and what is in the pipe to the sink's own queue: it
        is owed that, whatever became of the source."""
        if self._source.__dict__.get("doRead") == self._read:
            del self._source.doRead
        if self._sink.feeder is self:
            self._sink.fed()
        if self._pipe is not None and self.pending and self._sink.connected:
            left, self.pending = self.pending, 0
            self._sink.write(os.read(self._pipe[0], left))
        self._return_pipe()

    def flush(self) -> Any:
        """The sink is writable: send on what the pipe holds. Returns as `doWrite` does."""
        try:
            self._drain()
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        self._sink.fed()
        self._room()
        self._end_if_done()
        return None

    def _read(self) -> Any:
        want = _PIPE_BYTES if self._left is None else min(self._left, _PIPE_BYTES)
        try:
            pipe = self._pipe = _borrow()
            count = os.splice(self._source.fileno(), pipe[1], want, flags=_FLAGS)
        except BlockingIOError:
            self._return_pipe()
            return None
        except OSError as error:
            self.stop()
            if error.errno in _COPY_INSTEAD:
                return self._source.doRead()
            return CONNECTION_LOST
        if not count:
            self.stop()
            return self._source.doRead()
        self.pending = count
        if self._left is None:
            self._is_last = count < _LITTLE_BYTES
        else:
            self._left -= count
            self._is_last = not self._left
        self._moved(count)
        try:
            self._drain()
        except OSError:
            # Full, or broken: the reactor tells which, by the sink's own means.
            self._sink.feed_from(self)
            self._full()
            return None
        self._end_if_done()
        return None

    def _drain(self) -> None:
        assert self._pipe is not None
        while self.pending:
            self.pending -= os.splice(
                self._pipe[0], self._sink.fileno(), self.pending, flags=_FLAGS
            )
        self._return_pipe()

    def _end_if_done(self) -> None:
        if self._is_last:
            self.stop()
            self._done()

    def _return_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        if self.pending or len(_pipes) >= _POOLED:
            self.pending = 0
            os.close(pipe[0])
            os.close(pipe[1])
        else:
            _pipes.append(pipe)


_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


def _borrow() -> tuple[int, int]:
    """An empty pipe. Raises OSError when there are no descriptors left."""
    if _pipes:
        return _pipes.pop()
    pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with suppress(OSError):
        fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return pipe
