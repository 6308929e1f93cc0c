"""An endpoint is a row: method, path, who may call it, and the function that answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from veloflux.control.metrics import Metrics
from veloflux.control.services.principal import Principal
from veloflux.control.services.status import Status

# In place of a permission: anybody may call.
OPEN = "open"


@dataclass(frozen=True, slots=True)
class Services:
    """What the endpoints call."""

    status: Status
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Asked:
    """What an endpoint's function is given; `by` is None when the caller did not sign in."""

    services: Services
    by: Principal | None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: an object for JSON, bytes as they are with their type, or None for nothing."""

    body: object
    status: int = 200
    content_type: bytes = b"application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row; the first line of the function's docstring is its summary.

    A path under `/api/` also answers under `/api/v1/`. An open endpoint with `knows_caller` tells
    more to somebody who signs in, and refuses somebody who tries and fails.
    """

    method: str
    path: str
    permission: str
    answer: Callable[[Asked], Reply | Awaitable[Reply]]
    knows_caller: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """The canonical path and its other form."""
        if self.path.startswith("/api/"):
            return (self.path, "/api/v1/" + self.path.removeprefix("/api/"))
        return (self.path,)
