"""Signing in, and what one has by it: tokens, a profile, API keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from veloflux.control.api import cookie
from veloflux.control.api.endpoint import OPEN, SIGNED_IN, Asked, Endpoint, Reply
from veloflux.control.api.input import Input, Moment, Paging
from veloflux.control.api.listing import Listing, cut
from veloflux.control.services.errors import ConflictError, SignInError, UnauthenticatedError
from veloflux.control.services.identity.account import Account
from veloflux.control.services.identity.api_keys import DEFAULT_LIFETIME_S, ApiKey
from veloflux.control.services.identity.identity import Grant
from veloflux.control.services.identity.person import MAX_NAME, Changes
from veloflux.control.services.identity.signing import PublicKey
from veloflux.control.services.moments import moment
from veloflux.control.services.principal import OPERATOR_ID, Credential, Role

KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
_CONFIGURED = "The operator's name and password are in the configuration; change them there."


class Login(Input):
    """Who signs in: `email` or `username`, which is the same, and a password."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": [name],
                    "properties": {name: {"type": "string"}, other: {"type": "null"}},
                }
                for name, other in (("email", "username"), ("username", "email"))
            ]
        }
    )

    email: str | None = Field(None, max_length=1024)
    username: str | None = Field(None, max_length=1024)
    password: str
    tenant_id: str | None = Field(None, description="The tenant's; left out by the platform's own.")
    cookie: bool = Field(False, description="Keep the refresh token in a cookie, out of scripts.")

    @model_validator(mode="after")
    def _has_one_name(self) -> "Login":
        if (self.email is None) == (self.username is None):
            raise ValueError("has either email or username")
        return self


class Refresh(Input):
    """A refresh token; without one that of the cookie counts, or the access token of the call."""

    refresh_token: str | None = Field(None, max_length=256)
    cookie: bool = Field(False, description="Keep the next one in a cookie.")


class Logout(Input):
    """A refresh token whose sign-in shall end as well."""

    refresh_token: str | None = Field(None, max_length=256)


class Profile(Input):
    """What changes; the rest stays."""

    first_name: str | None = None
    last_name: str | None = None
    password: str | None = Field(None, description="A new one, of 12 characters at least.")
    current_password: str | None = Field(None, description="Needed for a new password.")


class NewKey(Input):
    """What a program shall be let in with."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    permissions: list[str] | None = Field(
        None, max_length=100, description="Some of yours; all of them when it is left out."
    )
    expires_at: Moment | None = Field(
        None, description="Within 366 days; in 90 days when it is left out."
    )


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who can sign in; `tenant_id` is null for the platform's own people."""

    user_id: str
    email: str
    tenant_id: str | None
    role: Role
    first_name: str
    last_name: str


@dataclass(frozen=True, slots=True)
class Signed:
    """Tokens: one for calls, for `expires_in` seconds, and one to get the next with."""

    token: str
    refresh_token: str | None
    expires_at: datetime
    expires_in: int
    user: Who
    token_type: str = "Bearer"  # noqa: S105  # the kind of token, not one


@dataclass(frozen=True, slots=True)
class Verified:
    """Who calls, by what, and until when that is good; null where it does not end."""

    valid: bool
    user: Who
    permissions: tuple[str, ...]
    credential: Credential
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret."""

    id: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class MadeKey(Key):
    """A new API key; `key` is what to send as a bearer token, and is shown this once."""

    key: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys (RFC 7517)."""

    keys: list[PublicKey]


async def login(asked: Asked, body: Login) -> Reply[Signed]:
    """Sign in with a name and a password.

    Five wrong tries in 15 minutes for a name from an address, then 429. With `cookie` the refresh
    token comes as a cookie that scripts cannot read.
    """
    identity = asked.services.people.identity
    name = body.email if body.email is not None else body.username or ""
    grant = await identity.login(name, body.password, asked.address, body.tenant_id)
    return _signed(asked, grant, body.cookie)


async def refresh(asked: Asked, body: Refresh | None) -> Reply[Signed]:
    """Get the next tokens with a refresh token, or with an access token that is still good.

    A refresh token is good once. One that comes again ends the whole sign-in.
    """
    identity = asked.services.people.identity
    sent = body.refresh_token if body else None
    of_cookie = asked.cookies.get(cookie.NAME) if sent is None else None
    token = sent if of_cookie is None else of_cookie
    if token is not None:
        grant = await identity.refresh(token)
    elif asked.by is not None:
        grant = await identity.prolong(asked.by)
    else:
        raise SignInError("This needs a refresh token, or an access token.")
    return _signed(asked, grant, of_cookie is not None or (body is not None and body.cookie))


