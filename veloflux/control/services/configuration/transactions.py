"""Transactions: changes that are staged, compared and made at once, and watched for a while.

One is open until it is committed or expires. A commit checks that nobody has changed the
configuration since the transaction began. Watched, it rolls itself back when traffic burns, and is
confirmed when it does not. Meanwhile nobody else changes anything, so that rolling back takes
nobody's change along. A watch that the daemon did not live to see the end of is rolled back at the
next start: nobody knows whether the change is what ended it.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from veloflux.config.written import Document
from veloflux.control.services.configuration.burn import Counts, Limits, burns
from veloflux.control.services.configuration.configuration import Author, Configuration, Outcome
from veloflux.control.services.configuration.edits import Edited
from veloflux.control.services.configuration.operations import MAX_OPERATIONS, Batch
from veloflux.control.services.configuration.proposal import Proposal
from veloflux.control.services.configuration.shared import merged, replaced
from veloflux.control.services.errors import (
    BusyError,
    ConflictError,
    InvalidError,
    NotFoundError,
    Refusal,
    StaleError,
    UnavailableError,
)
from veloflux.control.store.store import Delete, Put, Store, StoreError, Write

KIND = "transaction"
MAX_OPEN = 100
KEPT = 100
OPEN_S = 3600.0
MAX_WATCH_S = 3600.0
LOOK_S = 1.0

State = Literal["open", "committed", "watching", "confirmed", "rolled_back", "expired"]
# What becomes of the configuration that is staged: put beside what there is, or in its place.
Mode = Literal["merge", "replace"]
_VELOFLUX = "veloflux"


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction; times are Unix time. `base` is the revision it began with, `revision` the
    one it became, and `verdict` says why it ended as it did."""

    id: str
    author: str
    reason: str = ""
    state: State = "open"
    base: int
    base_etag: str
    began_at: float
    expires_at: float
    operations: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    mode: Mode = "merge"
    revision: int | None = None
    watch_until: float | None = None
    max_error_rate: float | None = None
    max_p99_ms: float | None = None
    verdict: str = ""


