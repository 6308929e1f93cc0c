"""What was done, by whom, and what was refused."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from veloflux.control.api.endpoint import Asked, Endpoint
from veloflux.control.api.input import Moment, Paging
from veloflux.control.api.listing import Listing, listing
from veloflux.control.services.audit import Outcome
from veloflux.control.services.audit_log import AuditRecord, Wanted
from veloflux.control.services.moments import moment
from veloflux.control.services.principal import Credential


class AuditQuery(Paging):
    """Which records."""

    actor: str = Field("", max_length=256, description="Of this user, by id or by name.")
    action: str = Field(
        "", max_length=256, description="Of this operation, such as `put_api_config`."
    )
    object: str = Field("", max_length=512, description="Of this path, and what is below it.")
    since: Moment | None = Field(None, description="Written down then or later.")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One record. `credential` is how the actor has signed in; revisions are the configuration's.

    `left_out` are refusals from the same address before it, which were too many to keep.
    """

    id: int
    at: datetime
    actor: str
    actor_id: str
    credential: Credential
    key_id: str | None
    action: str
    object: str
    outcome: Outcome
    reason: str
    before_revision: int | None
    after_revision: int | None
    address: str
    request_id: str
    left_out: int


async def records(asked: Asked, query: AuditQuery) -> Listing[AuditEntry]:
    """List what was changed, who signed in and what was refused, the newest first.

    Records are kept for 90 days, at most 200,000 of them.
    """
    since = query.since.timestamp() if query.since is not None else None
    wanted = Wanted(query.actor, query.action, query.object, since)
    found, count = await asked.services.audit.page(wanted, query.page, query.page_size)
    return listing([_entry(each) for each in found], count, query)


def _entry(record: AuditRecord) -> AuditEntry:
    return AuditEntry(
        record.id,
        moment(record.at),
        record.actor,
        record.actor_id,
        record.credential,
        record.key_id,
        record.action,
        record.object,
        record.outcome,
        record.reason,
        record.before_revision,
        record.after_revision,
        record.address,
        record.request_id,
        record.left_out,
    )


ROWS = (Endpoint("GET", "/api/audit", "audit:read", records),)
