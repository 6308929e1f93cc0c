"""People and their API keys as a backup has them: hashes, and nothing that lets anybody in.

What was given out before (tokens, sign-ins, keys that are not in the backup) ends for everybody who
is replaced: they get a generation that they never had, so that nothing comes to life again.
"""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from veloflux.control.services.backup import Mode, Plan, Section
from veloflux.control.services.errors import ConflictError, Fault, ForbiddenError, InvalidError
from veloflux.control.services.identity.account import Account
from veloflux.control.services.identity.api_keys import MAX_KEYS, MAX_LIFETIME_S, ApiKey
from veloflux.control.services.identity.person import Changes, checked, folded, label_faults
from veloflux.control.services.identity.users import EVERYBODY, MAX_USERS, Roster, User
from veloflux.control.services.principal import OPERATOR_ID, PERMISSIONS, ROLES, Principal, Role
from veloflux.control.store.documents import Documents, Kept
from veloflux.control.store.store import Store, Write

_Time = Annotated[float, Meta(ge=0, le=1e11)]
_Name = Annotated[str, Meta(max_length=1000)]
# The pattern bounds what a verification may cost: 98 MiB and nine passes.
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=[1-9][0-9]{0,4},t=[1-9],p=[1-4]"
    r"\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,128}"
)


class SavedUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user with the hash of the password; times are Unix time."""

    # With the length, `$` is no newline.
    id: Annotated[str, Meta(pattern=r"^u-[0-9a-f]{16}$", max_length=18)]
    email: _Name
    role: Role
    first_name: _Name
    last_name: _Name
    enabled: bool
    password_hash: Annotated[str, Meta(max_length=300)]
    created_at: _Time
    updated_at: _Time


class SavedKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key with the hash of its secret; times are Unix time."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$", max_length=16)]
    owner: Annotated[str, Meta(pattern=r"^(u-[0-9a-f]{16}|operator)$")]
    name: _Name
    permissions: Annotated[frozenset[str], Meta(max_length=100)]
    secret_hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", max_length=64)]
    created_at: _Time
    expires_at: _Time
    last_used_at: _Time | None


class Saved:
    """The part of a backup that is people; `operator` is the account that the file knows."""

    sections: Mapping[str, Section] = {
        "users": Section(SavedUser, MAX_USERS),
        "api_keys": Section(SavedKey, MAX_KEYS * (MAX_USERS + 1)),
    }

    def __init__(
        self, store: Store, operator: Callable[[], Account], now: Callable[[], float]
    ) -> None:
        self._operator = operator
        self._now = now
        self._users = Documents(store, "user", User)
        self._names = Documents(store, "user-name", str)
        self._rosters = Documents(store, "user-roster", Roster)
        self._keys = Documents(store, "api-key", ApiKey)
        self._owned = Documents(store, "api-key-of", float)

    async def dump(self) -> Mapping[str, Sequence[msgspec.Struct]]:
        """Return all users, and the keys that are good; raises StoreError."""
        users = [each.value for each in await self._users.under()]
        good = self._generations(users)
        keys = [
            each.value
            for each in await self._keys.under()
            if good.get(each.value.owner) == each.value.generation
            and self._now() < each.value.expires_at
        ]
        return {
            "users": [_as(SavedUser, user) for user in users],
            "api_keys": [_as(SavedKey, key) for key in keys],
        }

    async def plan(self, by: Principal, given: Mapping[str, Sequence[Any]], mode: Mode) -> Plan:
        """Say what makes these the people there are, or puts them beside those there are.

        Raises InvalidError, ForbiddenError, ConflictError and StoreError.
        """
        if by.credential == "key" or not ROLES["operator"] <= by.permissions:
            raise ForbiddenError(
                "People are restored by an operator who has signed in, not with a key; a backup of "
                "scope=config has none."
            )
        saved: Sequence[SavedUser] = given["users"]
        keys: Sequence[SavedKey] = given["api_keys"]
        before = {each.key: each for each in await self._users.under()}
        after = {} if mode == "replace" else {id_: each.value for id_, each in before.items()}
        after |= {user.id: _restored(user, before.get(user.id)) for user in saved}
        if faults := [*_user_faults(saved, after), *_key_faults(keys, saved)]:
            raise InvalidError("The backup's people are not as they should be.", faults[:100])
        _check_rules(by, after)
        writes = [*self._user_writes(before, after), *await self._name_writes(after)]
        writes.append(await self._roster_write(after))
        changes = [*_changes(before, after)]
        writes += await self._key_writes(keys, after, mode, changes)
        return Plan(tuple(changes), tuple(writes))

    def _generations(self, users: Sequence[User]) -> dict[str, str]:
        accounts = (self._operator(), *(user.account for user in users))
        return {account.id: account.generation for account in accounts}

    def _user_writes(
        self, before: Mapping[str, Kept[User]], after: Mapping[str, User]
    ) -> Iterator[Write]:
        for id_, user in after.items():
            old = before.get(id_)
            if old is None or old.value != user:
                yield self._users.put(id_, user, old.version if old else 0)
        for id_ in before.keys() - after.keys():
            yield self._users.delete(id_, before[id_].version)

    async def _name_writes(self, after: Mapping[str, User]) -> list[Write]:
        known = {each.key: each for each in await self._names.under()}
        wanted = {folded(user.email): user.id for user in after.values()}
        puts = [
            self._names.put(name, id_, known[name].version if name in known else 0)
            for name, id_ in wanted.items()
            if name not in known or known[name].value != id_
        ]
        gone = known.keys() - wanted.keys()
        return [*puts, *(self._names.delete(name, known[name].version) for name in gone)]

    async def _roster_write(self, after: Mapping[str, User]) -> Write:
        # It is written in any case: whoever adds somebody meanwhile, or removes, comes before.
        found = await self._rosters.get(EVERYBODY)
        operators = frozenset(user.id for user in after.values() if _is_operator(user))
        return self._rosters.put(
            EVERYBODY, Roster(len(after), operators), found.version if found else 0
        )

    async def _key_writes(
        self, keys: Sequence[SavedKey], after: Mapping[str, User], mode: Mode, changes: list[str]
    ) -> list[Write]:
        generations = self._generations([*after.values()])
        writes: list[Write] = []
        old = {each.key: each.value for each in await self._keys.under()}
        for key in keys:
            if key.expires_at <= self._now():
                continue
            made = ApiKey(**msgspec.structs.asdict(key), generation=generations[key.owner])
            had = old.pop(key.id, None)
            if had and msgspec.structs.replace(had, last_used_at=made.last_used_at) == made:
                continue
            if had is not None and had.owner != key.owner:
                writes.append(self._owned.delete(f"{had.owner}/{key.id}"))
            writes.append(self._keys.put(key.id, made))
            writes.append(self._owned.put(f"{key.owner}/{key.id}", key.created_at))
            changes.append(f"key {key.id} {'changed' if had else 'added'}")
        for key_id, gone in old.items() if mode == "replace" else ():
            writes.append(self._keys.delete(key_id))
            writes.append(self._owned.delete(f"{gone.owner}/{key_id}"))
            changes.append(f"key {key_id} removed")
        return writes


def _as(shape: type[msgspec.Struct], value: msgspec.Struct) -> msgspec.Struct:
    return shape(**{name: getattr(value, name) for name in shape.__struct_fields__})


def _restored(saved: SavedUser, before: Kept[User] | None) -> User:
    if before is not None and _as(SavedUser, before.value) == saved:
        return before.value
    # With so many bits it is none that they had.
    return User(**msgspec.structs.asdict(saved), generation=secrets.randbits(52) + 2)


def _is_operator(user: User) -> bool:
    return user.enabled and user.role == "operator"


def _user_faults(saved: Sequence[SavedUser], after: Mapping[str, User]) -> Iterator[Fault]:
    ids = Counter(user.id for user in saved)
    names = Counter(folded(user.email) for user in after.values())
    for i, user in enumerate(saved):
        try:
            checked(Changes(email=user.email, first_name=user.first_name, last_name=user.last_name))
        except InvalidError as error:
            for fault in error.problems:
                yield Fault(f"/users/{i}{fault.pointer}", fault.code, fault.detail)
        if not _HASH.fullmatch(user.password_hash):
            yield Fault(f"/users/{i}/password_hash", "value", "is no hash that is made here")
        if ids[user.id] > 1:
            yield Fault(f"/users/{i}/id", "value", "is there twice")
        if names[folded(user.email)] > 1:
            yield Fault(
                f"/users/{i}/email", "value", "is somebody else's, too; replace, or delete one"
            )


def _key_faults(keys: Sequence[SavedKey], saved: Sequence[SavedUser]) -> Iterator[Fault]:
    ids, owned = Counter(key.id for key in keys), Counter(key.owner for key in keys)
    owners = {OPERATOR_ID, *(user.id for user in saved)}
    for i, key in enumerate(keys):
        place = f"/api_keys/{i}"
        for fault in label_faults("name", key.name):
            yield Fault(f"{place}{fault.pointer}", fault.code, fault.detail)
        if ids[key.id] > 1:
            yield Fault(f"{place}/id", "value", "is there twice")
        if key.owner not in owners:
            yield Fault(f"{place}/owner", "value", "is not among the users")
        elif owned[key.owner] > MAX_KEYS:
            yield Fault(f"{place}/owner", "value", f"has more than {MAX_KEYS} keys")
        if not key.permissions <= PERMISSIONS:
            yield Fault(f"{place}/permissions", "value", "has some that are not known here")
        if not 0 < key.expires_at - key.created_at <= MAX_LIFETIME_S:
            yield Fault(f"{place}/expires_at", "value", "is within 366 days of its creation")


def _check_rules(by: Principal, after: Mapping[str, User]) -> None:
    if len(after) > MAX_USERS:
        raise ConflictError(f"There may be {MAX_USERS} users; delete some, or replace.")
    myself = after.get(by.id)
    if by.id != OPERATOR_ID and (myself is None or not _is_operator(myself)):
        raise ConflictError(
            "You would be no operator any more; merge, or sign in as the operator of the file."
        )


def _changes(before: Mapping[str, Kept[User]], after: Mapping[str, User]) -> Iterator[str]:
    for id_, user in after.items():
        if id_ not in before:
            yield f"user {user.email} added"
        elif before[id_].value != user:
            yield f"user {user.email} changed"
    for id_ in before.keys() - after.keys():
        yield f"user {before[id_].value.email} removed"
