"""Passwords that were right a short while ago: a scraper sends its own with every request, and to
verify it takes a processor for tens of milliseconds.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from veloflux.control.services.identity.account import Account

# Since its last use.
REMEMBER_S = 300.0
MOST = 1000


@dataclass(frozen=True, slots=True)
class _Known:
    id: str
    generation: str
    until: float


class Remembered:
    """Knows whose name and password these are, by a digest; `clock` gives monotonic seconds.

    The account must still have the generation that it had.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # With a key that nobody else has, a digest gives nothing away, nor does finding it.
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}

    def get(self, name: str, password: bytes) -> _Known | None:
        """Return whose they are, when they are remembered."""
        digest = self.digest(name, password)
        known = self._known.pop(digest, None)
        if known is None or self._clock() >= known.until:
            return None
        self._put(digest, known.id, known.generation)
        return known

    def keep(self, name: str, password: bytes, account: Account) -> None:
        """Remember what was right; what was not used for the longest is forgotten for it."""
        self._put(self.digest(name, password), account.id, account.generation)

    def _put(self, digest: bytes, account_id: str, generation: str) -> None:
        self._known[digest] = _Known(account_id, generation, self._clock() + REMEMBER_S)
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def digest(self, name: str, password: bytes) -> bytes:
        """What tells one name and password from others, and gives neither away."""
        # With the name's length in front, no other name and password have the same digest.
        known = b"%d:%b:%b" % (len(name.encode()), name.encode(), password)
        return blake2b(known, key=self._key, digest_size=32).digest()
