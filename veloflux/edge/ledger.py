"""What clients owe their rate limits, in memory that all workers of a node have.

The supervisor makes it and keeps it, so that it outlives any worker; the secret that its entries
are scattered by stands at its beginning. See `core.policy.debts` for what is behind it.
"""

import mmap
import os
import secrets

from veloflux.core.policy.debts import SECRET_BYTES, Debts, size

# For a quarter of a million clients who owe something; 4 MiB, of which untouched pages take none.
BUCKETS = 65_536
# The secret comes first; buckets begin where the processor's lines of memory do.
_START = 64
# For a data plane that has nobody to share with.
_BUCKETS_ALONE = 4_096


def create() -> int:
    """Make an empty ledger in memory that has no name; its descriptor is the caller's. Raises
    OSError."""
    fd = os.memfd_create("veloflux-ledger", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, _START + size(BUCKETS))
        os.pwrite(fd, secrets.token_bytes(SECRET_BYTES), 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def attach(fd: int) -> Debts:
    """The ledger behind `fd`, which is the caller's still. Raises OSError."""
    return _over(memoryview(mmap.mmap(fd, _START + size(BUCKETS))))


def alone() -> Debts:
    """A ledger that nobody shares."""
    memory = memoryview(bytearray(_START + size(_BUCKETS_ALONE)))
    memory[:SECRET_BYTES] = secrets.token_bytes(SECRET_BYTES)
    return _over(memory)


def _over(memory: memoryview) -> Debts:
    return Debts(memory[_START:], bytes(memory[:SECRET_BYTES]))
