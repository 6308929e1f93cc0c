"""Somebody who can sign in, whether the configuration or the store knows them."""

from dataclasses import dataclass

from veloflux.control.services.principal import ROLES, Credential, Principal, Role


@dataclass(frozen=True, slots=True)
class Account:
    """An account that may be used; one that is disabled is none.

    `name` is what they sign in with. What was given out (tokens, keys, remembered passwords) names
    the `generation` it was given for, and ends with it: another password makes another generation.
    """

    id: str
    name: str
    role: Role
    generation: str
    first_name: str = ""
    last_name: str = ""
    tenant_id: str | None = None

    def principal(
        self,
        credential: Credential,
        *,
        within: frozenset[str] | None = None,
        key_id: str | None = None,
        session_id: str | None = None,
        expires_at: float | None = None,
    ) -> Principal:
        """Make who acts with that credential, limited to permissions when `within` has some."""
        permissions = ROLES[self.role]
        return Principal(
            self.id,
            self.name,
            self.role,
            permissions if within is None else permissions & within,
            self.tenant_id,
            credential,
            key_id,
            session_id,
            expires_at,
            self.generation,
        )
