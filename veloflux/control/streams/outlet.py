"""What waits for a watcher that reads slower than it is told.

Of each object only the latest state waits, and says how many before it were left out. Whoever falls
behind all the same is given up: memory is bounded, and a stream that is minutes old helps nobody.
"""

from collections.abc import Callable

from veloflux.control.services.feed import Item

LIMIT = 256

Write = Callable[[Item, bytes], None]


class Outlet:
    """The way out of one connection; `write` gets an item and its bytes, which are not those of the
    item when something was left out."""

    def __init__(self, write: Write, limit: int = LIMIT) -> None:
        self.is_open = True
        self._write = write
        self._limit = limit
        self._waiting: dict[str, tuple[Item, int]] = {}
        self._unique = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def offer(self, item: Item) -> bool:
        """Write it, or let it wait; False when there is no more room."""
        if self.is_open and not self._waiting:
            self._write(item, item.payload)
            return True
        key = item.key
        if not key:
            self._unique += 1
            key = f"#{self._unique}"
        before, skipped = self._waiting.pop(key, (None, 0))
        if before is not None:
            skipped += 1
        if len(self._waiting) >= self._limit:
            return False
        self._waiting[key] = item, skipped
        return True

    def pause(self) -> None:
        """There is no room on the way for the time being."""
        self.is_open = False

    def resume(self) -> None:
        """There is room again."""
        self.is_open = True
        while self._waiting and self.is_open:
            key = next(iter(self._waiting))
            item, skipped = self._waiting.pop(key)
            self._write(item, item.after(skipped))

    def clear(self) -> None:
        """Let nothing wait any more."""
        self._waiting.clear()