class Transactions:
    """Keeps them, and watches one. `counts` gives what was counted of all requests until now,
    `before` what was in the last minute; `now` is Unix time."""

    _log = Logger()

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        clock: IReactorTime,
        now: Callable[[], float],
        counts: Callable[[], Counts],
        before: Callable[[], Counts],
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._now = now
        self._counts = counts
        self._before = before
        self._all: dict[str, Transaction] = {}
        self._watched: str | None = None
        self._baseline = self._since = Counts()
        self._is_looking = False
        self._look = LoopingCall(self._tick)
        self._look.clock = clock
        configuration.checks.append(self._check)

    async def start(self) -> None:
        """Go on with those of before a restart; raises StoreError."""
        for found in await self._store.scan(KIND):
            transaction = _transaction.decode(found.body)
            self._all[transaction.id] = transaction
        for each in list(self._all.values()):
            if each.state == "watching":
                await self._resolve(each)

    def stop(self) -> None:
        """Watch no more."""
        if self._look.running:
            self._look.stop()

    def all(self) -> list[Transaction]:
        """Return all that are kept, the newest first."""
        self._expire()
        return sorted(self._all.values(), key=lambda each: each.began_at, reverse=True)

    def get(self, wanted: str) -> Transaction:
        """Return one; raises NotFoundError."""
        self._expire()
        if wanted not in self._all:
            raise NotFoundError("There is no such transaction.")
        return self._all[wanted]

    async def begin(self, author: Author) -> Transaction:
        """Begin one; raises BusyError when too many are open."""
        self._expire()
        if sum(each.state == "open" for each in self._all.values()) >= MAX_OPEN:
            raise BusyError(f"{MAX_OPEN} transactions are open; commit or delete some.")
        now, current = self._now(), self._configuration.current()
        transaction = Transaction(
            id=f"t-{secrets.token_hex(8)}",
            author=author.name,
            reason=author.reason,
            base=current.number,
            base_etag=current.etag,
            began_at=now,
            expires_at=now + OPEN_S,
        )
        done = [each for each in self.all() if each.state not in ("open", "watching")]
        gone = [each.id for each in done[KEPT - 1 :]]
        await self._save(transaction, *(Delete(KIND, each) for each in gone))
        for each in gone:
            del self._all[each]
        return transaction

    async def stage(
        self,
        wanted: str,
        operations: Sequence[dict[str, Any]],
        config: dict[str, Any],
        mode: Mode = "merge",
    ) -> Transaction:
        """Put these changes in the place of those that are staged; raises Refusal."""
        if len(operations) > MAX_OPERATIONS:
            raise InvalidError(f"There may be {MAX_OPERATIONS} operations.")
        staged = msgspec.structs.replace(
            self._open(wanted),
            operations=list(operations),
            config=config,
            mode=mode,
            expires_at=self._now() + OPEN_S,
        )
        await self._save(staged)
        return staged

    async def difference(self, wanted: str, author: Author) -> Proposal:
        """Say what a commit would change; raises Refusal."""
        return await self._configuration.check(self._edit(self.get(wanted)), author)

    async def commit(
        self, wanted: str, author: Author, watch_s: float, limits: Limits
    ) -> tuple[Transaction, Outcome]:
        """Make its changes, and watch them for so long; raises Refusal, and it stays open."""
        transaction = self._open(wanted)
        if watch_s > MAX_WATCH_S:
            raise InvalidError(f"A watch lasts {MAX_WATCH_S:.0f} s at most.")
        number = self._configuration.current().number + 1
        committed = msgspec.structs.replace(
            transaction,
            state="watching" if watch_s else "committed",
            revision=number,
            watch_until=self._now() + watch_s if watch_s else None,
            max_error_rate=limits.max_error_rate,
            max_p99_ms=limits.max_p99_ms,
        )
        baseline, since = self._before(), self._counts()
        by = Author(author.name, author.reason or transaction.reason, author.may_use_variables)
        try:
            outcome = await self._configuration.change(
                self._edit(transaction), by, transaction.base_etag, _put(committed)
            )
        except StaleError:
            raise ConflictError(
                f"The configuration has changed since revision {transaction.base}, with which this "
                "transaction began; begin another."
            ) from None
        if outcome.revision != number:
            # There was nothing to change, so there is nothing to watch.
            committed = msgspec.structs.replace(
                committed, state="committed", revision=outcome.revision, watch_until=None
            )
            await self._save(committed)
        self._all[wanted] = committed
        if committed.state == "watching":
            self._watched = wanted
            self._baseline, self._since = baseline, since
            self._look.start(LOOK_S, now=False)
        return committed, outcome

    async def delete(self, wanted: str, author: Author) -> None:
        """Drop one that is open, or roll back one that is watched; raises Refusal."""
        transaction = self.get(wanted)
        if transaction.state == "watching":
            await self._roll_back(transaction, f"{author.name} ended the watch")
            return
        if transaction.state != "open":
            raise ConflictError(f"This transaction is {transaction.state}.")
        await self._write(Delete(KIND, wanted))
        del self._all[wanted]

    def _open(self, wanted: str) -> Transaction:
        transaction = self.get(wanted)
        if transaction.state != "open":
            raise ConflictError(f"This transaction is {transaction.state}; begin another.")
        return transaction

    def _edit(self, transaction: Transaction) -> Callable[[Document], Edited]:
        batch = Batch(None, transaction.operations)

        def edit(document: Document) -> Edited:
            edited = batch(document)
            if batch.failed:
                first = next(each for each in batch.results if each.status == "failed")
                raise InvalidError(f"Operation {first.index} is not right: {first.error}")
            take = merged if transaction.mode == "merge" else replaced
            return take(transaction.config)(edited.document)

        return edit

    # Watching

    def _check(self) -> None:
        """Let nobody else change what is watched."""
        if self._watched is not None:
            found = self._all[self._watched]
            raise ConflictError(
                f"Revision {found.revision} is being watched; wait until that is over, or roll it "
                f"back by deleting the transaction {found.id}."
            )

    def _tick(self) -> "Deferred[None] | None":
        if self._watched is None or self._is_looking:
            return None
        transaction = self._all[self._watched]
        until = transaction.watch_until or 0.0
        is_over = self._now() >= until
        after = self._counts().since(self._since)
        limits = Limits(transaction.max_error_rate, transaction.max_p99_ms)
        verdict = burns(self._baseline, after, limits, is_over=is_over)
        if not verdict and not is_over:
            return None
        self._is_looking = True
        ending = self._roll_back(transaction, verdict) if verdict else self._confirm(transaction)
        return Deferred.fromCoroutine(ending).addErrback(self._failed).addBoth(self._looked)

    def _looked(self, result: None) -> None:
        self._is_looking = False

    def _failed(self, failure: Any) -> None:
        if failure.check(Refusal):
            self._log.error("a watch could not be ended: {why}", why=failure.value.detail)
        else:
            self._log.failure("a watch could not be ended", failure)

    async def _confirm(self, transaction: Transaction) -> None:
        confirmed = msgspec.structs.replace(transaction, state="confirmed", verdict="all went well")
        await self._save(confirmed)
        self._log.info("revision {number} is confirmed", number=transaction.revision)
        self._unwatch()

    async def _roll_back(self, transaction: Transaction, verdict: str) -> None:
        self._log.warn(
            "revision {number} is rolled back: {verdict}",
            number=transaction.revision,
            verdict=verdict,
        )
        back = msgspec.structs.replace(transaction, state="rolled_back", verdict=verdict)
        watched, self._watched = self._watched, None
        try:
            await self._configuration.roll_back(
                transaction.base,
                Author(_VELOFLUX, f"revision {transaction.revision} burned: {verdict}"),
                _put(back),
            )
        except Refusal:
            self._watched = watched  # and tried again
            raise
        self._all[transaction.id] = back
        self._unwatch()

    async def _resolve(self, transaction: Transaction) -> None:
        """End a watch that a restart has interrupted."""
        if transaction.revision != self._configuration.current().number:
            over = msgspec.structs.replace(
                transaction, state="confirmed", verdict="another revision came after it"
            )
            await self._save(over)
            return
        try:
            await self._roll_back(transaction, "the daemon ended while it was watched")
        except Refusal as error:
            self._log.error("it could not be rolled back: {why}", why=error.detail)

    def _unwatch(self) -> None:
        self._watched = None
        if self._look.running:
            self._look.stop()

    # The store

    def _expire(self) -> None:
        now = self._now()
        for each in list(self._all.values()):
            if each.state == "open" and now >= each.expires_at:
                self._all[each.id] = msgspec.structs.replace(each, state="expired", operations=[])

    async def _save(self, transaction: Transaction, *also: Write) -> None:
        await self._write(_put(transaction), *also)
        self._all[transaction.id] = transaction

    async def _write(self, *writes: Write) -> None:
        try:
            await self._store.commit(*writes)
        except StoreError as error:
            raise UnavailableError(f"Nothing was changed: {error}.") from None


def _put(transaction: Transaction) -> Write:
    return Put(KIND, transaction.id, msgspec.json.encode(transaction))


_transaction = msgspec.json.Decoder(Transaction)
