"""Who may do what: permissions are strings `area:verb`, roles are sets of them.

Write does not include read; whoever is to do both has both.
"""

from dataclasses import dataclass
from typing import Literal

Role = Literal["operator", "owner", "admin", "member", "viewer"]
Credential = Literal["none", "basic", "token", "key"]

_READ = frozenset(
    {"config:read", "logs:read", "metrics:read", "pools:read", "routes:read", "users:read"}
)
_CHANGE = frozenset({"config:write", "pools:write", "routes:write"})

# What each role may. The platform's operator may everything; the others act within their tenant.
ROLES: dict[Role, frozenset[str]] = {
    "viewer": _READ - {"users:read"},
    "member": (_READ | _CHANGE) - {"users:read", "config:write"},
    "admin": _READ | _CHANGE | {"audit:read", "users:write"},
    "owner": _READ | _CHANGE | {"audit:read", "users:write"},
    "operator": _READ
    | _CHANGE
    | {"audit:read", "users:write", "cluster:read", "streams:control", "system:admin"},
}

# All that anybody may be allowed.
PERMISSIONS = frozenset().union(*ROLES.values())


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody known, and what they may do.

    `id` is stable for ever, `name` is what they sign in with. `tenant_id` is None for the
    platform's own people. `credential` is how they proved it, and `key_id` which API key;
    `session_id` is of the sign-in that a token is from. `expires_at` is the Unix time at which the
    proof ends, None for one that does not; `generation` is that of the account's password then.
    """

    id: str
    name: str
    role: Role
    permissions: frozenset[str]
    tenant_id: str | None = None
    credential: Credential = "none"
    key_id: str | None = None
    session_id: str | None = None
    expires_at: float | None = None
    generation: str = ""


OPERATOR_ID = "operator"
# Where the API asks nobody who is there.
ANYBODY = Principal(OPERATOR_ID, "anybody", "operator", ROLES["operator"])
