"""The platform's people: who there is, and who may change that.

Nobody gives more than they have, or changes somebody who has more. There is always an operator
among those who are enabled, once there was one. What is at stake between people (names that are
taken, the last operator, how many there are) is decided by the store's versions, not by luck.
"""

import secrets
from collections.abc import Callable

import msgspec

from veloflux.control.services.errors import ConflictError, ForbiddenError, NotFoundError
from veloflux.control.services.identity.account import Account
from veloflux.control.services.identity.hashing import NO_PASSWORD, Hashing
from veloflux.control.services.identity.person import Changes, checked, folded
from veloflux.control.services.principal import ROLES, Principal, Role
from veloflux.control.store import store as kept
from veloflux.control.store.documents import Documents, Kept
from veloflux.control.store.store import Store, Write

MAX_USERS = 1000
_TRIES = 5
EVERYBODY = "platform"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One of them; times are Unix time. `generation`: see `Account`."""

    id: str
    email: str
    role: Role
    first_name: str = ""
    last_name: str = ""
    enabled: bool = True
    password_hash: str
    generation: int = 1
    created_at: float
    updated_at: float

    @property
    def account(self) -> Account:
        """What it is to whoever signs in."""
        return Account(
            self.id, self.email, self.role, str(self.generation), self.first_name, self.last_name
        )


class Roster(msgspec.Struct, frozen=True):
    """What the users are together: how many, and which are enabled operators."""

    users: int = 0
    operators: frozenset[str] = frozenset()


class Users:
    """Keeps them in a store; `now` gives Unix time.

    Every method that waits raises StoreError; what changes something, the errors that it says.
    """

    def __init__(self, store: Store, hashing: Hashing, now: Callable[[], float]) -> None:
        self._store = store
        self._hashing = hashing
        self._now = now
        self._users = Documents(store, "user", User)
        self._names = Documents(store, "user-name", str)
        self._rosters = Documents(store, "user-roster", Roster)

    async def all(self) -> list[User]:
        """Return all, in the order of their addresses."""
        found = [each.value for each in await self._users.under()]
        return sorted(found, key=lambda user: user.email)

    async def get(self, user_id: str) -> User:
        """Return one; raises NotFoundError."""
        return (await self._kept(user_id)).value

    async def account(self, user_id: str) -> Account | None:
        """Return the account of one who is enabled."""
        found = await self._users.get(user_id)
        return found.value.account if found and found.value.enabled else None

    async def verify(self, name: str, password: bytes) -> Account | None:
        """Return whose name and password this is; raises BusyError.

        It takes as long when there is no such user.
        """
        named = await self._names.get(folded(name))
        found = await self._users.get(named.value) if named else None
        user = found.value if found and found.value.enabled else None
        is_right = await self._hashing.verify(user.password_hash if user else NO_PASSWORD, password)
        return user.account if user and is_right else None

    async def create(
        self, by: Principal, email: str, password: str, role: Role, first: str, last: str
    ) -> User:
        """Add a user; raises InvalidError, ForbiddenError, ConflictError, BusyError."""
        _may_give(by, role)
        given = checked(Changes(email=email, password=password, first_name=first, last_name=last))
        now = self._now()
        user = User(
            id=f"u-{secrets.token_hex(8)}",
            email=given.email or "",
            role=role,
            first_name=given.first_name or "",
            last_name=given.last_name or "",
            password_hash=await self._hashing.hash(password),
            created_at=now,
            updated_at=now,
        )
        await self._commit(None, user)
        return user

    async def change(self, by: Principal, user_id: str, changes: Changes) -> User:
        """Change one; raises InvalidError, ForbiddenError, NotFoundError, ConflictError, BusyError.

        Another password, and what disables, end all that was given out.
        """
        changes = checked(changes)
        before = await self._kept(user_id)
        _may_give(by, before.value.role)
        if changes.password is not None and by.id == user_id:
            raise ForbiddenError("One's own password is changed in one's profile.")
        if changes.role is not None:
            _may_give(by, changes.role)
        return await self._changed(before, changes)

    async def change_own(self, by: Principal, changes: Changes, current: str | None) -> User:
        """Change oneself; another password asks for the `current` one. Raises as `change`."""
        if by.credential == "key":
            raise ForbiddenError("A key changes nothing of its owner; sign in as yourself.")
        changes = checked(changes)
        before = await self._kept(by.id)
        if changes.password is not None and not await self._hashing.verify(
            before.value.password_hash, (current or "").encode()
        ):
            raise ForbiddenError("A new password needs the current one, as current_password.")
        return await self._changed(before, changes)

    async def delete(self, by: Principal, user_id: str) -> None:
        """Remove one, and end all that was given out; raises as `change`."""
        before = await self._kept(user_id)
        _may_give(by, before.value.role)
        await self._commit(before, None)

    async def _kept(self, user_id: str) -> Kept[User]:
        found = await self._users.get(user_id)
        if found is None:
            raise NotFoundError("There is no such user.")
        return found

    async def _changed(self, before: Kept[User], changes: Changes) -> User:
        given = {
            name: value for name, value in msgspec.structs.asdict(changes).items()
            if value is not None
        }  # fmt: skip
        password = given.pop("password", None)
        if password is not None:
            given["password_hash"] = await self._hashing.hash(password)
        user = msgspec.structs.replace(before.value, **given, updated_at=self._now())
        if password is not None or user.enabled != before.value.enabled:
            user = msgspec.structs.replace(user, generation=user.generation + 1)
        await self._commit(before, user)
        return user

    async def _commit(self, before: Kept[User] | None, after: User | None) -> None:
        """Replace the one by the other; None is no user."""
        for _ in range(_TRIES):
            try:
                await self._store.commit(*await self._writes(before, after))
            except kept.ConflictError as error:
                if error.kind == "user-name":
                    raise ConflictError("There is a user with this address already.") from None
                if error.kind == "user":
                    raise ConflictError(
                        "The user was changed by somebody else meanwhile; read it again."
                    ) from None
            else:
                return
        raise ConflictError("Users are changed by too many at this moment; try again.")

    async def _writes(self, before: Kept[User] | None, after: User | None) -> list[Write]:
        writes: list[Write] = []
        old = before.value if before else None
        if after:
            writes.append(self._users.put(after.id, after, before.version if before else 0))
        elif before:
            writes.append(self._users.delete(before.key, before.version))
        if old and (not after or folded(old.email) != folded(after.email)):
            writes.append(self._names.delete(folded(old.email)))
        if after and (not old or folded(old.email) != folded(after.email)):
            writes.append(self._names.put(folded(after.email), after.id, 0))
        found = await self._rosters.get(EVERYBODY)
        roster = found.value if found else Roster()
        turned = _turned(roster, old, after)
        if turned != roster:
            writes.append(self._rosters.put(EVERYBODY, turned, found.version if found else 0))
        return writes


def _turned(roster: Roster, old: User | None, new: User | None) -> Roster:
    users = roster.users - (old is not None) + (new is not None)
    if users > max(MAX_USERS, roster.users):
        raise ConflictError(f"There may be {MAX_USERS} users; delete one that nobody needs.")
    operators = roster.operators
    if old:
        operators -= {old.id}
    if new and new.enabled and new.role == "operator":
        operators |= {new.id}
    if roster.operators and not operators:
        raise ConflictError("This is the last operator; make somebody else operator first.")
    return Roster(users, operators)


def _may_give(by: Principal, role: Role) -> None:
    if not ROLES[role] <= by.permissions:
        raise ForbiddenError(
            f"Nobody gives more than they have, or changes who has more: the role {role} has more."
        )
