"""The platform's people."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from veloflux.control.api.endpoint import Asked, Endpoint, Reply
from veloflux.control.api.input import Input, Paging
from veloflux.control.api.listing import Listing, cut
from veloflux.control.services.identity.person import MAX_EMAIL, MIN_PASSWORD, Changes
from veloflux.control.services.identity.users import User
from veloflux.control.services.moments import moment
from veloflux.control.services.principal import Role

UserId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]


class UserQuery(Paging):
    """Which of them."""

    role: Role | None = Field(None, description="Those with this role alone.")
    enabled: bool | None = Field(None, description="Those who may sign in, or may not.")


# What the service asks of them, and says in its own words.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: dict[str, Any] = {
    "pattern": rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(\.{_LABEL})*$",
    "maxLength": MAX_EMAIL,
    "examples": ["ada@example.org"],
}
_PASSWORD: dict[str, Any] = {"minLength": MIN_PASSWORD}


class NewUser(Input):
    """Somebody who shall be able to sign in."""

    email: str = Field(
        description="What they sign in with; nobody else has it.", json_schema_extra=_EMAIL
    )
    password: str = Field(description="12 characters at least.", json_schema_extra=_PASSWORD)
    role: Role
    first_name: str = ""
    last_name: str = ""


class UserChange(Input):
    """What changes; the rest stays."""

    email: str | None = Field(None, json_schema_extra=_EMAIL)
    password: str | None = Field(None, json_schema_extra=_PASSWORD)
    role: Role | None = None
    first_name: str | None = None
    last_name: str | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class UserEntry:
    """One of them, without the password."""

    id: str
    email: str
    role: Role
    first_name: str
    last_name: str
    enabled: bool
    created_at: datetime
    updated_at: datetime


async def users(asked: Asked, query: UserQuery) -> Listing[UserEntry]:
    """List the users in the order of their addresses."""
    found = [
        _entry(user)
        for user in await asked.services.people.users.all()
        if query.role in (None, user.role) and query.enabled in (None, user.enabled)
    ]
    return cut(found, query)


async def create(asked: Asked, body: NewUser) -> Reply[UserEntry]:
    """Add a user, with no more permissions than one has."""
    user = await asked.services.people.users.create(
        asked.principal, body.email, body.password, body.role, body.first_name, body.last_name
    )
    asked.entry.object = f"/api/users/{user.id}"
    return Reply(_entry(user), location=asked.entry.object)


async def read(asked: Asked, user_id: UserId) -> UserEntry:
    """Give a user."""
    return _entry(await asked.services.people.users.get(user_id))


async def change(asked: Asked, user_id: UserId, body: UserChange) -> UserEntry:
    """Change a user; nobody changes who has more than they.

    Another password, and disabling, end the user's sign-ins and API keys at once. There is always
    an operator who may sign in.
    """
    changes = Changes(**body.model_dump())
    return _entry(await asked.services.people.users.change(asked.principal, user_id, changes))


async def delete(asked: Asked, user_id: UserId) -> None:
    """Delete a user, whose sign-ins and API keys end at once."""
    await asked.services.people.users.delete(asked.principal, user_id)


def _entry(user: User) -> UserEntry:
    return UserEntry(
        user.id,
        user.email,
        user.role,
        user.first_name,
        user.last_name,
        user.enabled,
        moment(user.created_at),
        moment(user.updated_at),
    )


_ONE = "/api/users/{user_id}"

ROWS = (
    Endpoint("GET", "/api/users", "users:read", users),
    Endpoint("POST", "/api/users", "users:write", create, status=201, problems=(409,)),
    Endpoint("GET", _ONE, "users:read", read, has_etag=True),
    Endpoint("PUT", _ONE, "users:write", change, has_etag=True, problems=(409,)),
    Endpoint("DELETE", _ONE, "users:write", delete, status=204, problems=(409,)),
)
