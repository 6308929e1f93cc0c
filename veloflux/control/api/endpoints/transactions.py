"""Transactions and bulk changes: many changes as one revision, watched if wanted."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from veloflux.control.api.changing import Preview, Why, author, preview
from veloflux.control.api.endpoint import Asked, Endpoint, Reply
from veloflux.control.api.input import Input
from veloflux.control.api.parts import Seconds
from veloflux.control.services.configuration.burn import Limits
from veloflux.control.services.configuration.masks import masked, masked_route
from veloflux.control.services.configuration.operations import MAX_OPERATIONS, Batch, Kind, Result
from veloflux.control.services.configuration.transactions import Mode, State, Transaction
from veloflux.control.services.errors import InvalidError, Refusal

Operations = Annotated[list[dict[str, Any]], Field(max_length=MAX_OPERATIONS)]


class Staged(Input):
    """Changes: operations as in bulk calls, each with its `object` (pools, backends, routes), and
    parts of the configuration that are merged into it after them, or a whole one in its place."""

    operations: Operations = []
    config: dict[str, Any] = {}
    mode: Mode = "merge"


class Committing(Input):
    """How to commit."""

    watch: Seconds = Field(0.0, description="For how long to watch it; 0: not.")
    max_error_rate: float | None = Field(None, ge=0, le=1, description="The share that may fail.")
    max_p99_ms: float | None = Field(None, gt=0, description="How slow the slow ones may be.")
    reason: str = Field("", max_length=500)


class Bulk(Input):
    """Operations; atomic: all of them or none."""

    operations: Operations
    atomic: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class TransactionAnswer:
    """A transaction; `verdict` says why it ended as it did."""

    id: str
    state: State
    author: str
    reason: str
    base: int
    began_at: datetime
    expires_at: datetime
    operations: list[dict[str, Any]]
    config: dict[str, Any]
    mode: Mode
    revision: int | None
    watch_until: datetime | None
    max_error_rate: float | None
    max_p99_ms: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """What became of each operation; `revision` is in force."""

    total: int
    succeeded: int
    failed: int
    results: tuple[Result, ...]
    revision: int


async def get_transactions(asked: Asked) -> list[TransactionAnswer]:
    """List transactions that are open, and the last that ended."""
    return [_shown(each) for each in asked.services.transactions.all()]


async def begin(asked: Asked, query: Why) -> Reply[TransactionAnswer]:
    """Begin a transaction with the configuration as it is now."""
    found = await asked.services.transactions.begin(author(asked, query.reason))
    return Reply(_shown(found), location=f"/api/config/transactions/{found.id}")


async def get_transaction(asked: Asked, id: str) -> TransactionAnswer:
    """Show a transaction."""
    return _shown(asked.services.transactions.get(id))


async def stage(asked: Asked, id: str, body: Staged) -> TransactionAnswer:
    """Put changes in the place of those that are staged."""
    transactions = asked.services.transactions
    return _shown(await transactions.stage(id, body.operations, body.config, body.mode))


async def difference(asked: Asked, id: str) -> Preview:
    """Show what a commit would change."""
    return preview(await asked.services.transactions.difference(id, author(asked)))


async def commit(asked: Asked, id: str, body: Committing | None) -> TransactionAnswer:
    """Make the changes, as one revision.

    With `watch` it is observed for that long against the minute before, and rolled back by itself
    when it burns; nobody changes anything else meanwhile.
    """
    how = body or Committing.model_validate({})
    asked.entry.before = asked.services.configuration.current().number
    found, outcome = await asked.services.transactions.commit(
        id, author(asked, how.reason), how.watch, Limits(how.max_error_rate, how.max_p99_ms)
    )
    asked.entry.after = outcome.revision
    return _shown(found)


async def delete(asked: Asked, id: str) -> None:
    """Drop a transaction that is open, or roll back one that is being watched."""
    await asked.services.transactions.delete(id, author(asked))


async def bulk_pools(asked: Asked, body: Bulk) -> BulkAnswer:
    """Add, change and delete pools, many at a time."""
    return await _bulk(asked, "pools", body)


async def bulk_backends(asked: Asked, body: Bulk) -> BulkAnswer:
    """Add, change and delete backends, many at a time."""
    return await _bulk(asked, "backends", body)


async def bulk_routes(asked: Asked, body: Bulk) -> BulkAnswer:
    """Add, change and delete routes, many at a time."""
    return await _bulk(asked, "routes", body)


async def _bulk(asked: Asked, kind: Kind, body: Bulk) -> BulkAnswer:
    configuration = asked.services.configuration
    by = author(asked, f"bulk: {len(body.operations)} {kind}")
    asked.entry.before = configuration.current().number
    batch = Batch(kind, body.operations, is_atomic=body.atomic)
    is_trial = body.dry_run or asked.is_dry_run
    try:
        if is_trial:
            await configuration.check(batch, by)
        else:
            await configuration.change(batch, by)
    except InvalidError:
        if body.atomic:
            raise
        # Right one by one, as far as they are, and not together.
        results = await _one_by_one(asked, kind, body.operations, is_trial=is_trial)
    else:
        results = batch.results
    asked.entry.after = configuration.current().number
    succeeded = sum(each.status == "ok" for each in results)
    failed = len(results) - succeeded
    return BulkAnswer(
        len(results), succeeded, failed, tuple(results), configuration.current().number
    )


async def _one_by_one(
    asked: Asked, kind: Kind, operations: list[dict[str, Any]], *, is_trial: bool
) -> list[Result]:
    configuration = asked.services.configuration
    results: list[Result] = []
    for index, operation in enumerate(operations):
        batch = Batch(kind, [operation])
        action = str(operation.get("action"))[:40]
        by = author(asked, f"bulk: one of {len(operations)} {kind}")
        try:
            await (configuration.check(batch, by) if is_trial else configuration.change(batch, by))
        except Refusal as error:
            results.append(Result(index, action, "failed", error.detail))
        else:
            [found] = batch.results
            results.append(Result(index, action, found.status, found.error))
    return results


def _shown(found: Transaction) -> TransactionAnswer:
    return TransactionAnswer(
        found.id,
        found.state,
        found.author,
        found.reason,
        found.base,
        _at(found.began_at),
        _at(found.expires_at),
        [dict(masked_route(each)) for each in found.operations],
        masked(found.config),
        found.mode,
        found.revision,
        None if found.watch_until is None else _at(found.watch_until),
        found.max_error_rate,
        found.max_p99_ms,
        found.verdict,
    )


def _at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


_ALL = "/api/config/transactions"
_ONE = f"{_ALL}/{{id}}"
_WRITE = "config:write"
_FAILS = (409, 503)
_BULK: Any = {"takes_key": True, "has_dry_run": True, "problems": _FAILS}

ROWS = (
    Endpoint("GET", _ALL, _WRITE, get_transactions),
    Endpoint("POST", _ALL, _WRITE, begin, status=201, problems=(429, 503)),
    Endpoint("GET", _ONE, _WRITE, get_transaction),
    Endpoint("PUT", f"{_ONE}/changes", _WRITE, stage, problems=_FAILS),
    Endpoint("GET", f"{_ONE}/diff", _WRITE, difference),
    Endpoint("POST", f"{_ONE}/commit", _WRITE, commit, problems=_FAILS),
    Endpoint("DELETE", _ONE, _WRITE, delete, status=204, problems=_FAILS),
    Endpoint("POST", "/api/bulk/pools", "pools:write", bulk_pools, **_BULK),
    Endpoint("POST", "/api/bulk/backends", "pools:write", bulk_backends, **_BULK),
    Endpoint("POST", "/api/bulk/routes", "routes:write", bulk_routes, **_BULK),
)
