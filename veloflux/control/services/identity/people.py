"""All that has to do with who people are, made together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from veloflux.control.services.identity.api_keys import ApiKeys
from veloflux.control.services.identity.hashing import Hashing, InThread
from veloflux.control.services.identity.identity import Identity
from veloflux.control.services.identity.saved import Saved
from veloflux.control.services.identity.sessions import Sessions
from veloflux.control.services.identity.signing import SigningKeys
from veloflux.control.services.identity.tokens import Tokens
from veloflux.control.services.identity.users import Users
from veloflux.control.services.operator import Operator
from veloflux.control.store.store import Store


@dataclass(frozen=True, slots=True)
class People:
    """The services, which know each other."""

    operator: Operator
    users: Users
    sessions: Sessions
    keys: ApiKeys
    signing: SigningKeys
    identity: Identity
    saved: Saved

    async def sweep_sessions(self) -> None:
        """Forget sign-ins that have ended."""
        await self.sessions.sweep(self._alive())

    async def sweep_keys(self) -> None:
        """Forget API keys that have ended."""
        await self.keys.sweep(self._alive())

    def _alive(self) -> Callable[[str, str], Awaitable[bool]]:
        """`Identity.is_alive`, which asks the store once for each account."""
        known: dict[tuple[str, str], bool] = {}

        async def is_alive(account_id: str, generation: str) -> bool:
            asked = account_id, generation
            if asked not in known:
                known[asked] = await self.identity.is_alive(*asked)
            return known[asked]

        return is_alive


def people(
    store: Store,
    in_thread: InThread,
    now: Callable[[], float],
    clock: Callable[[], float],
) -> People:
    """Make them; `now` gives Unix time, `clock` monotonic seconds."""
    hashing = Hashing(in_thread)
    operator = Operator(hashing)
    users = Users(store, hashing, now)
    sessions = Sessions(store, now)
    keys = ApiKeys(store, now)
    signing = SigningKeys(store, now)
    identity = Identity(operator, users, sessions, keys, Tokens(signing, now), clock)
    saved = Saved(store, lambda: operator.account, now)
    return People(operator, users, sessions, keys, signing, identity, saved)
