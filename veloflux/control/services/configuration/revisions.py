"""The numbered revisions of what the daemon serves, in the store.

Each is two documents: what is said of it, which is kept in memory for all, and what it holds, which
is read when somebody asks. Numbers grow by one; the last is in force, or will be at the next start.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from veloflux.config.written import Document
from veloflux.control.services.errors import NotFoundError
from veloflux.control.store.store import MAX_ITEMS, Delete, Put, Store, Write
from veloflux.control.store.store import Document as Stored

KIND = "revision"
CONTENT = "revision.content"
# The oldest are let go of.
KEPT = 1000
# Statements of a difference that are kept; the rest are counted.
SHOWN = 200
# As much of a document is worth its time.
_LEVEL = 1


class Entry(msgspec.Struct, frozen=True):
    """What is said of a revision: `at` is Unix time, `parent` 0 for the first, `changes` what it
    changed in that, of which `omitted` more are not kept."""

    number: int
    at: float
    author: str
    reason: str
    parent: int
    changes: tuple[str, ...]
    omitted: int
    digest: str

    @property
    def etag(self) -> str:
        """What tells it from all others."""
        return f"{self.number}-{self.digest}"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision; its document is not to be changed, for others have parts of it."""

    entry: Entry
    document: Document

    @property
    def number(self) -> int:
        return self.entry.number

    @property
    def etag(self) -> str:
        return self.entry.etag


class Reading(Protocol):
    """As much of a store as the start needs, and it may block."""

    def get(self, kind: str, key: str) -> Stored | None: ...
    def scan(self, kind: str, after: str = "", limit: int = MAX_ITEMS) -> Sequence[Stored]: ...


NOTHING = Revision(Entry(0, 0.0, "", "", 0, (), 0, ""), {})


def recover(store: Reading) -> tuple[list[Entry], Revision]:
    """Return what is said of all revisions, oldest first, and the last; blocks."""
    entries: list[Entry] = []
    after = ""
    while found := store.scan(KIND, after):
        entries += (_entry.decode(each.body) for each in found)
        after = found[-1].key
    if not entries:
        return [], NOTHING
    content = store.get(CONTENT, _key(entries[-1].number))
    assert content is not None, "both are written at once"
    return entries, Revision(entries[-1], unpack(content.body))


class History:
    """All revisions there are; `current` is the last."""

    def __init__(self, entries: Sequence[Entry], current: Revision, kept: int = KEPT) -> None:
        self.entries = list(entries)
        self.current = current
        self._kept = kept

    async def append(self, store: Store, revision: Revision, packed: bytes, *also: Write) -> None:
        """Add a revision, and write what else goes with it; returns when it is durable.

        `packed` is its document. Raises StoreError, and then there is no such revision.
        """
        key = _key(revision.number)
        gone = self.entries[: max(0, len(self.entries) + 1 - self._kept)]
        await store.commit(
            Put(KIND, key, msgspec.json.encode(revision.entry), expected=0),
            Put(CONTENT, key, packed, expected=0),
            *(Delete(kind, _key(each.number)) for each in gone for kind in (KIND, CONTENT)),
            *also,
        )
        self.entries = [*self.entries[len(gone) :], revision.entry]
        self.current = revision

    def entry(self, number: int) -> Entry:
        """Return what is said of a revision; raises NotFoundError."""
        first = self.entries[0].number if self.entries else 1
        if not 0 <= number - first < len(self.entries):
            raise NotFoundError(f"There is no revision {number}.")
        return self.entries[number - first]

    async def get(self, store: Store, number: int) -> Revision:
        """Return a revision with its document; raises NotFoundError or StoreError."""
        entry = self.entry(number)
        if number == self.current.number:
            return self.current
        content = await store.get(CONTENT, _key(number))
        if content is None:
            raise NotFoundError(f"There is no revision {number}.")
        return Revision(entry, unpack(content.body))


def pack(document: Document) -> tuple[bytes, str]:
    """Return a document's bytes for the store, and what tells its content from another's."""
    content = msgspec.json.encode(document)
    return zlib.compress(content, _LEVEL), digest(document)


def unpack(packed: bytes) -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = msgspec.json.decode(zlib.decompress(packed))
    return document


def digest(document: Document) -> str:
    """Tell one content from another, whatever the order of keys."""
    content = msgspec.json.encode(document, order="deterministic")
    return blake2b(content, digest_size=8).hexdigest()


def _key(number: int) -> str:
    return f"{number:012d}"


_entry = msgspec.json.Decoder(Entry)
