"""Sign-ins: each is a family of refresh tokens of which only the newest is good.

A refresh token is used once. One that comes again was stolen, from us or from the thief: the whole
family ends (RFC 9700, 4.14.2), and with it every access token of that sign-in.
"""

import re
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from veloflux.control.services.errors import SignInError
from veloflux.control.services.identity import secret as secret_of
from veloflux.control.services.identity.account import Account
from veloflux.control.store.documents import Documents, Kept
from veloflux.control.store.store import ConflictError, Store

# A family that is not used for so long ends, and at the latest so long after the sign-in.
IDLE_S = 7 * 86400.0
LIFETIME_S = 30 * 86400.0
# Sign-ins that one account may have; the oldest makes room.
MAX_SESSIONS = 20

_TOKEN = re.compile(
    r"vfr_(?P<account>[a-z0-9-]{1,40})_(?P<session>[0-9a-f]{32})_(?P<secret>[\w-]{43})", re.ASCII
)
_REJECTED = "The refresh token is not valid; sign in again."


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in; times are Unix time. `secret_hash` is of the only refresh token that is good."""

    generation: str
    secret_hash: str
    created_at: float
    expires_at: float


class Sessions:
    """Keeps them in a store; `now` gives Unix time. What waits raises StoreError."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._sessions = Documents(store, "session", Session)

    async def open(self, account: Account) -> tuple[str, str]:
        """Begin one; returns its id and its first refresh token."""
        now, session_id, made = self._now(), secrets.token_hex(16), secret_of.made()
        others = await self._sessions.under(f"{account.id}/")
        others.sort(key=lambda each: each.value.created_at)
        session = Session(
            generation=account.generation,
            secret_hash=secret_of.hashed(made),
            created_at=now,
            expires_at=now + IDLE_S,
        )
        await self._store.commit(
            self._sessions.put(f"{account.id}/{session_id}", session, 0),
            *(self._sessions.delete(each.key) for each in others[: 1 - MAX_SESSIONS]),
        )
        return session_id, f"vfr_{account.id}_{session_id}_{made}"

    async def is_open(self, account: Account, session_id: str) -> bool:
        """Whether this account has that sign-in, and it has not ended."""
        found = await self._sessions.get(f"{account.id}/{session_id}")
        return found is not None and self._is_good(found.value, account)

    async def renew(self, account: Account, session_id: str) -> str:
        """Make the next refresh token of a sign-in, for whoever proved it in another way.

        Raises SignInError when it has ended.
        """
        found = await self._sessions.get(f"{account.id}/{session_id}")
        if found is None or not self._is_good(found.value, account):
            raise SignInError(_REJECTED)
        return await self._next(account, found)

    async def rotate(
        self, token: str, find: Callable[[str], Awaitable[Account | None]]
    ) -> tuple[Account, str, str]:
        """Use a refresh token: returns whose it was, its sign-in's id, and the next token.

        `find` gives an account by its id. Raises SignInError; for one that was used
        before, the sign-in ends.
        """
        match = _TOKEN.fullmatch(token)
        account = await find(match["account"]) if match else None
        if match is None or account is None:
            raise SignInError(_REJECTED)
        found = await self._sessions.get(f"{account.id}/{match['session']}")
        if found is None or not self._is_good(found.value, account):
            raise SignInError(_REJECTED)
        if not secret_of.is_of(match["secret"], found.value.secret_hash):
            await self.close(account.id, match["session"])
            raise SignInError(_REJECTED)
        return account, match["session"], await self._next(account, found)

    async def close(self, account_id: str, session_id: str) -> None:
        """End a sign-in, if there is one."""
        await self._store.commit(self._sessions.delete(f"{account_id}/{session_id}"))

    async def close_of(self, token: str) -> None:
        """End the sign-in of a refresh token, if it is one that is good."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return
        found = await self._sessions.get(f"{match['account']}/{match['session']}")
        if found and secret_of.is_of(match["secret"], found.value.secret_hash):
            await self._store.commit(self._sessions.delete(found.key))

    async def sweep(self, is_alive: Callable[[str, str], Awaitable[bool]]) -> int:
        """Forget those that have expired, and whose account or generation `is_alive` no more;
        returns how many."""
        ended = [
            each
            for each in await self._sessions.under()
            if each.value.expires_at <= self._now()
            or not await is_alive(each.key.partition("/")[0], each.value.generation)
        ]
        for each in ended:
            await self._store.commit(self._sessions.delete(each.key))
        return len(ended)

    def _is_good(self, session: Session, account: Account) -> bool:
        return session.generation == account.generation and self._now() < session.expires_at

    async def _next(self, account: Account, found: Kept[Session]) -> str:
        made = secret_of.made()
        session = msgspec.structs.replace(
            found.value,
            secret_hash=secret_of.hashed(made),
            expires_at=min(self._now() + IDLE_S, found.value.created_at + LIFETIME_S),
        )
        try:
            await self._store.commit(self._sessions.put(found.key, session, found.version))
        except ConflictError:
            # The same token came twice at once: one of the two is a thief.
            await self._store.commit(self._sessions.delete(found.key))
            raise SignInError(_REJECTED) from None
        return f"vfr_{account.id}_{found.key.partition('/')[2]}_{made}"
