"""An endpoint is a row: method, path, who may call it, and the function that answers.

What the function takes and gives is read from its annotations, so that the type checker, the
validation and the document cannot disagree. Its first argument is `Asked`; parameters of the path
have their names, `query` is a model of the query, `body` of the JSON body (`… | None`: there may be
none). It returns the answer, or a `Reply` with one; a `None` is an answer without content.

    async def rename(asked: Asked, name: Name, body: NewName) -> Reply[Pool]: ...
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Generic, Protocol, TypeVar

from veloflux.control.metrics import Metrics
from veloflux.control.observatory import Observatory
from veloflux.control.services.audit import Entry
from veloflux.control.services.audit_log import AuditLog
from veloflux.control.services.backup import Backup
from veloflux.control.services.configuration.configuration import Configuration
from veloflux.control.services.configuration.transactions import Transactions
from veloflux.control.services.drains import Drains
from veloflux.control.services.explaining import Explainer
from veloflux.control.services.feed import Feed
from veloflux.control.services.identity.people import People
from veloflux.control.services.principal import Principal
from veloflux.control.services.rest import Rest
from veloflux.control.services.status import Status
from veloflux.control.services.tickets import Tickets

# In place of a permission: anybody may call, or anybody who has signed in.
OPEN = "open"
SIGNED_IN = "signed in"

MAX_BODY_BYTES = 1024 * 1024
JSON = "application/json"

_T = TypeVar("_T", covariant=True)
_R = TypeVar("_R")


class InThread(Protocol):
    """Runs work where it keeps nobody waiting."""

    def __call__(self, work: Callable[[], _R]) -> Awaitable[_R]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the endpoints call."""

    status: Status
    metrics: Metrics
    observatory: Observatory
    people: People
    audit: AuditLog
    feed: Feed
    tickets: Tickets[Principal]
    configuration: Configuration
    drains: Drains
    transactions: Transactions
    explainer: Explainer
    rest: Rest
    backup: Backup


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, from where, and under which id; `by` is None when the caller did not sign in.

    With `is_dry_run` nothing may change (`Endpoint.has_dry_run`). What only the function knows
    of the `entry` for the audit it puts there: the revisions before and after. `is_secure` tells
    that the call came over TLS.
    """

    services: Services
    by: Principal | None
    address: str
    request_id: str
    is_dry_run: bool
    entry: Entry
    cookies: Mapping[str, str] = field(default_factory=dict)
    is_secure: bool = False

    @property
    def principal(self) -> Principal:
        """Who asks, where the row lets in nobody unknown."""
        assert self.by is not None
        return self.by


@dataclass(frozen=True, slots=True)
class Reply(Generic[_T]):
    """An answer with more than its content.

    Status 0 is the row's; `etag` has no quotes, and is made from the content when it is empty and
    the row has one; `location` is the path of what was created. `cookie` is a whole Set-Cookie.
    """

    body: _T
    status: int = 0
    content_type: str = ""
    etag: str = ""
    location: str = ""
    cookie: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row; the first line of the function's docstring is its summary, the rest describes it.

    A path under `/api/` also answers under `/api/v1/`. An open endpoint with `knows_caller` tells
    more to somebody who signs in, and refuses somebody who tries and fails. `status` is that of
    success, `also` are others with the same content. `problems` are the errors that the function
    has of its own: those that follow from the row are known. With `has_dry_run` there is
    `?dry_run=true`, see `Asked`. `produces` are the answer's types, the first unless it says.
    With `has_etag` the content has an entity tag, which conditions are about. With `takes_key` a
    call may be repeated under its Idempotency-Key. `policy` is a page's Content-Security-Policy.
    Successes are written down when it changes something, or as `is_audited` says: where nothing
    that lasts changes they need not be, and where secrets are read they are.
    """

    method: str
    path: str
    permission: str
    answer: Callable[..., object]
    knows_caller: bool = False
    _: KW_ONLY
    status: int = 200
    also: tuple[int, ...] = ()
    problems: tuple[int, ...] = ()
    produces: tuple[str, ...] = (JSON,)
    max_body_bytes: int = MAX_BODY_BYTES
    has_dry_run: bool = False
    has_etag: bool = False
    takes_key: bool = False
    policy: str = ""
    is_audited: bool | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The canonical path and its other form."""
        if self.path.startswith("/api/"):
            return (self.path, "/api/v1/" + self.path.removeprefix("/api/"))
        return (self.path,)

    @property
    def name(self) -> str:
        """What it is called in the document and the audit: `put_api_pools_by_name`."""
        path = re.sub(r"\{(\w+)\}", r"by_\1", self.path)
        return "_".join([self.method.lower(), *(re.findall(r"\w+", path) or ["root"])])

    @property
    def tag(self) -> str:
        """The group it stands with: the first word under `/api/`."""
        area = self.path.removeprefix("/api/").partition("/")[0]
        return area if self.path.startswith("/api/") else "daemon"

    @property
    def changes(self) -> str:
        """What it changes, of which there is one change at a time; empty where nobody minds."""
        if self.is_safe or self.permission == OPEN:
            return ""
        area = self.tag if self.permission == SIGNED_IN else self.permission.partition(":")[0]
        return "config" if area in ("pools", "routes") else area

    @property
    def is_written_down(self) -> bool:
        """Whether the audit has its successes."""
        return not self.is_safe if self.is_audited is None else self.is_audited

    @property
    def is_safe(self) -> bool:
        """Whether it changes nothing (RFC 9110, section 9.2.1)."""
        return self.method == "GET"
