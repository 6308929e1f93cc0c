"""What the control plane asks of whatever keeps its state.

Documents are named by a kind and a key, and have a version. Records are appended to a log and never
change. One commit writes any number of both, all or nothing, and what it has returned from
survives the process's end at any instant. Bodies are bytes to the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

# An answer holds so many at the most; whoever wants more asks again after the last.
MAX_ITEMS = 1000


class StoreError(Exception):
    """It could not be read or written, and nothing was; the text says why and what to do."""


class ConflictError(StoreError):
    """A write expected another version; nothing was written. `actual` is 0 where there is none."""

    def __init__(self, kind: str, key: str, expected: int, actual: int) -> None:
        self.kind = kind
        self.key = key
        self.expected = expected
        self.actual = actual
        super().__init__(f"{kind} {key} is at version {actual}, not {expected}")


@dataclass(frozen=True, slots=True)
class Document:
    """One document; its version is the sequence number of the commit that wrote it."""

    kind: str
    key: str
    version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a log; numbers grow by one within a log, `at` is Unix time."""

    log: str
    number: int
    at: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """That a document was written or, with version 0, deleted by the commit of this sequence."""

    sequence: int
    kind: str
    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a document; `expected` is the version it must have now: 0 none, None any."""

    kind: str
    key: str
    body: bytes
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a document if there is one; `expected` as for Put."""

    kind: str
    key: str
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Append a record to a log; `at` is Unix time."""

    log: str
    at: float
    body: bytes


Write: TypeAlias = Put | Delete | Append


class Store(Protocol):
    """Raises StoreError from every method when the state cannot be reached."""

    async def get(self, kind: str, key: str) -> Document | None:
        """Return one document as the last commit left it."""

    async def scan(self, kind: str, after: str = "", limit: int = MAX_ITEMS) -> Sequence[Document]:
        """Return documents of a kind whose keys come after `after`, in the order of their keys."""

    async def commit(self, *writes: Write) -> int:
        """Write all or nothing; returns the commit's sequence number once it is durable.

        Raises ConflictError, and StoreError, after which nothing of it will ever be seen.
        """

    async def changes(self, after: int, limit: int = MAX_ITEMS) -> Sequence[Change]:
        """Return what was written after the commit `after`, oldest first: the latest of each
        document. Commits come whole: the last may make it more than `limit`.

        Raises StoreError when deletions so long ago are no longer known.
        """

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
        """Return records with `after` < number < `before` and `since` <= at < `until`."""

    async def trim(self, log: str, until: float) -> int:
        """Delete the records that are older than `until`; returns how many. Their numbers do not
        come again."""

    async def close(self) -> None:
        """Let go of everything, when what was begun has ended."""
