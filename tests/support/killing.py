"""Writers that are killed while they write, again and again, and what their store has then.

`python -m tests.support.killing DIRECTORY ROUNDS`: each round is a process of its own that commits
as fast as it can and says so after each; it is killed with SIGKILL, and the store is opened and
compared with all that was ever said. Prints one line, `KILLS COMMITS`, or raises AssertionError.

The writers are forks of this process, which has imported everything once.
"""

import os
import random
import select
import signal
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.selectreactor import SelectReactor

from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.store import Append, Put
from veloflux.control.store.thread import Thread

_AT_ONCE = 8


def main(directory: str, rounds: int) -> None:
    """Kill writers, and check after each."""
    luck = random.Random(0)
    said: dict[str, int] = {}
    kills = 0
    for number in range(rounds):
        told = _killed(directory, f"{number:04}", luck.uniform(0.0, 0.05))
        said |= told
        kills += 1
        _check(directory, said)
    print(kills, len(said))


def _killed(directory: str, name: str, after_s: float) -> dict[str, int]:
    """Start a writer, kill it so long after its first commit; returns its commits."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _run(directory, name, writing)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        # A quarter are killed at their start, while the file is made, opened or mended.
        if int(name) % 4:
            select.select([reading], [], [], 20.0)
        time.sleep(after_s)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with open(reading) as lines:
        whole = [line for line in lines.read().splitlines(keepends=True) if line.endswith("\n")]
    return {key: int(sequence) for key, sequence in (line.split() for line in whole)}


def _run(directory: str, name: str, writing: int) -> None:
    reactor = SelectReactor()
    thread = Thread(reactor)
    store = SqliteStore(directory, thread)
    thread.start()

    async def write(which: int) -> None:
        for count in range(1, 1 << 30):
            key = f"{name}-{which}-{count:06}"
            sequence = await store.commit(
                Put("one", key, b"x" * (count * 37 % 3000)),
                Put("counts", f"{name}-{which}", b"%d" % count),
                Append("log", 1.0, key.encode()),
                Put("two", key, b""),
            )
            os.write(writing, f"{key} {sequence}\n".encode())

    for which in range(_AT_ONCE):
        Deferred.fromCoroutine(write(which)).addErrback(lambda failure: os._exit(1))
    reactor.run(installSignalHandlers=False)


def _check(directory: str, said: dict[str, int]) -> None:
    store = SqliteStore(directory, execute)
    ones, twos = _all(store, "one"), _all(store, "two")
    logged = [record.body.decode() for record in _records(store)]
    assert ones == twos, "half a commit is there"
    assert sorted(ones) == sorted(logged), "half a commit is there"
    lost = [key for key, sequence in said.items() if ones.get(key) != sequence]
    assert not lost, f"{len(lost)} commits that returned are gone, {lost[:3]} first"
    counts = {key.rpartition("-")[0]: 0 for key in ones}
    for key in ones:
        writer, _, count = key.rpartition("-")
        counts[writer] = max(counts[writer], int(count))
    for writer, count in counts.items():
        kept = _got(store.get("counts", writer))
        assert int(kept.body) == count, f"{writer} is at {kept.body!r}, not {count}"
    _got(store.close())


def _all(store: SqliteStore, kind: str) -> dict[str, int]:
    found: dict[str, int] = {}
    after = ""
    while part := _got(store.scan(kind, after)):
        found |= {document.key: document.version for document in part}
        after = part[-1].key
    return found


def _records(store: SqliteStore) -> list[Any]:
    found: list[Any] = []
    while part := _got(store.records("log", after=len(found))):
        found += part
    assert [record.number for record in found] == list(range(1, len(found) + 1))
    return found


def _got(work: Any) -> Any:
    found: list[Any] = []
    Deferred.fromCoroutine(work).addCallbacks(
        found.append, lambda failure: failure.raiseException()
    )
    return found[0]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
