"""The keys that access tokens are signed with: made here, kept in the store, rotated.

A key is published before it signs, so that whoever keeps the published ones for a while knows it by
then, and after it, until nothing that it signed is good any more. Ed25519: small, fast, and nothing
to choose wrongly.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from veloflux.control.store.documents import Documents
from veloflux.control.store.store import Store

ALGORITHM = "EdDSA"
# How long before it signs a key is published; how long it signs; how long it is known after that.
AHEAD_S = 3600.0
SIGNS_S = 30 * 86400.0
AFTER_S = 3600.0
# A token may name a key that another node has made since we looked, but who invents names must
# not make us look each time.
_LOOK_EVERY_S = 60.0


class _Seed(msgspec.Struct, frozen=True):
    """What is kept of a key: its 32 bytes, and when it was made."""

    private: bytes
    created_at: float


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as it is published (RFC 8037): `x` is its 32 bytes in base64url."""

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = ALGORITHM
    use: str = "sig"


class SigningKey:
    """A key, ready for use."""

    def __init__(self, key_id: str, seed: _Seed) -> None:
        self.id = key_id
        self.created_at = seed.created_at
        self.private = Ed25519PrivateKey.from_private_bytes(seed.private)
        self.public: Ed25519PublicKey = self.private.public_key()

    @property
    def published(self) -> PublicKey:
        """What everybody may know of it."""
        x = urlsafe_b64encode(self.public.public_bytes_raw()).rstrip(b"=").decode()
        return PublicKey(self.id, x)


class SigningKeys:
    """Keeps them in a store; `now` gives Unix time. What waits raises StoreError."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._seeds = Documents(store, "signing-key", _Seed)
        self._known: dict[str, SigningKey] = {}
        self._looked_at = float("-inf")

    async def current(self) -> SigningKey:
        """Return the key to sign with; the first one is made when it is asked for."""
        if not self._known:
            await self.rotate()
        now = self._now()
        by_age = sorted(self._known.values(), key=lambda key: (key.created_at, key.id))
        published = [key for key in by_age if key.created_at + AHEAD_S <= now]
        return published[-1] if published else by_age[0]

    async def find(self, key_id: str) -> SigningKey | None:
        """Return the key of that name."""
        if key_id not in self._known and self._now() - self._looked_at >= _LOOK_EVERY_S:
            await self._look()
        return self._known.get(key_id)

    async def published(self) -> list[PublicKey]:
        """Return all that are good, the newest first."""
        await self.current()
        keys = sorted(self._known.values(), key=lambda key: -key.created_at)
        return [key.published for key in keys]

    async def rotate(self) -> None:
        """Make the next key when it is time, and forget those that nothing good is signed with."""
        await self._look()
        now = self._now()
        ages = {key.id: now - key.created_at for key in self._known.values()}
        if not ages or min(ages.values()) >= SIGNS_S:
            seed = _Seed(Ed25519PrivateKey.generate().private_bytes_raw(), now)
            key = SigningKey(secrets.token_hex(8), seed)
            await self._store.commit(self._seeds.put(key.id, seed, 0))
            self._known[key.id] = key
        # Its successor is made after SIGNS_S, and signs from AHEAD_S later.
        for key_id, age in ages.items():
            if age >= SIGNS_S + AHEAD_S + AFTER_S and age > min(ages.values()):
                await self._store.commit(self._seeds.delete(key_id))
                del self._known[key_id]

    async def _look(self) -> None:
        self._looked_at = self._now()
        found = await self._seeds.under()
        self._known = {each.key: SigningKey(each.key, each.value) for each in found}
