"""The operator: the one account that the configuration or the data directory knows.

It is there from the first start, whatever the store holds.
"""

import secrets
from hashlib import blake2b
from hmac import compare_digest

from veloflux.control.services.identity.account import Account
from veloflux.control.services.identity.hashing import NO_PASSWORD, Hashing
from veloflux.control.services.password import stored_hash
from veloflux.control.services.principal import OPERATOR_ID
from veloflux.core.model.node import Admin


class Operator:
    """Verifies the operator's password, if anybody is asked for one at all."""

    def __init__(self, hashing: Hashing) -> None:
        self.is_asked_for = True
        self.account = Account(OPERATOR_ID, "", "operator", "")
        self._hashing = hashing
        # With a key that nobody else has, digests may be compared: they give nothing away.
        self._key = secrets.token_bytes(32)
        self._expected = b""
        self._kept = NO_PASSWORD

    def configure(self, admin: Admin, data_dir: str, secret: bytes) -> None:
        """Take the name and password of the configuration; without one, that of the directory.

        With `secret`, of 16 to 64 bytes, a generation is the same after a restart, and tells
        nothing of the password. Raises ValueError, see `password.stored_hash`.
        """
        self.is_asked_for = admin.auth_enabled
        self._kept = NO_PASSWORD
        self._expected = b""
        if admin.auth_enabled and not admin.password:
            self._kept = stored_hash(data_dir)
        if admin.password:
            self._expected = self._digest(admin.password.encode())
        known = f"{admin.username}\n{admin.password or self._kept}".encode()
        generation = blake2b(known, key=secret, digest_size=16).hexdigest()
        self.account = Account(OPERATOR_ID, admin.username, "operator", generation)

    def is_named(self, name: str) -> bool:
        """Whether that is the operator's name."""
        return compare_digest(self.account.name.encode(), name.encode())

    async def verify(self, password: bytes) -> bool:
        """Whether this is the operator's password; raises BusyError.

        It takes as long wherever the password is from, and for any other account.
        """
        asked = self.account
        is_right = await self._hashing.verify(self._kept, password)
        if self._expected:
            is_right = compare_digest(self._expected, self._digest(password))
        return is_right and asked == self.account

    def _digest(self, password: bytes) -> bytes:
        return blake2b(password, key=self._key, digest_size=32).digest()
