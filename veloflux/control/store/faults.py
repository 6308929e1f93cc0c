"""What went wrong with a file, in words that name it and the way out."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from veloflux.control.store.store import StoreError

_DAMAGED = "it is damaged; move it away to begin anew, and then `veloflux restore` a backup"
# By the beginning of SQLite's name for the error; https://www.sqlite.org/rescode.html
_WAYS_OUT = {
    "SQLITE_FULL": "the disk or the quota is full; make room",
    "SQLITE_READONLY": "it is read-only; let this user write to it and its directory",
    "SQLITE_CANTOPEN": "it cannot be opened; let this user write to it and its directory",
    "SQLITE_PERM": "this user may not use it; let this user write to it and its directory",
    "SQLITE_BUSY": "another program holds it; end that program's transaction",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_IOERR": "the disk gave an error, or has no room; see the system's log",
}
_UNKNOWN = "see the system's log"


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Raise what SQLite and the system say about this file as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        way_out = next((way for key, way in _WAYS_OUT.items() if name.startswith(key)), _UNKNOWN)
        raise StoreError(f"{path}: {error}; {way_out}") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoreError(
            f"{error.filename or path}: {reason}; make {os.path.dirname(path)} a directory that "
            "this user may write to, or name another as data_dir"
        ) from error


def damaged(path: str, detail: str) -> StoreError:
    """Say that a file is not what was written; nothing begins anew by itself."""
    return StoreError(f"{path}: {detail}; {_WAYS_OUT['SQLITE_CORRUPT']}")
