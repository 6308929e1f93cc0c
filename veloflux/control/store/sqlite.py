"""The store of a single node: an SQLite file, worked on in one thread.

Commits that wait together share a transaction, and so one wait for the disk; each is still all or
nothing for itself. SQLite because it is in Python's standard library, survives the loss of power
at any instant, and needs nobody to look after it.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from veloflux.control.store.claim import Claim
from veloflux.control.store.database import Database
from veloflux.control.store.file import NAME, prepare
from veloflux.control.store.store import (
    MAX_ITEMS,
    Append,
    Change,
    Document,
    Record,
    StoreError,
    Write,
)

# What may wait for the thread. More means that the disk does not keep up.
MAX_WAITING = 1000
MAX_BODY_BYTES = 64 * 1024 * 1024
# Commits in one transaction.
_TOGETHER = 256
# Records deleted in one transaction: others want the thread, too.
_TRIM = 5000

_Result = TypeVar("_Result")


class InThread(Protocol):
    """Runs work where it keeps nobody waiting, one after another, always in the same thread."""

    def __call__(self, work: Callable[[], _Result]) -> Deferred[_Result]: ...


class SqliteStore:
    """Implements `store.Store`; `directory` is this process's alone until it is closed."""

    def __init__(self, directory: str, in_thread: InThread) -> None:
        """Block until the file is checked; raises StoreError.

        What is done before the reactor runs is done through `now`; the process may fork after it.
        """
        self._claim = Claim(directory)
        self._path = os.path.join(directory, NAME)
        try:
            prepare(self._path)
        except BaseException:
            self._claim.release()
            raise
        self._in_thread = in_thread
        self._database: Database | None = None
        self._waiting = 0
        self._commits: list[tuple[Sequence[Write], Deferred[int]]] = []
        self._is_writing = False
        self._is_closed = False

    def now(self, work: Callable[[Database], _Result]) -> _Result:
        """Do work on a connection of its own, and block: for the start. Raises StoreError."""
        with closing(Database(self._path)) as database:
            return work(database)

    async def get(self, kind: str, key: str) -> Document | None:
        """See `Store`."""
        return await self._ask(lambda database: database.get(kind, key))

    async def scan(self, kind: str, after: str = "", limit: int = MAX_ITEMS) -> Sequence[Document]:
        """See `Store`."""
        return await self._ask(lambda database: database.scan(kind, after, limit))

    async def commit(self, *writes: Write) -> int:
        """See `Store`. It is also done when nobody waits for it any more."""
        for write in writes:
            _check(write)
        self._enter()
        done: Deferred[int] = Deferred()
        self._commits.append((writes, done))
        if not self._is_writing:
            self._write()
        return await done

    async def changes(self, after: int, limit: int = MAX_ITEMS) -> Sequence[Change]:
        """See `Store`."""
        return await self._ask(lambda database: database.changes(after, limit))

    async def records(
        self,
        log: str,
        *,
        after: int = 0,
        before: int | None = None,
        since: float | None = None,
        until: float | None = None,
        is_newest_first: bool = False,
        limit: int = MAX_ITEMS,
    ) -> Sequence[Record]:
        """See `Store`."""
        return await self._ask(
            lambda database: database.records(
                log,
                after=after,
                before=before,
                since=since,
                until=until,
                is_newest_first=is_newest_first,
                limit=limit,
            )
        )

    async def trim(self, log: str, until: float) -> int:
        """See `Store`. It is done in parts; after an error some may be gone."""
        trimmed = 0
        while True:
            part = await self._ask(lambda database: database.trim(log, until, _TRIM))
            trimmed += part
            if part < _TRIM:
                return trimmed

    async def close(self) -> None:
        """See `Store`."""
        if self._is_closed:
            return
        while self._commits:
            self._write()
        closed = self._ask(lambda database: database.close())
        self._is_closed = True
        try:
            await closed
        finally:
            self._claim.release()

    def _ask(self, work: Callable[[Database], _Result]) -> Deferred[_Result]:
        self._enter()
        done: Deferred[_Result] = Deferred()

        def tell(result: _Result | Failure) -> None:
            self._waiting -= 1
            done.callback(result)

        self._in_thread(lambda: work(self._opened())).addBoth(tell)
        return done

    def _enter(self) -> None:
        if self._is_closed:
            raise StoreError(f"{self._path} is closed, for the daemon ends")
        if self._waiting >= MAX_WAITING:
            raise StoreError(
                f"{self._path}: {self._waiting} calls wait for the disk already; try again later"
            )
        self._waiting += 1

    def _opened(self) -> Database:
        """Return this thread's connection. It is opened here: it must not see a fork."""
        if self._database is None:
            self._claim.name_holder()
            self._database = Database(self._path)
        return self._database

    def _write(self) -> None:
        taken, self._commits = self._commits[:_TOGETHER], self._commits[_TOGETHER:]
        self._is_writing = bool(taken)
        if not taken:
            return

        def tell(found: list[int | StoreError] | Failure) -> None:
            self._waiting -= len(taken)
            # Those who came meanwhile are under way before anybody is told.
            self._write()
            for i, (_, done) in enumerate(taken):
                result = found if isinstance(found, Failure) else found[i]
                if isinstance(result, int):
                    done.callback(result)
                else:
                    done.errback(result)

        self._in_thread(lambda: self._opened().commit_all([writes for writes, _ in taken])).addBoth(
            tell
        )


def _check(write: Write) -> None:
    """Refuse what the file would not take: one such must not spoil the transaction of others."""
    name = write.log if isinstance(write, Append) else f"{write.kind} {write.key}"
    name.encode()
    if len(getattr(write, "body", b"")) > MAX_BODY_BYTES:
        raise StoreError(f"{name}: a body may have {MAX_BODY_BYTES} bytes")
