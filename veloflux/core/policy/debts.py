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
_WORDS = 2
_BUCKET_WORDS = SLOTS_PER_BUCKET * _WORDS
_DIGEST = Struct("=QII")


def size(buckets: int) -> int:
    """The bytes that a table of so many buckets takes."""
    return buckets * _BUCKET_WORDS * 8


class Debts:
    """A table in `memory`, all zeros at first, which others may have too; `secret` is theirs as
    well, and unknown to clients.

    Raises ValueError when its size is not that of a power of two of buckets.
    """

    __slots__ = ("_cells", "_mask", "_secret")

    def __init__(self, memory: memoryview, secret: bytes) -> None:
        buckets = memory.nbytes // size(1)
        if buckets < 1 or buckets & (buckets - 1) or memory.nbytes != size(buckets):
            raise ValueError(f"{memory.nbytes} bytes are no power of two of buckets")
        # The machine's own words, so that each is written at once.
        self._cells = memory.cast("B").cast("Q")
        self._mask = buckets - 1
        self._secret = secret

    def place(self, key: bytes) -> int:
        """Where the TAT of `key` is from now on."""
        digest = blake2b(key, digest_size=_DIGEST.size, key=self._secret).digest()
        mark, one, other = _DIGEST.unpack(digest)
        cells, mask = self._cells, self._mask
        least, spare = 1 << 64, 0
        for bucket in (one & mask, other & mask):
            start = bucket * _BUCKET_WORDS
            for at in range(start, start + _BUCKET_WORDS, _WORDS):
                if cells[at] == mark:
                    return at + 1
                owed = cells[at + 1]
                if owed < least:
                    least, spare = owed, at
        cells[spare] = mark
        return spare + 1

    def get(self, place: int) -> int:
        """The TAT at a place, in nanoseconds; 0 if nothing was ever there."""
        return self._cells[place]

    def set(self, place: int, tat: int) -> None:
        """Keep another there."""
        self._cells[place] = tat
