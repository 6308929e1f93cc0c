"""Who calls, and is it the operator?"""

import secrets
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from hmac import compare_digest

from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred

from veloflux.control.services.password import matches, stored_hash
from veloflux.core.model.node import Admin

MAX_PASSWORD_BYTES = 1024
# How long a password that was right is known without its hash, since its last use.
REMEMBER_S = 300.0
# A verification takes 19 MiB and a processor for a while: so many at once, so many waiting.
AT_ONCE = 2
WAITING = 16


class BusyError(Exception):
    """Too many passwords are being verified."""


class Operator:
    """Verifies the operator's name and password, if they are asked for at all.

    `in_thread` runs a function where it keeps nobody waiting; `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        in_thread: Callable[[Callable[[], bool]], Awaitable[bool]],
        clock: Callable[[], float],
    ) -> None:
        self.is_asked_for = True
        self._in_thread = in_thread
        self._clock = clock
        self._turns = DeferredSemaphore(AT_ONCE)
        # With a key that nobody else has, digests may be compared and kept: they give nothing away.
        self._key = secrets.token_bytes(32)
        self._expected = b""
        self._kept = ""
        self._name = b""
        self._remembered = b""
        self._until = 0.0

    def configure(self, admin: Admin, data_dir: str) -> None:
        """Take the name and password of the configuration; without one, that of the directory.

        Raises ValueError, see `password.stored_hash`.
        """
        kept = ""
        if admin.auth_enabled and not admin.password:
            kept = stored_hash(data_dir)
        self.is_asked_for = admin.auth_enabled
        self._name = admin.username.encode()
        self._kept = kept
        self._expected = b""
        if admin.password:
            self._expected = self._digest(self._name, admin.password.encode())
        self._remembered = b""

    def remembers(self, name: bytes, password: bytes) -> bool:
        """Whether these were found right a short while ago."""
        if not self._remembered or self._clock() >= self._until:
            return False
        if not compare_digest(self._remembered, self._digest(name, password)):
            return False
        self._until = self._clock() + REMEMBER_S
        return True

    async def verify(self, name: bytes, password: bytes) -> bool:
        """Whether these are the operator's; raises BusyError.

        It takes as long for a wrong name as for a wrong password.
        """
        if len(password) > MAX_PASSWORD_BYTES:
            return False
        digest = self._digest(name, password)
        if self._expected:
            is_right = compare_digest(self._expected, digest)
        else:
            is_right = await self._is_kept(password) and compare_digest(self._name, name)
        if is_right:
            self._remembered = digest
            self._until = self._clock() + REMEMBER_S
        return is_right

    async def _is_kept(self, password: bytes) -> bool:
        if len(self._turns.waiting) >= WAITING:
            raise BusyError
        kept = self._kept

        async def check() -> bool:
            return await self._in_thread(lambda: matches(kept, password))

        is_right = await _shielded(self._turns.run(lambda: ensureDeferred(check())))
        return is_right and kept == self._kept

    def _digest(self, name: bytes, password: bytes) -> bytes:
        # With the name's length in front, no other name and password have the same digest.
        return blake2b(
            b"%d:%b:%b" % (len(name), name, password), key=self._key, digest_size=32
        ).digest()


def _shielded(work: Deferred[bool]) -> Deferred[bool]:
    """Follow work that goes on when nobody waits for it: it is in a thread, and keeps its turn."""
    follower: Deferred[bool] = Deferred()
    work.addCallbacks(follower.callback, follower.errback)
    return follower
