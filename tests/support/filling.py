"""A store whose disk becomes full, and has room again; what it says and keeps meanwhile.

`python -m tests.support.filling DIRECTORY`, on a small file system with a file `ballast` beside
DIRECTORY, or under a soft limit of file sizes. Prints what was refused, or raises AssertionError.
"""

import os
import resource
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, execute

from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.store import Append, Put, StoreError

_MOST = 10_000


def main(directory: str) -> None:
    """Fill it, make room, and go on."""
    store = SqliteStore(directory, execute)
    kept: dict[str, int] = {}
    refusal = ""
    for i in range(_MOST):
        try:
            kept[f"{i:05}"] = _got(
                store.commit(Put("kind", f"{i:05}", b"x" * 5000), Append("log", 1.0, b"x"))
            )
        except StoreError as error:
            refusal = str(error)
            break
    assert refusal, "the disk was never full"
    _check(store, kept)
    for _ in range(3):
        with suppress(StoreError):
            _got(store.commit(Put("kind", "large", b"x" * 1_000_000)))
            raise AssertionError("there was room")
    _check(store, kept)
    _make_room(directory)
    kept["99999"] = _got(store.commit(Put("kind", "99999", b""), Append("log", 1.0, b"x")))
    _check(store, kept)
    _got(store.close())
    store = SqliteStore(directory, execute)
    _check(store, kept)
    _got(store.close())
    print(refusal)


def _make_room(directory: str) -> None:
    with suppress(FileNotFoundError):
        os.remove(os.path.join(os.path.dirname(directory), "ballast"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _check(store: SqliteStore, kept: dict[str, int]) -> None:
    found = {each.key: each.version for each in _got(store.scan("kind"))}
    assert found == kept, "it is not as it was"
    assert len(_got(store.records("log"))) == len(kept)


def _got(work: Any) -> Any:
    found: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(found.append)
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


if __name__ == "__main__":
    main(sys.argv[1])
