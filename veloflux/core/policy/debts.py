"""What does each client still owe its rate limit? A table of fixed size, for all workers of a node.

Two buckets of four slots may hold a key; a slot is a keyed fingerprint of it and its TAT (see
`limit`), each in eight bytes of its own. Whoever is new takes the slot in its buckets that owes
least: one that has long owed nothing, if there is any. While half of all slots owe nothing, not one
newcomer in two hundred finds none in its two buckets; that one takes a debt over with the slot, so
what is owed is never forgotten. Under a flood of clients strangers share a limit so, instead of
there being none for them. The secret keeps clients from choosing whom to share with.

Nothing is locked. A reader sees a fingerprint or a TAT as it was before or after, never half of
one. Two workers that write the same slot in the same microseconds lose one of two entries: one
request too many may pass.
"""

from hashlib import blake2b
from struct import Struct

SLOTS_PER_BUCKET = 4
SECRET_BYTES = 32
# The four fingerprints, then the four TATs: 64 bytes, which is what a processor reads at once.
_BUCKET = Struct("@8Q")
_WORDS = 8
_DIGEST = Struct("=QII")


def size(buckets: int) -> int:
    """The bytes that a table of so many buckets takes."""
    return buckets * _BUCKET.size


class Debts:
    """A table in `memory`, all zeros at first, which others may have too; `secret` is theirs as
    well, and unknown to clients.

    Raises ValueError when its size is not that of a power of two of buckets.
    """

    __slots__ = ("_cells", "_keyed", "_mask", "_memory")

    def __init__(self, memory: memoryview, secret: bytes) -> None:
        buckets = memory.nbytes // _BUCKET.size
        if buckets < 1 or buckets & (buckets - 1) or memory.nbytes != size(buckets):
            raise ValueError(f"{memory.nbytes} bytes are no power of two of buckets")
        self._memory = memory
        # The machine's own words, so that each is written at once.
        self._cells = memory.cast("B").cast("Q")
        self._mask = buckets - 1
        # Taking the key in is half of the work, so it is done once.
        self._keyed = blake2b(key=secret, digest_size=_DIGEST.size)

    def place(self, key: bytes) -> int:
        """Where the TAT of `key` is from now on."""
        place, mark, is_there = self._find(key)
        if not is_there:
            self._cells[place - SLOTS_PER_BUCKET] = mark
        return place

    def look(self, key: bytes) -> int:
        """The TAT that is at the `place` of `key`; nothing changes by it."""
        return self._cells[self._find(key)[0]]

    def _find(self, key: bytes) -> tuple[int, int, bool]:
        """The place of `key`, its fingerprint, and whether that stands there already."""
        keyed = self._keyed.copy()
        keyed.update(key)
        found: tuple[int, int, int] = _DIGEST.unpack(keyed.digest())
        mark, one, other = found
        one, other = one & self._mask, other & self._mask
        first: tuple[int, ...] = _BUCKET.unpack_from(self._memory, one * _BUCKET.size)
        if mark in first[:SLOTS_PER_BUCKET]:
            return one * _WORDS + SLOTS_PER_BUCKET + first.index(mark), mark, True
        second: tuple[int, ...] = _BUCKET.unpack_from(self._memory, other * _BUCKET.size)
        if mark in second[:SLOTS_PER_BUCKET]:
            return other * _WORDS + SLOTS_PER_BUCKET + second.index(mark), mark, True
        owed, there = first[SLOTS_PER_BUCKET:], one
        least = min(owed)
        if min(second[SLOTS_PER_BUCKET:]) < least:
            owed, there = second[SLOTS_PER_BUCKET:], other
            least = min(owed)
        return there * _WORDS + SLOTS_PER_BUCKET + owed.index(least), mark, False

    def get(self, place: int) -> int:
        """The TAT at a place, in nanoseconds; 0 if nothing was ever there."""
        return self._cells[place]

    def set(self, place: int, tat: int) -> None:
        """Keep another there."""
        self._cells[place] = tat