async def logout(asked: Asked, body: Logout | None) -> Reply[None]:
    """Sign out: the tokens of this sign-in are void at once."""
    token = (body and body.refresh_token) or asked.cookies.get(cookie.NAME)
    await asked.services.people.identity.logout(asked.principal, token)
    gone = cookie.forgetting(asked.is_secure) if cookie.NAME in asked.cookies else ""
    return Reply(None, cookie=gone)


async def verify(asked: Asked) -> Verified:
    """Tell who calls, and what they may."""
    by = asked.principal
    return Verified(
        True,
        _who(await _account(asked)),
        tuple(sorted(by.permissions)),
        by.credential,
        None if by.expires_at is None else moment(by.expires_at),
    )


async def profile(asked: Asked) -> Who:
    """Give one's own name and role."""
    return _who(await _account(asked))


async def change_profile(asked: Asked, body: Profile) -> Who:
    """Change one's own name or password.

    A new password asks for the current one, and ends every sign-in and API key, this one too.
    """
    by = asked.principal
    if by.id == OPERATOR_ID:
        raise ConflictError(_CONFIGURED)
    given = body.model_dump(exclude={"current_password"})
    users = asked.services.people.users
    user = await users.change_own(by, Changes(**given), body.current_password)
    return _who(user.account)


async def keys(asked: Asked, query: Paging) -> Listing[Key]:
    """List one's API keys that are good, the newest first."""
    account = await _account(asked)
    found = await asked.services.people.keys.of(account.id, account.generation)
    return cut([_key(each) for each in found], query)


async def make_key(asked: Asked, body: NewKey) -> Reply[MadeKey]:
    """Make an API key; its secret is in this answer and nowhere else."""
    account = await _account(asked)
    people = asked.services.people
    lifetime_s = DEFAULT_LIFETIME_S
    if body.expires_at is not None:
        lifetime_s = body.expires_at.timestamp() - people.keys.now()
    permissions = None if body.permissions is None else frozenset(body.permissions)
    made, secret = await people.keys.create(
        asked.principal, account.generation, body.name, permissions, lifetime_s
    )
    asked.entry.object = f"/api/auth/keys/{made.id}"
    shown = _key(made)
    answer = MadeKey(
        shown.id,
        shown.name,
        shown.permissions,
        shown.created_at,
        shown.expires_at,
        shown.last_used_at,
        secret,
    )
    return Reply(answer, location=asked.entry.object)


async def delete_key(asked: Asked, key_id: KeyId) -> None:
    """Delete an API key; it is void at once."""
    await asked.services.people.keys.delete(asked.principal, key_id)


async def public_keys(asked: Asked) -> KeySet:
    """Give the public keys that access tokens are signed with."""
    return KeySet(await asked.services.people.signing.published())


async def _account(asked: Asked) -> Account:
    account = await asked.services.people.identity.account(asked.principal.id)
    if account is None:
        raise UnauthenticatedError("The account was deleted meanwhile.")
    return account


def _signed(asked: Asked, grant: Grant, as_cookie: bool) -> Reply[Signed]:
    asked.entry.by = grant.account.principal("token")
    answer = Signed(
        grant.token,
        None if as_cookie else grant.refresh_token,
        moment(grant.expires_at),
        grant.expires_in_s,
        _who(grant.account),
    )
    kept = cookie.keeping(grant.refresh_token, asked.is_secure) if as_cookie else ""
    return Reply(answer, cookie=kept)


def _who(account: Account) -> Who:
    return Who(
        account.id,
        account.name,
        account.tenant_id,
        account.role,
        account.first_name,
        account.last_name,
    )


def _key(key: ApiKey) -> Key:
    return Key(
        key.id,
        key.name,
        tuple(sorted(key.permissions)),
        moment(key.created_at),
        moment(key.expires_at),
        None if key.last_used_at is None else moment(key.last_used_at),
    )


ROWS = (
    Endpoint("POST", "/api/auth/login", OPEN, login, problems=(401,)),
    Endpoint("POST", "/api/auth/refresh", OPEN, refresh, knows_caller=True),
    Endpoint("POST", "/api/auth/logout", SIGNED_IN, logout, status=204),
    Endpoint("GET", "/api/auth/verify", SIGNED_IN, verify),
    Endpoint("GET", "/api/profile", SIGNED_IN, profile),
    Endpoint("PUT", "/api/profile", SIGNED_IN, change_profile, problems=(409,)),
    Endpoint("GET", "/api/auth/keys", SIGNED_IN, keys),
    Endpoint("POST", "/api/auth/keys", SIGNED_IN, make_key, status=201, problems=(409,)),
    Endpoint("DELETE", "/api/auth/keys/{key_id}", SIGNED_IN, delete_key, status=204),
    Endpoint("GET", "/.well-known/jwks.json", OPEN, public_keys),
)
