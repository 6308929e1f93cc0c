"""What each backend has to do, for all workers of a node: a table in memory that they share.

A row for each worker process, a cell for each backend. A worker writes in its own row alone, so
nobody waits for a lock, and reads a column. Two workers that look at the same instant can both
take a backend's last place: a bound holds but for as many as there are workers, for a moment.
"""

import mmap
import os
from typing import NamedTuple

# Sparse: only what is written to takes memory.
CELLS = 16_382
# Two more cells of each row are about the worker itself: see `veloflux.edge.spread`.
ROOM = CELLS
VERSION = CELLS + 1
_WIDTH = CELLS + 2
ROWS = 512
_BYTES = 4


class Cell:
    """One backend's numbers: this worker's own, which it writes, and all workers'."""

    __slots__ = ("_at", "_cells", "_column")

    def __init__(self, cells: memoryview, row: int, cell: int, rows: int) -> None:
        self._cells = cells
        self._at = row * _WIDTH + cell
        self._column = cells[cell : rows * _WIDTH : _WIDTH]

    def put(self, count: int) -> None:
        self._cells[self._at] = count

    def total(self) -> int:
        """The sum over all workers."""
        return sum(self._column)

    def each(self) -> list[int]:
        """By row, every worker's."""
        return self._column.tolist()


class Board:
    """One worker's view of the table; `row` is its own."""

    def __init__(self, fd: int, row: int) -> None:
        """Map the memory behind `fd`, which is the caller's still. Raises OSError."""
        self._cells = memoryview(mmap.mmap(fd, ROWS * _WIDTH * _BYTES)).cast("i")
        self.row = row

    def cell(self, number: int, workers: int) -> Cell:
        """The cell of that number, among `workers`.

        A worker that leaves and its successor have rows at the same time, hence twice as many.
        """
        return Cell(self._cells, self.row, number, min(2 * workers, ROWS))


class Rows(NamedTuple):
    """The table as its owner has it, who gives rows to workers; `taken` are in use."""

    fd: int
    cells: memoryview
    taken: set[int]

    @classmethod
    def create(cls) -> "Rows":
        """Make an empty table in memory that has no name. Raises OSError."""
        fd = os.memfd_create("veloflux-board", os.MFD_CLOEXEC)
        os.ftruncate(fd, ROWS * _WIDTH * _BYTES)
        return cls(fd, memoryview(mmap.mmap(fd, ROWS * _WIDTH * _BYTES)).cast("i"), set())

    def take(self) -> int:
        """A row for a new worker, the lowest that is free; the last is shared by any more."""
        row = next((row for row in range(ROWS - 1) if row not in self.taken), ROWS - 1)
        self.taken.add(row)
        return row

    def free(self, row: int) -> None:
        """Its worker is gone, and does nothing any more."""
        self.taken.discard(row)
        blank = memoryview(bytes(_WIDTH * _BYTES)).cast("i")
        self.cells[row * _WIDTH : (row + 1) * _WIDTH] = blank
