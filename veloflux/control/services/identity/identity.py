"""Who calls? And what do they get when they sign in?

Every refusal for want of the right proof is the same, whether it is missing, malformed or wrong,
and takes as long. Passwords are counted before they are verified, so that many at once are no way
around the limit; one that was right a while ago does not count, so that a scraper is not locked out
by somebody who guesses from the same address.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from veloflux.control.services.errors import (
    BusyError,
    SignInError,
    TooManyTriesError,
    UnauthenticatedError,
)
from veloflux.control.services.identity.account import Account
from veloflux.control.services.identity.api_keys import PREFIX, ApiKeys
from veloflux.control.services.identity.authorization import Basic, Bearer, parse
from veloflux.control.services.identity.hashing import MAX_PASSWORD_BYTES
from veloflux.control.services.identity.person import folded
from veloflux.control.services.identity.remembered import Remembered
from veloflux.control.services.identity.sessions import Sessions
from veloflux.control.services.identity.together import Together
from veloflux.control.services.identity.tokens import LIFETIME_S, Tokens
from veloflux.control.services.identity.users import Users
from veloflux.control.services.operator import Operator
from veloflux.control.services.principal import ANYBODY, OPERATOR_ID, ROLES, Principal
from veloflux.control.services.throttle import Throttle
from veloflux.control.store.store import StoreError

# For one address and account in 15 minutes, and for one address whatever the account.
TRIES = 5
TRIES_OF_ADDRESS = 20
_NEEDED = "This needs valid credentials."
_WRONG = "The name or the password is wrong."


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sign-in gives; times are Unix time."""

    account: Account
    token: str
    refresh_token: str
    expires_at: float
    expires_in_s: int = LIFETIME_S


# Of somebody who was let in: their account may be shut, or only what they showed be void.
Standing = Literal["good", "over", "shut"]


