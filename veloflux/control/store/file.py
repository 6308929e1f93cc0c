"""The store's file: made whole or not at all, checked before it is used, opened for a thread.

A file that is there is never taken for a new one: what is empty or damaged is an error, and a log
without its file, too.
"""

import os
import sqlite3
from contextlib import closing, suppress
from urllib.parse import quote

from veloflux.control.store.claim import give_to_owner, sync_directory
from veloflux.control.store.faults import damaged, explained
from veloflux.control.store.schema import APPLICATION_ID, migrate

NAME = "store.db"
_BUSY_S = 5.0
_BESIDE = ("", "-journal", "-wal", "-shm")


def prepare(path: str) -> None:
    """See that there is a file of the newest schema in which nothing is damaged.

    Blocks, for seconds when the file is large. Raises StoreError, and leaves what was there.
    """
    with explained(path):
        if not os.path.lexists(path):
            if os.path.exists(f"{path}-wal"):
                raise damaged(path, "it is missing, but its log is there")
            _make(path)
        _check_outside(path)
        with closing(_open(path)) as connection:
            _check_inside(connection, path)
            migrate(connection, path)


def connect(path: str) -> sqlite3.Connection:
    """Open a file that exists, with transactions by hand; raises sqlite3.Error."""
    connection = _open(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: str) -> sqlite3.Connection:
    """Open a file without changing it."""
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None
    )
    connection.execute("PRAGMA synchronous = FULL")  # a commit returns when the disk has it
    connection.execute("PRAGMA secure_delete = FAST")  # what was deleted may have been a secret
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _make(path: str) -> None:
    """Write a new file beside, and put it in its place when it is whole and durable."""
    new = f"{path}.new"
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            os.remove(new + suffix)
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        give_to_owner(descriptor, os.path.dirname(path))
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            migrate(connection, path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(new, path)
    sync_directory(os.path.dirname(path))


def _check_outside(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if not os.fstat(descriptor).st_size:
            raise damaged(path, "it is empty")
        # The files beside it get the same mode from SQLite.
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _check_inside(connection: sqlite3.Connection, path: str) -> None:
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    if found != APPLICATION_ID:
        raise damaged(path, "it is no store of VeloFlux")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(path, verdict)
