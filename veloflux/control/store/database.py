"""Documents and logs in one SQLite file.

Everything here blocks, and belongs to the thread that opened it.
"""

import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from veloflux.control.store.faults import explained
from veloflux.control.store.file import connect
from veloflux.control.store.store import (
    MAX_ITEMS,
    Append,
    Change,
    ConflictError,
    Delete,
    Document,
    Put,
    Record,
    StoreError,
    Write,
)

# For so many commits it is known what was deleted.
REMEMBERED = 100_000
# Deletions are forgotten once in so many commits.
_FORGET_EVERY = 1000
_LARGEST = 2**63 - 1

_RECORDS = (
    "SELECT name, number, at, body FROM records JOIN logs ON log = id"
    " WHERE name = ? AND number >= ? AND number <= ? AND at >= ? AND at < ? ORDER BY number"
)
_OLDEST = f"{_RECORDS} LIMIT ?"
_NEWEST = f"{_RECORDS} DESC LIMIT ?"


class Database:
    """One connection to a file that `file.prepare` has seen to; every method raises StoreError."""

    def __init__(self, path: str) -> None:
        self._path = path
        with explained(path):
            self._connection = connect(path)
            self._file = os.stat(path).st_ino

    def get(self, kind: str, key: str) -> Document | None:
        """Return one document."""
        rows = self._read(
            "SELECT kind, key, version, body FROM documents"
            " WHERE kind = ? AND key = ? AND body IS NOT NULL",
            kind,
            key,
        )
        return Document(*rows[0]) if rows else None

    def scan(self, kind: str, after: str = "", limit: int = MAX_ITEMS) -> list[Document]:
        """Return documents in the order of their keys."""
        rows = self._read(
            "SELECT kind, key, version, body FROM documents"
            " WHERE kind = ? AND key > ? AND body IS NOT NULL ORDER BY key LIMIT ?",
            kind,
            after,
            _bounded(limit),
        )
        return [Document(*row) for row in rows]

    def commit(self, *writes: Write) -> int:
        """Write all or nothing; returns the commit's sequence number once it is on the disk."""
        (found,) = self.commit_all([writes])
        if isinstance(found, StoreError):
            raise found
        return found

    def commit_all(self, commits: Sequence[Sequence[Write]]) -> list[int | StoreError]:
        """Do several commits for the price of one; each for itself is all or nothing."""
        try:
            with explained(self._path), self._transaction():
                return [self._attempt(writes) for writes in commits]
        except StoreError as error:
            if len(commits) == 1:
                return [error]
        # What is too large for the disk, say, takes nobody along.
        return [self.commit_all([writes])[0] for writes in commits]

    def changes(self, after: int, limit: int = MAX_ITEMS) -> list[Change]:
        """Return the latest change of each document that has changed, in whole commits."""
        with explained(self._path), self._transaction("BEGIN"):
            last = self._sequence()
            if 0 < after < last - REMEMBERED:
                raise StoreError(
                    f"{self._path}: what was deleted after commit {after} is no longer known; "
                    "read everything anew"
                )
            until = self._connection.execute(
                "SELECT version FROM documents WHERE version > ? ORDER BY version LIMIT 1 OFFSET ?",
                (after, max(0, _bounded(limit) - 1)),
            ).fetchone() or (last,)
            rows = self._connection.execute(
                "SELECT version, kind, key, CASE WHEN body IS NULL THEN 0 ELSE version END"
                " FROM documents WHERE version > ? AND version <= ?"
                " ORDER BY version, kind, key",
                (after, *until),
            ).fetchall()
        return [Change(*row) for row in rows]

    def records(
        self,
        log: str,
        *,
        after: int = 0,
        before: int | None = None,
        since: float | None = None,
        until: float | None = None,
        is_newest_first: bool = False,
        limit: int = MAX_ITEMS,
    ) -> list[Record]:
        """Return records in the order of their numbers, or in the other."""
        first, last = after + 1, _LARGEST if before is None else before - 1
        earliest = -math.inf if since is None else since
        latest = math.inf if until is None else until
        with explained(self._path), self._transaction("BEGIN"):
            if since is not None or until is not None:
                # By number alone, all of the log that is out of the time would be read as well.
                lowest, highest = self._connection.execute(
                    "SELECT min(number), max(number) FROM records JOIN logs ON log = id"
                    " WHERE name = ? AND at >= ? AND at < ?",
                    (log, earliest, latest),
                ).fetchone()
                if lowest is None:
                    return []
                first, last = max(first, lowest), min(last, highest)
            rows = self._connection.execute(
                _NEWEST if is_newest_first else _OLDEST,
                (log, first, last, earliest, latest, _bounded(limit)),
            ).fetchall()
        return [Record(*row) for row in rows]

    def trim(self, log: str, until: float, limit: int) -> int:
        """Delete at most so many of the records that are older; returns how many."""
        with explained(self._path), self._transaction():
            return self._connection.execute(
                "DELETE FROM records WHERE (log, number) IN (SELECT log, number FROM records"
                " JOIN logs ON log = id WHERE name = ? AND at < ? ORDER BY at LIMIT ?)",
                (log, until, limit),
            ).rowcount

    def close(self) -> None:
        """Close the file; the last to do so moves the log's content into it."""
        with explained(self._path):
            self._connection.close()

    def _read(self, query: str, *values: object) -> list[tuple[str, str, int, bytes]]:
        with explained(self._path):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        # A file that was removed or replaced would take writes, and nobody would see them again.
        if os.stat(self._path).st_ino != self._file:
            raise StoreError(f"{self._path} was replaced while in use; restart to use the new one")
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            # Where all was written and only the last wait for the disk failed, what was taken back
            # is whole in the log, and would be there again after a crash.
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raise

    def _sequence(self) -> int:
        (sequence,) = self._connection.execute("SELECT sequence FROM progress").fetchone()
        return int(sequence)

    def _attempt(self, writes: Sequence[Write]) -> int | StoreError:
        execute = self._connection.execute
        execute("SAVEPOINT attempt")
        try:
            sequence = self._sequence() + 1
            execute("UPDATE progress SET sequence = ?", (sequence,))
            for write in writes:
                self._write(write, sequence)
            if sequence % _FORGET_EVERY == 0:
                execute(
                    "DELETE FROM documents WHERE version < ? AND body IS NULL",
                    (sequence - REMEMBERED,),
                )
        except ConflictError as error:
            execute("ROLLBACK TO attempt")
            execute("RELEASE attempt")
            return error
        execute("RELEASE attempt")
        return sequence

    def _write(self, write: Write, sequence: int) -> None:
        if isinstance(write, Append):
            self._append(write)
            return
        row = self._connection.execute(
            "SELECT version FROM documents WHERE kind = ? AND key = ? AND body IS NOT NULL",
            (write.kind, write.key),
        ).fetchone()
        actual = row[0] if row else 0
        if write.expected is not None and write.expected != actual:
            raise ConflictError(write.kind, write.key, write.expected, actual)
        if isinstance(write, Delete):
            self._connection.execute(
                "UPDATE documents SET version = ?, body = NULL"
                " WHERE kind = ? AND key = ? AND body IS NOT NULL",
                (sequence, write.kind, write.key),
            )
        else:
            self._put(write, sequence)

    def _put(self, write: Put, sequence: int) -> None:
        self._connection.execute(
            "INSERT INTO documents (kind, key, version, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE"
            " SET version = excluded.version, body = excluded.body",
            (write.kind, write.key, sequence, write.body),
        )

    def _append(self, write: Append) -> None:
        execute = self._connection.execute
        execute(
            "INSERT INTO logs (name, last) VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET last = last + 1",
            (write.log,),
        )
        execute(
            "INSERT INTO records (log, number, at, body)"
            " SELECT id, last, ?, ? FROM logs WHERE name = ?",
            (write.at, write.body, write.log),
        )


def _bounded(limit: int) -> int:
    return max(0, min(limit, MAX_ITEMS))
