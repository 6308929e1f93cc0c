"""A store that is measured: how long it takes, what fails, and whether it works."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from veloflux.control.store.store import (
    MAX_ITEMS,
    Change,
    ConflictError,
    Document,
    Record,
    Store,
    StoreError,
    Write,
)

_WRITES = frozenset({"commit", "trim"})
_Result = TypeVar("_Result")
Observe = Callable[[str, float, bool], None]
"""Is told of an operation, its seconds, and whether it went well."""


class Measured:
    """Implements `store.Store` by another one. A conflict is an answer, and no failure."""

    def __init__(self, store: Store, clock: Callable[[], float], observe: Observe) -> None:
        self._store = store
        # Apart, because a disk that is full can still be read.
        self._faults = {"read": "", "write": ""}
        self._clock = clock
        self._observe = observe

    @property
    def fault(self) -> str:
        """Why it could not be written, or read, at the last try; empty when all is well."""
        return self._faults["write"] or self._faults["read"]

    async def get(self, kind: str, key: str) -> Document | None:
        """See `Store`."""
        return await self._measure("get", lambda: self._store.get(kind, key))

    async def scan(self, kind: str, after: str = "", limit: int = MAX_ITEMS) -> Sequence[Document]:
        """See `Store`."""
        return await self._measure("scan", lambda: self._store.scan(kind, after, limit))

    async def commit(self, *writes: Write) -> int:
        """See `Store`."""
        return await self._measure("commit", lambda: self._store.commit(*writes))

    async def changes(self, after: int, limit: int = MAX_ITEMS) -> Sequence[Change]:
        """See `Store`."""
        return await self._measure("changes", lambda: self._store.changes(after, limit))

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
        return await self._measure(
            "records",
            lambda: self._store.records(
                log,
                after=after,
                before=before,
                since=since,
                until=until,
                is_newest_first=is_newest_first,
                limit=limit,
            ),
        )

    async def trim(self, log: str, until: float) -> int:
        """See `Store`."""
        return await self._measure("trim", lambda: self._store.trim(log, until))

    async def close(self) -> None:
        """See `Store`."""
        await self._store.close()

    async def _measure(self, operation: str, do: Callable[[], Awaitable[_Result]]) -> _Result:
        began = self._clock()
        try:
            result = await do()
        except ConflictError:
            self._ended(operation, began, "")
            raise
        except StoreError as error:
            self._ended(operation, began, str(error))
            raise
        self._ended(operation, began, "")
        return result

    def _ended(self, operation: str, began: float, fault: str) -> None:
        self._faults["write" if operation in _WRITES else "read"] = fault
        self._observe(operation, self._clock() - began, not fault)
