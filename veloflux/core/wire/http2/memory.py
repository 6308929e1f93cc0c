"""What field blocks mean, remembered: the same bytes mean the same for as long as the compression's
table stands."""

from typing import Generic, TypeVar

from veloflux.core.wire.http2.unpacking import Fields, Unpacker

# Blocks that are remembered, and the most bytes of one.
_BLOCKS = 8
_LONGEST_BLOCK = 1024

Meaning = TypeVar("Meaning")


class Memory(Generic[Meaning]):
    """Of one direction; `recall` comes before `unpack`, and `keep` after."""

    __slots__ = ("_known", "_known_at", "_unpacker")

    def __init__(self, max_fields: int, max_bytes: int) -> None:
        self._unpacker = Unpacker(max_fields, max_bytes)
        self._known: dict[tuple[bytes, bool], Meaning] = {}
        self._known_at = 0

    def unpack(self, block: bytes) -> Fields | None:
        """The fields of a block, as `Unpacker.unpack`."""
        return self._unpacker.unpack(block)

    def recall(self, block: bytes, ended: bool) -> Meaning | None:
        """What the block meant before; `ended` is part of that."""
        changes = self._unpacker.changes
        if changes != self._known_at:
            self._known.clear()
            self._known_at = changes
        return self._known.get((block, ended))

    def keep(self, block: bytes, ended: bool, meaning: Meaning) -> None:
        """Remember what the block means, if it can mean that again: it changed no table."""
        if self._unpacker.changes == self._known_at and len(block) <= _LONGEST_BLOCK:
            if len(self._known) == _BLOCKS:
                self._known.clear()
            self._known[block, ended] = meaning
