"""Windows: how much each side may send (RFC 9113 section 5.2 and 6.9)."""

from veloflux.core.wire.http2.settings import MAX_WINDOW


class Inflow:
    """What the other side may still send us, of a stream or of the connection, in bytes.

    Updates are sent by halves of the window, or every small piece would be answered by a frame.
    """

    __slots__ = ("_half", "_owed", "left")

    def __init__(self, size: int) -> None:
        self.left = size
        self._half = size // 2
        self._owed = 0

    def take(self, count: int) -> bool:
        """So many bytes came; says whether they were allowed."""
        self.left -= count
        return self.left >= 0

    def give(self, count: int) -> int:
        """So many bytes are used up; returns by how much to raise the window now, 0 for not yet."""
        owed = self._owed + count
        if owed < self._half:
            self._owed = owed
            return 0
        self._owed = 0
        self.left += owed
        return owed


def widened(window: int, increment: int) -> int | None:
    """A window for sending after an update; None when it would be too large (section 6.9.1)."""
    window += increment
    return window if window <= MAX_WINDOW else None
