"""A store in memory, for tests of what stands on one; it passes the contract."""

from collections.abc import Sequence

from veloflux.control.store.store import (
    MAX_ITEMS,
    Append,
    Change,
    ConflictError,
    Document,
    Put,
    Record,
    StoreError,
    Write,
)


class MemoryStore:
    """Set `fault`, and every call fails with it."""

    def __init__(self) -> None:
        self.fault: StoreError | None = None
        self.documents: dict[tuple[str, str], Document] = {}
        self.logs: dict[str, list[Record]] = {}
        self._sequence = 0
        self._latest: dict[tuple[str, str], Change] = {}
        self._numbers: dict[str, int] = {}

    async def get(self, kind: str, key: str) -> Document | None:
        self._check()
        return self.documents.get((kind, key))

    async def scan(self, kind: str, after: str = "", limit: int = MAX_ITEMS) -> Sequence[Document]:
        self._check()
        found = [self.documents[each] for each in sorted(self.documents)]
        return [each for each in found if each.kind == kind and each.key > after][: _cut(limit)]

    async def commit(self, *writes: Write) -> int:
        self._check()
        sequence = self._sequence + 1
        documents, latest = dict(self.documents), dict(self._latest)
        for write in writes:
            if isinstance(write, Append):
                continue
            place = write.kind, write.key
            actual = documents[place].version if place in documents else 0
            if write.expected not in (None, actual):
                raise ConflictError(write.kind, write.key, write.expected or 0, actual)
            if isinstance(write, Put):
                documents[place] = Document(write.kind, write.key, sequence, write.body)
            elif documents.pop(place, None) is None:
                continue
            latest[place] = Change(sequence, *place, sequence if place in documents else 0)
        self.documents, self._latest, self._sequence = documents, latest, sequence
        for write in writes:
            if isinstance(write, Append):
                number = self._numbers[write.log] = self._numbers.get(write.log, 0) + 1
                record = Record(write.log, number, write.at, write.body)
                self.logs.setdefault(write.log, []).append(record)
        return sequence

    async def changes(self, after: int, limit: int = MAX_ITEMS) -> Sequence[Change]:
        self._check()
        found = sorted(
            (each for each in self._latest.values() if each.sequence > after),
            key=lambda change: (change.sequence, change.kind, change.key),
        )
        last = found[_cut(limit) - 1].sequence if len(found) >= _cut(limit) > 0 else None
        return [each for each in found if last is None or each.sequence <= last]

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
        self._check()
        found = [
            each
            for each in self.logs.get(log, [])
            if after < each.number
            and (before is None or each.number < before)
            and (since is None or each.at >= since)
            and (until is None or each.at < until)
        ]
        return (found[::-1] if is_newest_first else found)[: _cut(limit)]

    async def trim(self, log: str, until: float) -> int:
        self._check()
        kept = [each for each in self.logs.get(log, []) if each.at >= until]
        trimmed = len(self.logs.get(log, [])) - len(kept)
        self.logs[log] = kept
        return trimmed

    async def close(self) -> None:
        self.fault = StoreError("it is closed")

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


def _cut(limit: int) -> int:
    return max(0, min(limit, MAX_ITEMS))
