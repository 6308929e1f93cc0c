"""Bodies of any size whose every byte is told from its neighbours, made and judged as they go."""

import hashlib
from collections.abc import Iterable, Iterator

BLOCK = 256 * 1024
# No power of two: a block that comes twice, or not at all, moves all that follows.
_PATTERN = hashlib.shake_256(b"veloflux").digest(BLOCK - 3)


def blocks(size: int) -> Iterator[bytes]:
    """The first so many bytes of the one endless body there is, in pieces."""
    twice = _PATTERN + _PATTERN
    at = 0
    while at < size:
        begin = at % len(_PATTERN)
        piece = twice[begin : begin + min(BLOCK, size - at, len(_PATTERN))]
        yield piece
        at += len(piece)


class Digest:
    """What has come of a body."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self._hash.update(piece)

    def __str__(self) -> str:
        return f"{self.size} bytes {self._hash.hexdigest()}"


def digest(pieces: Iterable[bytes]) -> str:
    """The size and the hash of a body, as text."""
    found = Digest()
    for piece in pieces:
        found.add(piece)
    return str(found)


def digest_of(size: int) -> str:
    """What `digest` says of so many bytes of `blocks`."""
    return digest(blocks(size))
