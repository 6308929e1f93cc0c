"""Documents of one kind, as values of one type."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from veloflux.control.store.store import MAX_ITEMS, Delete, Put, Store

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[_T]):
    """A value as it is in the store."""

    key: str
    version: int
    value: _T


class Documents(Generic[_T]):
    """Reads and makes writes for a kind; `shape` is what msgspec reads the bodies into.

    Every method that waits raises StoreError.
    """

    def __init__(self, store: Store, kind: str, shape: type[_T]) -> None:
        self._store = store
        self._kind = kind
        self._decoder = msgspec.json.Decoder(shape)

    async def get(self, key: str) -> Kept[_T] | None:
        """Return one, or None."""
        found = await self._store.get(self._kind, key)
        return Kept(key, found.version, self._decoder.decode(found.body)) if found else None

    async def under(self, prefix: str = "") -> list[Kept[_T]]:
        """Return all whose keys begin so: it is for those whose number has a bound."""
        kept: list[Kept[_T]] = []
        after = prefix
        while True:
            part = await self._store.scan(self._kind, after)
            for each in part:
                if not each.key.startswith(prefix):
                    return kept
                kept.append(Kept(each.key, each.version, self._decoder.decode(each.body)))
            if len(part) < MAX_ITEMS:
                return kept
            after = part[-1].key

    def put(self, key: str, value: _T, expected: int | None = None) -> Put:
        """Make the write of a value; `expected` as for `Put`."""
        return Put(self._kind, key, msgspec.json.encode(value), expected)

    def delete(self, key: str, expected: int | None = None) -> Delete:
        """Make its deletion."""
        return Delete(self._kind, key, expected)
