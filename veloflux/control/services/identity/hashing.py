"""Passwords are hashed and verified in threads, a few at a time.

A verification takes 19 MiB and a processor for tens of milliseconds, and anybody may ask for one.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore

from veloflux.control.services.errors import BusyError
from veloflux.control.services.password import HASHER, matches

MAX_PASSWORD_BYTES = 1024
AT_ONCE = 2
WAITING = 16

# What no password matches, and takes as long to find out: where there is no account.
NO_PASSWORD = "$argon2id$v=19$m={},t={},p={}${}${}".format(
    HASHER.memory_cost,
    HASHER.time_cost,
    HASHER.parallelism,
    b64encode(bytes(HASHER.salt_len)).decode().rstrip("="),
    b64encode(bytes(HASHER.hash_len)).decode().rstrip("="),
)

_T = TypeVar("_T")


class InThread(Protocol):
    """Runs a function where it keeps nobody waiting."""

    def __call__(self, work: Callable[[], _T], /) -> Deferred[_T]: ...


class Hashing:
    """Takes turns in threads; every method raises BusyError when too many wait."""

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._turns = DeferredSemaphore(AT_ONCE)

    async def verify(self, kept: str, password: bytes) -> bool:
        """Whether this is the password of that hash."""
        if len(password) > MAX_PASSWORD_BYTES:
            return False
        return await self._turn(lambda: matches(kept, password))

    async def hash(self, password: str) -> str:
        """Make what may be kept of a password."""
        return await self._turn(lambda: HASHER.hash(password))

    def _turn(self, work: Callable[[], _T]) -> Deferred[_T]:
        if len(self._turns.waiting) >= WAITING:
            raise BusyError("Too many passwords are being verified at this moment.")
        # It goes on when nobody waits for it any more: it is in a thread, and keeps its turn.
        follower: Deferred[_T] = Deferred()
        self._turns.run(lambda: self._in_thread(work)).addCallbacks(
            follower.callback, follower.errback
        )
        return follower
