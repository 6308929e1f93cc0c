"""The audit as a log in the store: appended to, read, and never changed.

Refusals are what anybody can bring about, as often as they like. Of one address, and of all
together, only so many in a time are written down; the next one says how many were left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from twisted.logger import Logger

from veloflux.control.services.audit import Entry, Outcome
from veloflux.control.services.errors import BusyError, UnavailableError
from veloflux.control.services.principal import Credential
from veloflux.control.services.throttle import Throttle, network
from veloflux.control.store.store import Append, Record, Store, StoreError

LOG = "audit"
RETENTION_S = 90 * 86400.0
MAX_RECORDS = 200_000
# Refusals in 15 minutes: of one address, and of all.
REFUSALS_OF_ADDRESS = 20
REFUSALS = 100
MAX_READERS = 2
_MAX_ADDRESSES = 10_000
_MAX_TEXT = 512

_log = Logger()


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept of an entry; `left_out` are refusals of its address since the one before.

    `credential` is how the actor has proved it, `key_id` by which API key.
    """

    id: int = 0
    at: float = 0.0
    actor: str
    actor_id: str
    credential: Credential = "none"
    key_id: str | None = None
    action: str
    object: str
    outcome: Outcome
    reason: str = ""
    before_revision: int | None = None
    after_revision: int | None = None
    address: str
    request_id: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: of an actor (id or name), of an action, of an object or what is below it,
    and not older than `since` (Unix time)."""

    actor: str = ""
    action: str = ""
    object: str = ""
    since: float | None = None

    def takes(self, record: AuditRecord) -> bool:
        """Whether it is one of them; the time is not looked at."""
        return (
            (not self.actor or self.actor in (record.actor, record.actor_id))
            and (not self.action or self.action == record.action)
            and (
                not self.object
                or record.object == self.object
                or record.object.startswith(self.object.rstrip("/") + "/")
            )
        )


class AuditLog:
    """Implements `audit.Audit`; `now` gives Unix time, `clock` monotonic seconds."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        clock: Callable[[], float],
        max_records: int = MAX_RECORDS,
    ) -> None:
        self._store = store
        self._now = now
        self._clock = clock
        self._max_records = max_records
        self._of_address = Throttle(REFUSALS_OF_ADDRESS)
        self._of_all = Throttle(REFUSALS)
        self._left_out: dict[str, int] = {}
        self._readers = 0

    async def record(self, entry: Entry) -> None:
        """See `Audit`."""
        left_out = 0
        if entry.outcome == "refused":
            if not self._has_room(entry.address):
                return
            left_out = self._left_out.pop(network(entry.address), 0)
        by = entry.by
        record = AuditRecord(
            actor=by.name if by else "",
            actor_id=by.id if by else "",
            credential=by.credential if by else "none",
            key_id=by.key_id if by else None,
            action=entry.action,
            object=entry.object[:_MAX_TEXT],
            outcome=entry.outcome,
            reason=entry.reason[:_MAX_TEXT],
            before_revision=entry.before,
            after_revision=entry.after,
            address=entry.address,
            request_id=entry.request_id,
            left_out=left_out,
        )
        try:
            await self._store.commit(Append(LOG, self._now(), msgspec.json.encode(record)))
        except StoreError as error:
            _log.error("an audit record was not kept: {error}", error=error)
            raise UnavailableError("What is done cannot be written down at this moment.") from error

    async def page(
        self, wanted: Wanted, page: int, page_size: int
    ) -> tuple[Sequence[AuditRecord], int]:
        """Return a page of records, the newest first, and how many there are.

        Raises StoreError, and BusyError when several read already: each reads the whole log, while
        others need the store, too.
        """
        if self._readers >= MAX_READERS:
            raise BusyError("Too many read the audit at this moment.")
        self._readers += 1
        try:
            return await self._page(wanted, page, page_size)
        finally:
            self._readers -= 1

    async def sweep(self) -> int:
        """Delete what is too old or too much; returns how many."""
        until = self._now() - RETENTION_S
        newest = await self._store.records(LOG, is_newest_first=True, limit=1)
        if newest:
            after = newest[0].number - self._max_records
            oldest = await self._store.records(LOG, after=max(0, after), limit=1)
            until = max(until, oldest[0].at) if after > 0 and oldest else until
        return await self._store.trim(LOG, until)

    async def _page(
        self, wanted: Wanted, page: int, page_size: int
    ) -> tuple[Sequence[AuditRecord], int]:
        found: list[AuditRecord] = []
        first, count = (page - 1) * page_size, 0
        before: int | None = None
        while True:
            part = await self._store.records(
                LOG, before=before, since=wanted.since, is_newest_first=True
            )
            if not part:
                return found, count
            for kept in part:
                record = _read(kept)
                if wanted.takes(record):
                    if first <= count < first + page_size:
                        found.append(record)
                    count += 1
            before = part[-1].number

    def _has_room(self, address: str) -> bool:
        now = self._clock()
        if self._of_address.wait_s(address, now) or self._of_all.wait_s("", now):
            key = network(address)
            self._left_out[key] = self._left_out.pop(key, 0) + 1
            if len(self._left_out) > _MAX_ADDRESSES:
                del self._left_out[next(iter(self._left_out))]
            return False
        self._of_address.take(address, now)
        self._of_all.take("", now)
        return True


def _read(record: Record) -> AuditRecord:
    kept = msgspec.json.decode(record.body, type=AuditRecord)
    return msgspec.structs.replace(kept, id=record.number, at=record.at)
