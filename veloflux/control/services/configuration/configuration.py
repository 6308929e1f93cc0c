"""The configuration: what is in force, and every way to change it.

A change is made of the document in force, validated as the file would be, prepared by all workers,
made durable as a revision, and then served by: or nothing happened, and the error says why. One at
a time: each builds on the one before, and who was answered is served by every worker, and after a
restart as well.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from veloflux.config.problem import ConfigError
from veloflux.config.written import TRAFFIC, Document, Written, part
from veloflux.control.services.configuration.edits import Edit, Edited
from veloflux.control.services.configuration.opening import FILE, KEY, KIND, Contribution, Opening
from veloflux.control.services.configuration.proposal import Proposal, Proposer, invalid
from veloflux.control.services.configuration.revisions import (
    SHOWN,
    Entry,
    History,
    Revision,
    digest,
)
from veloflux.control.services.errors import (
    BusyError,
    ConflictError,
    Refusal,
    StaleError,
    UnavailableError,
)
from veloflux.control.store import store as storing
from veloflux.control.store.store import Put, Store, StoreError, Write
from veloflux.fleet.rollout import NotAppliedError, Rollout

# Changes that may wait for those before them.
MAX_WAITING = 200

_T = TypeVar("_T")


class InThread(Protocol):
    """Runs work in some thread, where it keeps nobody waiting."""

    def __call__(self, work: Callable[[], _T]) -> Awaitable[_T]: ...


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and why. Variables of the daemon's environment are for those who
    could read it anyway."""

    name: str
    reason: str = ""
    may_use_variables: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is in force now, or would be: `changes` are those of this call, empty for none."""

    revision: int
    etag: str
    changes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Configuration:
    """Changes what the daemon serves.

    `open_file` reads the file, and raises ConfigError. `now` gives Unix time. `on_change` is told
    each revision that has come into force.
    """

    _log = Logger()

    def __init__(
        self,
        opening: Opening,
        store: Store,
        proposer: Proposer,
        rollout: Rollout,
        open_file: Callable[[], Written],
        in_thread: InThread,
        now: Callable[[], float],
    ) -> None:
        self.history = History(opening.entries, opening.stored)
        self.does_file_rule = opening.does_file_rule
        self.has_drifted = opening.drift
        self.on_change: list[Callable[[Revision], None]] = []
        # May refuse changes while something is under way; raises Refusal.
        self.checks: list[Callable[[], None]] = []
        self._opening = opening
        self._contribution = opening.contribution
        self._proposer = proposer
        self._rollout = rollout
        self._open_file = open_file
        self._in_thread = in_thread
        self._now = now
        self._store = store
        self._waiting = 0
        self._reloads: list[Deferred[Outcome]] = []
        self._is_reloading = False

    def current(self) -> Revision:
        """Return the revision in force."""
        return self.history.current

    def revisions(self) -> Sequence[Entry]:
        """Return what is said of all revisions that are kept, oldest first."""
        return self.history.entries

    async def revision(self, number: int) -> Revision:
        """Return one with its document; raises NotFoundError or UnavailableError."""
        try:
            return await self.history.get(self._store, number)
        except StoreError as error:
            raise UnavailableError(str(error)) from None

    async def start(self) -> None:
        """Bring the first revision into force; raises ListenError, RolloutError or StoreError."""
        opening = self._opening
        packed = opening.packed
        if packed is None:
            self._log.info(
                "revision {number}, by {author}, is the last that was stored",
                number=opening.revision.number,
                author=opening.revision.entry.author,
            )
            await self._rollout.start()
        else:
            also = _contributed(opening.contribution)
            await self._rollout.start(
                lambda: self.history.append(self._store, opening.revision, packed, also)
            )
        if self.has_drifted:
            self._say_drift()
        self._tell()

    async def check(self, edit: Edit, author: Author) -> Proposal:
        """Say what a change would be, without making it; raises Refusal."""
        return await self._propose(edit, author, is_trial=True)

    async def difference(self, one: Revision, other: Revision) -> tuple[str, ...]:
        """Say what makes one revision of another; raises ConflictError for one that was good once
        and is not any more."""
        try:
            return await self._in_thread(
                lambda: self._proposer.difference(one.document, other.document)
            )
        except ConfigError as error:
            raise ConflictError(f"One of the two cannot be read any more: {error}.") from None

    @property
    def bootstrap(self) -> Document:
        """What the file alone says; it may have a password in it."""
        return self._proposer.bootstrap

    async def change(
        self, edit: Edit, author: Author, if_match: str | None = None, *also: Write
    ) -> Outcome:
        """Make a change, if the revision in force is the one of `if_match`.

        It is made also when nobody waits for it any more. `also` is written with it. Raises
        Refusal, and then nothing has changed.
        """
        if self.does_file_rule:
            raise ConflictError(
                "The configuration file rules (authority: file): edit it and reload, or write "
                "authority: store there."
            )
        return await self._detached(self._change(edit, author, if_match, also))

    async def roll_back(self, number: int, author: Author, *also: Write) -> Outcome:
        """Make a revision that says what an earlier one said; raises Refusal."""
        earlier = await self.revision(number)
        reason = author.reason or f"back to revision {number}"
        by = Author(author.name, reason, may_use_variables=True)
        return await self.change(lambda _: Edited(earlier.document), by, None, *also)

    async def reload(self, author: Author, *, is_forced: bool = False) -> Outcome:
        """Take what the file says now as the next revision; raises Refusal.

        A file that says what it said when it was last taken has nothing new to say, and leaves what
        was changed meanwhile, unless `is_forced`. Whoever asks while one runs gets the result of
        the next, which reads the file after they asked: a storm costs no more than one after
        another.
        """
        if is_forced:
            return await self._detached(self._reload(author, is_forced=True))
        asked: Deferred[Outcome] = Deferred()
        self._reloads.append(asked)
        self._run_reloads(author)
        return await asked

    # One at a time

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise BusyError(f"{self._waiting} changes wait already; try again later.")
        self._waiting += 1
        try:
            async with self._rollout.turn:
                yield
        finally:
            self._waiting -= 1

    async def _change(
        self, edit: Edit, author: Author, if_match: str | None, also: Sequence[Write]
    ) -> Outcome:
        async with self._turn():
            for check in self.checks:
                check()
            if if_match is not None and if_match != self.current().etag:
                raise StaleError(
                    f"The configuration is at revision {self.current().number} by now.",
                    self.current().etag,
                )
            return await self._bring(await self._propose(edit, author), author, also)

    async def _propose(self, edit: Edit, author: Author, *, is_trial: bool = False) -> Proposal:
        base, node = self.current(), self._rollout.node
        return await self._in_thread(
            lambda: self._proposer.propose(
                base, node, edit, may_use_variables=author.may_use_variables, is_trial=is_trial
            )
        )

    async def _bring(
        self, proposal: Proposal, author: Author, also: Sequence[Write] = ()
    ) -> Outcome:
        if not proposal.is_new:
            if also:
                await self._write(*also)
            self._rollout.confirm()
            return Outcome(proposal.base.number, proposal.base.etag, (), proposal.warnings)
        texts = tuple(change.text for change in proposal.changes)
        entry = Entry(
            number=proposal.base.number + 1,
            at=self._now(),
            author=author.name,
            reason=author.reason,
            parent=proposal.base.number,
            changes=texts[:SHOWN],
            omitted=max(0, len(texts) - SHOWN),
            digest=proposal.digest,
        )
        revision = Revision(entry, proposal.document)
        try:
            await self._rollout.bring(
                proposal.node,
                proposal.changes,
                lambda: self.history.append(self._store, revision, proposal.packed, *also),
            )
        except NotAppliedError as error:
            raise ConflictError(f"Nothing was changed: {error}.") from None
        except storing.ConflictError as error:
            raise StaleError(f"Nothing was changed: {error}.") from None
        except StoreError as error:
            raise UnavailableError(f"Nothing was changed: {error}.") from None
        self._tell()
        return Outcome(entry.number, entry.etag, texts, proposal.warnings)

    async def _write(self, *writes: Write) -> None:
        try:
            await self._store.commit(*writes)
        except StoreError as error:
            raise UnavailableError(f"Nothing was changed: {error}.") from None

    def _tell(self) -> None:
        for tell in self.on_change:
            tell(self.current())

    # The file

    def _run_reloads(self, author: Author) -> None:
        if not self._reloads or self._is_reloading:
            return
        self._is_reloading = True
        batch, self._reloads = self._reloads, []

        def tell(result: Outcome | Failure) -> None:
            self._is_reloading = False
            for asked in batch:
                asked.callback(result)
            self._run_reloads(author)

        Deferred.fromCoroutine(self._reload(author)).addBoth(tell)

    async def _reload(self, author: Author, *, is_forced: bool = False) -> Outcome:
        try:
            async with self._turn():
                for check in self.checks:
                    check()
                return await self._take_file(author, is_forced=is_forced)
        except Refusal as error:
            lines = tuple(each.detail for each in error.problems) or (error.detail,)
            self._rollout.refused(lines)
            self._rollout.report(self._log.error, lines)
            self._log.error(
                "the configuration was not reloaded; revision {number} stays in force",
                number=self.current().number,
            )
            raise
        except Exception as error:
            self._rollout.refused((f"internal error: {error!r}",))
            raise

    async def _take_file(self, author: Author, *, is_forced: bool) -> Outcome:
        base, node = self.current(), self._rollout.node
        try:
            written = await self._in_thread(self._open_file)
        except ConfigError as error:
            raise invalid(error) from None
        fresh = await self._in_thread(lambda: digest(part(written.document, TRAFFIC)))
        proposal = await self._in_thread(lambda: self._proposer.take(base, node, written))
        self._rollout.report(self._log.warn, proposal.warnings)
        needs_restart = any(change.needs_restart for change in proposal.changes)
        if fresh == self._contribution.digest and not (is_forced or needs_restart):
            self._log.info("the configuration was read again; nothing has changed in the file")
            self._rollout.confirm()
            self.has_drifted = False
            return Outcome(base.number, base.etag, (), proposal.warnings)
        contribution = Contribution(fresh, base.number + proposal.is_new)
        by = Author(author.name, author.reason or "the file was changed", True)
        outcome = await self._bring(proposal, by, [_contributed(contribution)])
        self._contribution = contribution
        self.has_drifted = False
        return outcome

    def look(self, written: Written) -> None:
        """Take note of what the file says now: whether it is what it last contributed."""
        before = self.has_drifted
        self.has_drifted = digest(part(written.document, TRAFFIC)) != self._contribution.digest
        if self.has_drifted and not before:
            self._say_drift()

    def drift(self) -> str:
        """Say how the file differs from what it last contributed; empty when it does not."""
        if not self.has_drifted:
            return ""
        return (
            "the configuration file says something else than what was last taken of it; revision "
            f"{self.current().number} stays in force, and a reload takes the file"
        )

    def _say_drift(self) -> None:
        self._log.warn("{drift}", drift=self.drift())

    async def _detached(self, work: Coroutine[Deferred[Any], Any, _T]) -> _T:
        """Wait for work that goes on when nobody waits for it: a change ends as it has begun."""
        done: Deferred[_T] = Deferred()

        def tell(result: _T | Failure) -> None:
            if isinstance(result, Failure) and done.called and not result.check(Refusal):
                self._log.failure("a change failed that nobody waits for", result)
            done.callback(result)

        Deferred.fromCoroutine(work).addBoth(tell)
        return await done


def _contributed(contribution: Contribution) -> Write:
    return Put(KIND, KEY, msgspec.json.encode(contribution))


BY_FILE = Author(FILE, "", may_use_variables=True)