class Identity:
    """Knows accounts by password, token and key; `clock` gives monotonic seconds.

    What waits raises StoreError.
    """

    def __init__(
        self,
        operator: Operator,
        users: Users,
        sessions: Sessions,
        keys: ApiKeys,
        tokens: Tokens,
        clock: Callable[[], float],
    ) -> None:
        self._operator = operator
        self._users = users
        self._sessions = sessions
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._by_account = Throttle(TRIES)
        self._by_address = Throttle(TRIES_OF_ADDRESS)
        self._remembered = Remembered(clock)
        self._together: Together[Account | None] = Together()

    @property
    def is_asked_for(self) -> bool:
        """Whether anybody is asked who they are."""
        return self._operator.is_asked_for

    async def account(self, account_id: str) -> Account | None:
        """Return an account that may be used."""
        if account_id == OPERATOR_ID:
            return self._operator.account
        return await self._users.account(account_id)

    async def is_alive(self, account_id: str, generation: str) -> bool:
        """Whether what was given out to that account then is still good."""
        account = await self.account(account_id)
        return account is not None and account.generation == generation

    async def authenticate(self, authorization: Sequence[bytes], address: str) -> Principal:
        """Return who sent these Authorization headers from that address.

        Raises UnauthenticatedError, TooManyTriesError, and BusyError.
        """
        if not self.is_asked_for:
            return ANYBODY
        found: Principal | None = None
        match parse(authorization):
            case Basic(name, password):
                account = await self._by_password(name, password, address)
                found = account.principal("basic") if account else None
            case Bearer(token) if token.startswith(PREFIX):
                found = await self._by_key(token)
            case Bearer(token):
                found = await self._by_token(token)
        if found is None:
            raise UnauthenticatedError(_NEEDED)
        return found

    async def standing(self, by: Principal) -> Standing:
        """Say whether one who was let in a while ago still may stay; raises StoreError.

        With a password changed, a role taken away, a key deleted or a sign-in ended it is over.
        """
        if not self.is_asked_for:
            return "good"
        account = await self.account(by.id)
        if account is None:
            return "shut"
        if account.generation != by.generation or not by.permissions <= ROLES[account.role]:
            return "over"
        if by.session_id is not None and not await self._sessions.is_open(account, by.session_id):
            return "over"
        if by.key_id is not None and not await self._keys.exists(by.key_id):
            return "over"
        return "good"

    async def login(
        self, name: str, password: str, address: str, tenant_id: str | None = None
    ) -> Grant:
        """Begin a sign-in; raises SignInError, and BusyError as `authenticate`.

        An account of another tenant than that one is as unknown as one that does not exist.
        """
        account = await self._by_password(name, password, address)
        if account is None or account.tenant_id != tenant_id:
            raise SignInError(_WRONG)
        session_id, refresh_token = await self._sessions.open(account)
        return await self._grant(account, session_id, refresh_token)

    async def refresh(self, refresh_token: str) -> Grant:
        """Use a refresh token; raises SignInError, see `Sessions.rotate`."""
        account, session_id, following = await self._sessions.rotate(refresh_token, self.account)
        return await self._grant(account, session_id, following)

    async def prolong(self, by: Principal) -> Grant:
        """The same for a good access token; raises SignInError for any other credential."""
        account = await self.account(by.id)
        if account is None or by.session_id is None:
            raise SignInError("This needs a refresh token, or an access token.")
        following = await self._sessions.renew(account, by.session_id)
        return await self._grant(account, by.session_id, following)

    async def logout(self, by: Principal, refresh_token: str | None) -> None:
        """End the sign-in of the caller's token, and that of the refresh token: all their tokens
        are void at once."""
        if by.session_id is not None:
            await self._sessions.close(by.id, by.session_id)
        if refresh_token is not None:
            await self._sessions.close_of(refresh_token)

    async def _grant(self, account: Account, session_id: str, refresh_token: str) -> Grant:
        token, expires_at = await self._tokens.issue(account, session_id)
        return Grant(account, token, refresh_token, expires_at)

    async def _by_password(self, name: str, password: str, address: str) -> Account | None:
        try:
            secret = password.encode()
            folded(name).encode()
        except UnicodeEncodeError:
            return None
        if max(len(secret), len(name)) > MAX_PASSWORD_BYTES:
            return None
        known = self._remembered.get(name, secret)
        if known is not None:
            account = await self.account(known.id)
            if account is not None and account.generation == known.generation:
                return account
        key = self._remembered.digest(name, secret) + address.encode()
        return await self._together.ask(key, lambda: self._tried(name, secret, address))

    async def _tried(self, name: str, secret: bytes, address: str) -> Account | None:
        give_back = self._take(name, address)
        try:
            account = await self._verified(name, secret)
        except (BusyError, StoreError):
            give_back()  # it was not looked at
            raise
        if account is not None:
            give_back()
            self._remembered.keep(name, secret, account)
        return account

    async def _verified(self, name: str, secret: bytes) -> Account | None:
        if self._operator.is_named(name):
            return self._operator.account if await self._operator.verify(secret) else None
        return await self._users.verify(name, secret)

    def _take(self, name: str, address: str) -> Callable[[], None]:
        """Spend a try; returns what gives it back. Raises TooManyTriesError."""
        now = self._clock()
        # A digest: a name may be long, and there may be many.
        account = blake2b(folded(name).encode(), digest_size=16).hexdigest()
        wait_s = max(
            self._by_address.wait_s(address, now), self._by_account.wait_s(address, now, account)
        )
        if wait_s:
            raise TooManyTriesError("Too many tries; come back later.", wait_s)
        self._by_address.take(address, now)
        self._by_account.take(address, now, account)

        def give_back() -> None:
            self._by_address.give_back(address, self._clock())
            self._by_account.give_back(address, self._clock(), account)

        return give_back

    async def _by_key(self, token: str) -> Principal | None:
        key = await self._keys.find(token)
        account = await self.account(key.owner) if key else None
        if key is None or account is None or account.generation != key.generation:
            return None
        self._keys.used(key)
        return account.principal(
            "key", within=key.permissions, key_id=key.id, expires_at=key.expires_at
        )

    async def _by_token(self, token: str) -> Principal | None:
        claims = await self._tokens.read(token)
        account = await self.account(claims.sub) if claims else None
        if claims is None or account is None:
            return None
        if not await self._sessions.is_open(account, claims.sid):
            return None
        return account.principal("token", session_id=claims.sid, expires_at=float(claims.exp))
