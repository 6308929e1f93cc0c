"""What is written down of every change, sign-in and refusal."""

from dataclasses import dataclass
from typing import Literal, Protocol

from veloflux.control.services.principal import Principal

Outcome = Literal["done", "refused", "failed"]


@dataclass(slots=True)
class Entry:
    """Who did what to which object, and what became of it; `reason` says why it was not done.

    `action` is an endpoint's name such as `post_api_pools`, `object` the path of what it was done
    to. `before` and `after` are the configuration's revisions, where it changed. Whoever does it
    may put in what only they know.
    """

    by: Principal | None
    action: str
    object: str
    address: str
    request_id: str
    outcome: Outcome = "done"
    reason: str = ""
    before: int | None = None
    after: int | None = None


class Audit(Protocol):
    """Keeps the entries."""

    async def record(self, entry: Entry) -> None:
        """Append an entry, at the time it is now; raises UnavailableError when it is not kept."""
