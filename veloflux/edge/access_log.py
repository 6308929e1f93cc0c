"""The access log's destination: lines gather in memory and are written in batches by a thread.

A pipe that nobody reads or a disk that stalls can hold a thread for ever, but not the loop. What
does not fit the bound, or cannot be written, is dropped and counted.
"""

import os
import threading
from collections.abc import Callable, Iterator
from queue import Full, Queue
from select import PIPE_BUF

from twisted.logger import Logger

_STDOUT = 1
# Lines in a batch, and batches that may wait for a slow destination. Each batch wakes the thread,
# which takes the interpreter from the loop some times; so they are large.
_BATCH = 1000
_WAITING = 64

_log = Logger()


class AccessLog:
    """Takes lines and has them written to `path`, None for standard output."""

    def __init__(self, path: str | None, write: Callable[[int, bytes], int] = os.write) -> None:
        """Open the file. Raises OSError."""
        self.path = path
        self._put = write
        self._fd = _open(path)
        self._lines: list[str] = []
        self._batches: Queue[list[str] | None] = Queue(_WAITING)
        self._must_reopen = False
        self._is_closing = False
        self._is_failing = False
        # Whether what was written last ends in the middle of a line.
        self._is_torn = False
        # Each side of the queue counts its own.
        self._overflowed = 0
        self._failed = 0
        self._taken = 0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def take_dropped(self) -> int:
        """Lines lost since the last time."""
        lost = self._overflowed + self._failed - self._taken
        self._taken += lost
        return lost

    def append(self, line: str) -> None:
        """Take one line, which ends with a line feed."""
        self._lines.append(line)
        if len(self._lines) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand over what has gathered; to be called now and then."""
        if not self._lines:
            return
        batch, self._lines = self._lines, []
        try:
            self._batches.put_nowait(batch)
        except Full:
            self._overflowed += len(batch)

    def reopen(self) -> None:
        """Open the file anew before the next batch: it may have been moved away."""
        self._must_reopen = True

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is left, within `timeout_s`."""
        self.flush()
        self._is_closing = True
        try:
            self._batches.put(None, timeout=timeout_s)
        except Full:
            return
        self._thread.join(timeout_s)

    @property
    def is_over(self) -> bool:
        """Whether it is closed, and has written or lost all it had."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            if self._must_reopen and self.path is not None:
                self._open_anew(self.path)
            try:
                self._write(batch)
                self._is_failing = False
            except OSError as error:
                if not self._is_failing:
                    self._is_failing = True
                    _log.error(
                        "The access log {path} cannot be written, lines are dropped: {error}",
                        path=self.path or "on standard output",
                        error=error,
                    )
            if self._is_closing and self._batches.empty():
                # There may have been no room for the end.
                break
        if self.path is not None:
            os.close(self._fd)

    def _open_anew(self, path: str) -> None:
        """When that fails, where it was is better than nowhere."""
        self._must_reopen = False
        try:
            fd = _open(path)
        except OSError as error:
            _log.error(
                "The access log {path} cannot be opened anew, the old one is kept: {error}",
                path=path,
                error=error,
            )
        else:
            if not os.path.samestat(os.fstat(fd), os.fstat(self._fd)):
                self._is_torn = False
            os.close(self._fd)
            self._fd = fd

    def _write(self, batch: list[str]) -> None:
        """Raises OSError when not all of it could be written; the lines lost are counted."""
        pieces, left = _pieces(batch, is_file=os.path.isfile(self._fd)), b""
        try:
            if self._is_torn:
                self._write_some(b"\n")
            for left in pieces:
                while left:
                    left = left[self._write_some(left) :]
        except OSError:
            self._failed += sum(piece.count(b"\n") for piece in (left, *pieces))
            raise

    def _write_some(self, piece: bytes) -> int:
        """How many bytes were written; there may be no room for more."""
        count = self._put(self._fd, piece)
        self._is_torn = not piece.endswith(b"\n", 0, count)
        return count


def _open(path: str | None) -> int:
    if path is None:
        return _STDOUT
    # Opening a pipe would wait for its reader: without one it fails instead.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(path, flags, 0o640)
    os.set_blocking(fd, True)
    return fd


def _pieces(batch: list[str], *, is_file: bool) -> Iterator[bytes]:
    """What to write at once: a file takes a batch whole, but a pipe that other workers write to
    keeps only so many bytes together (POSIX write(), PIPE_BUF)."""
    if is_file:
        yield "".join(batch).encode("utf-8", "replace")
        return
    piece = b""
    for line in batch:
        data = line.encode("utf-8", "replace")
        if piece and len(piece) + len(data) > PIPE_BUF:
            yield piece
            piece = b""
        piece += data
    yield piece
