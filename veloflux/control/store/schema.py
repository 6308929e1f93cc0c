"""The tables, as numbered steps from an empty file to what this program expects.

A step is never changed once released: another is added. Each is one transaction, with its number
in `user_version`, so a process that ends in the middle leaves the step before.
"""

import sqlite3
from collections.abc import Sequence

from veloflux.control.store.store import StoreError

# "VFLX": what tells a store from any other SQLite file.
APPLICATION_ID = 0x56464C58

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        "CREATE TABLE progress (sequence INTEGER NOT NULL)",
        "INSERT INTO progress VALUES (0)",
        # A deleted document keeps its row for a while, without a body, for those who ask what
        # has changed.
        "CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,"
        " body BLOB, PRIMARY KEY (kind, key))",
        "CREATE INDEX documents_by_version ON documents (version)",
        # The last number outlives the records: no number comes twice.
        "CREATE TABLE logs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
        " last INTEGER NOT NULL)",
        "CREATE TABLE records (log INTEGER NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL,"
        " body BLOB NOT NULL, PRIMARY KEY (log, number)) WITHOUT ROWID",
        "CREATE INDEX records_by_time ON records (log, at)",
    ),
)


def migrate(
    connection: sqlite3.Connection, path: str, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Bring a file to the newest schema; raises StoreError for one that is newer still.

    sqlite3.Error leaves the file at the last step that succeeded.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(migrations):
        raise StoreError(
            f"{path} was written by a newer VeloFlux (its schema is {found}, this program knows "
            f"{len(migrations)}); run that one, or put a backup from before in its place"
        )
    for number, statements in enumerate(migrations[found:], found + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
