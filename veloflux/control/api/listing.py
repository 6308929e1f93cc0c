"""A page of a list, and how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from veloflux.control.api.input import Paging

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[_T]):
    """Some items of a list."""

    items: Sequence[_T]
    total_count: int
    page: int
    page_size: int
    has_more: bool


def cut(items: Sequence[_T], paging: Paging) -> Listing[_T]:
    """Take the page that is asked for out of all items."""
    first = (paging.page - 1) * paging.page_size
    return listing(items[first : first + paging.page_size], len(items), paging)


def listing(items: Sequence[_T], total_count: int, paging: Paging) -> Listing[_T]:
    """The page that is asked for, of a list so long."""
    has_more = paging.page * paging.page_size < total_count
    return Listing(items, total_count, paging.page, paging.page_size, has_more)
