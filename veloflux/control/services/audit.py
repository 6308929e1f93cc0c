"""What is written down of every change, sign-in and refusal."""

from dataclasses import dataclass
from typing import Literal, Protocol

from veloflux.control.services.principal import Principal

Outcome = Literal["done", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to which object; `reason` says why not, where it was not done.

    `action` is an endpoint's name such as `create_pool`, `object` the path of what it was done to.
    `before` and `after` are the configuration's revisions, where it changed.
    """

    by: Principal | None
    action: str
    object: str
    outcome: Outcome
    reason: str
    address: str
    request_id: str
    before: int | None = None
    after: int | None = None


@dataclass(slots=True)
class Note:
    """What only the function that does something knows of it, for its entry."""

    object: str = ""
    before: int | None = None
    after: int | None = None


class Audit(Protocol):
    """Keeps the entries."""

    async def record(self, entry: Entry) -> None:
        """Append an entry, at the time it is now; raises UnavailableError when it is not kept."""
