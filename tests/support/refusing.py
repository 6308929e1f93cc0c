"""Commits until one is refused, says which, and ends as if it were killed.

`python -m tests.support.refusing DIRECTORY`, under a program that makes a wait for the disk fail.
Prints the number of the commit that was refused.
"""

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred, execute

from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.store import Put, StoreError

_MOST = 20


def main(directory: str) -> None:
    """Write one document after another."""
    store = SqliteStore(directory, execute)
    for i in range(_MOST):
        found: list[Any] = []
        Deferred.fromCoroutine(store.commit(Put("kind", f"{i:02}", b""))).addBoth(found.append)
        if not isinstance(found[0], int):
            found[0].trap(StoreError)
            os.write(1, b"%d\n" % i)
            break
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
