"""Where a key belongs: the same number in every process, on every node, after every restart.

BLAKE2b under a personalisation of ours (RFC 7693 §2.8), so that nobody can make use of where the
same key falls elsewhere. It is no secret, so whoever wants two keys that meet can find them; a
bound on load is the defence against that.
"""

from hashlib import blake2b
from struct import Struct

_BLANK = blake2b(digest_size=8, person=b"veloflux balance")
_BLANK_LONG = blake2b(person=b"veloflux balance")
_WORDS = Struct(">16I")


def digest(text: bytes) -> int:
    """64 bits that depend on all of `text`."""
    state = _BLANK.copy()
    state.update(text)
    return int.from_bytes(state.digest(), "big")


def words(text: bytes, count: int) -> list[int]:
    """So many numbers of 32 bits; a smaller count is the beginning of a greater one."""
    found: list[int] = []
    for block in range(-(-count // 16)):
        state = _BLANK_LONG.copy()
        state.update(b"%d %b" % (block, text))
        found += _WORDS.unpack(state.digest())
    return found[:count]
