"""Rows for the tests of what holds for all rows: a shelf of books."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field
from twisted.internet.defer import Deferred

from veloflux.control.api.endpoint import OPEN, SIGNED_IN, Asked, Endpoint, Reply
from veloflux.control.api.input import Input, Paging
from veloflux.control.services.errors import ConflictError, NotFoundError

Title = Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]


@dataclass(frozen=True)
class Book:
    """A book; `dry` says that it is not kept."""

    title: str
    pages: int
    dry: bool = False


class NewBook(Input):
    title: Title
    pages: int = Field(ge=1, le=10_000)
    chapters: list[Title] = Field([], max_length=3)


class Change(Input):
    pages: int = Field(1, ge=1, le=10_000)


class Which(Paging):
    order: Literal["title", "pages"] = "title"
    long: bool | None = None
    share: float = Field(0.5, ge=0, le=1)


class Shelf:
    """The rows, and what they work on."""

    def __init__(self) -> None:
        self.books = {"emma": Book("emma", 474)}
        self.asked: list[Asked] = []
        # Each change waits for the next of these.
        self.before_change: list[Deferred[None]] = []
        self.which: list[Which] = []

        def browse(asked: Asked, query: Which) -> Sequence[Book]:
            """Give the books."""
            self.asked.append(asked)
            self.which.append(query)
            return tuple(self.books.values())

        def read(asked: Asked, title: Title) -> Book:
            """Give a book."""
            return self.find(title)

        async def add(asked: Asked, body: NewBook) -> Reply[Book]:
            """Add a book.

            There is one of each title.
            """
            await self.wait()
            if body.title in self.books:
                raise ConflictError(f"There is a book called {body.title}.")
            book = Book(body.title, body.pages, asked.is_dry_run)
            if not asked.is_dry_run:
                self.books[book.title] = book
            return Reply(book, location=f"/api/books/{book.title}")

        async def change(asked: Asked, title: Title, body: Change | None) -> Book:
            """Change a book."""
            await self.wait()
            book = self.find(title)
            if body is not None:
                book = self.books[title] = replace(book, pages=body.pages)
            return book

        def remove(asked: Asked, title: Title) -> None:
            """Remove a book."""
            self.find(title)
            del self.books[title]

        self.rows = (
            Endpoint("GET", "/api/books", OPEN, browse),
            Endpoint("GET", "/api/books/{title}", OPEN, read, problems=(404,), has_etag=True),
            Endpoint(
                "POST",
                "/api/books",
                "pools:write",
                add,
                status=201,
                problems=(409,),
                has_dry_run=True,
                has_etag=True,
                takes_key=True,
            ),
            Endpoint(
                "PUT", "/api/books/{title}", SIGNED_IN, change, problems=(404,), has_etag=True
            ),
            Endpoint(
                "DELETE", "/api/books/{title}", SIGNED_IN, remove, status=204, problems=(404,)
            ),
        )

    async def wait(self) -> None:
        if self.before_change:
            await self.before_change.pop(0)

    def find(self, title: str) -> Book:
        try:
            return self.books[title]
        except KeyError:
            raise NotFoundError(f"There is no book called {title}.") from None
