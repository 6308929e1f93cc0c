"""API keys: what programs sign in with.

A key may some of what its creator may, never more than the creator may at the time it is used, and
ends: by itself, by being deleted, or with whatever else ends what its creator gave out.
"""

import re
import secrets
from collections.abc import Awaitable, Callable

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from veloflux.control.services.errors import (
    ConflictError,
    Fault,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from veloflux.control.services.identity import secret as secret_of
from veloflux.control.services.identity.person import label_faults
from veloflux.control.services.principal import Principal
from veloflux.control.store import store as kept
from veloflux.control.store.documents import Documents, Kept
from veloflux.control.store.store import Store, StoreError

PREFIX = "vfk_"
MAX_KEYS = 100
DAY_S = 86400.0
DEFAULT_LIFETIME_S = 90 * DAY_S
MAX_LIFETIME_S = 366 * DAY_S
# The last use is written down no more often: each use would be a wait for the disk.
USED_EVERY_S = 60.0

_KEY = re.compile(rf"{PREFIX}(?P<id>[0-9a-f]{{16}})_(?P<secret>[\w-]{{43}})", re.ASCII)

_log = Logger()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key; times are Unix time, `last_used_at` None before its first use."""

    id: str
    owner: str
    generation: str
    name: str
    permissions: frozenset[str]
    secret_hash: str
    created_at: float
    expires_at: float
    last_used_at: float | None = None


class ApiKeys:
    """Keeps them in a store; `now` gives Unix time. What waits raises StoreError."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self.now = now
        self._keys = Documents(store, "api-key", ApiKey)
        # By owner, so that nobody's keys are all read to find one owner's.
        self._owned = Documents(store, "api-key-of", float)

    async def of(self, owner: str, generation: str) -> list[ApiKey]:
        """Return an account's keys that are good, the newest first."""
        found = []
        for each in await self._owned.under(f"{owner}/"):
            key = await self._keys.get(each.key.partition("/")[2])
            if key and self._is_good(key.value, generation):
                found.append(key.value)
        return sorted(found, key=lambda key: (-key.created_at, key.id))

    async def create(
        self,
        by: Principal,
        generation: str,
        name: str,
        permissions: frozenset[str] | None,
        lifetime_s: float,
    ) -> tuple[ApiKey, str]:
        """Make one, with all that `by` may when no permissions are named; returns the secret, too.

        Raises InvalidError, ForbiddenError and ConflictError.
        """
        if by.credential == "key":
            raise ForbiddenError("A key makes no keys; sign in as yourself.")
        wanted = by.permissions if permissions is None else permissions
        if not wanted <= by.permissions:
            more = ", ".join(sorted(wanted - by.permissions))
            raise ForbiddenError(f"A key may no more than you: not {more}.")
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            fault = Fault("/expires_at", "value", "is in the future, and within 366 days")
            raise InvalidError("The key is not as it should be.", [fault])
        if faults := tuple(label_faults("name", name)):
            raise InvalidError("The key is not as it should be.", faults)
        if len(await self.of(by.id, generation)) >= MAX_KEYS:
            raise ConflictError(f"There may be {MAX_KEYS} keys; delete one that nobody needs.")
        made = secret_of.made()
        key = ApiKey(
            id=secrets.token_hex(8),
            owner=by.id,
            generation=generation,
            name=name,
            permissions=wanted,
            secret_hash=secret_of.hashed(made),
            created_at=self.now(),
            expires_at=self.now() + lifetime_s,
        )
        await self._store.commit(
            self._keys.put(key.id, key, 0),
            self._owned.put(f"{by.id}/{key.id}", key.created_at, 0),
        )
        return key, f"{PREFIX}{key.id}_{made}"

    async def delete(self, by: Principal, key_id: str) -> None:
        """Delete one of one's own; raises ForbiddenError and NotFoundError."""
        if by.credential == "key":
            raise ForbiddenError("A key deletes no keys; sign in as yourself.")
        found = await self._keys.get(key_id)
        if found is None or found.value.owner != by.id:
            raise NotFoundError("There is no such key.")
        await self._forget(found)

    async def exists(self, key_id: str) -> bool:
        """Whether there is a key of this id."""
        return await self._keys.get(key_id) is not None

    async def find(self, token: str) -> ApiKey | None:
        """Return the key that this is the secret of, unless it has expired.

        Whether its owner still has the generation is for the caller to see.
        """
        match = _KEY.fullmatch(token)
        found = await self._keys.get(match["id"]) if match else None
        if match is None or found is None:
            return None
        if not secret_of.is_of(match["secret"], found.value.secret_hash):
            return None
        return found.value if self.now() < found.value.expires_at else None

    def used(self, key: ApiKey) -> None:
        """Write down that it was used; nobody waits for that."""
        now = self.now()
        if key.last_used_at is None or now - key.last_used_at >= USED_EVERY_S:
            Deferred.fromCoroutine(self._used(key.id, now)).addErrback(_not_kept)

    async def sweep(self, is_alive: Callable[[str, str], Awaitable[bool]]) -> int:
        """Forget those that have expired, and whose owner or generation `is_alive` no more; returns
        how many."""
        ended = [
            each
            for each in await self._keys.under()
            if each.value.expires_at <= self.now()
            or not await is_alive(each.value.owner, each.value.generation)
        ]
        for each in ended:
            await self._forget(each)
        return len(ended)

    def _is_good(self, key: ApiKey, generation: str) -> bool:
        return key.generation == generation and self.now() < key.expires_at

    async def _forget(self, found: Kept[ApiKey]) -> None:
        await self._store.commit(
            self._keys.delete(found.key), self._owned.delete(f"{found.value.owner}/{found.key}")
        )

    async def _used(self, key_id: str, now: float) -> None:
        found = await self._keys.get(key_id)
        if found is None:
            return
        used = msgspec.structs.replace(found.value, last_used_at=now)
        await self._store.commit(self._keys.put(key_id, used, found.version))


def _not_kept(failure: Failure) -> None:
    if not failure.check(kept.ConflictError):  # it was used or deleted at the same time
        failure.trap(StoreError)
        _log.warn("the last use of a key was not kept: {why}", why=failure.getErrorMessage())
