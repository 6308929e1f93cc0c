"""The configuration as a whole: shown, changed, tried, exported, imported, and its revisions."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, WithJsonSchema

from veloflux import __version__
from veloflux.config.filled import filled
from veloflux.config.schema import Configuration as Schema
from veloflux.config.written import TRAFFIC, part
from veloflux.control.api.changing import Preview, Why, author, change
from veloflux.control.api.endpoint import Asked, Endpoint, Reply
from veloflux.control.api.input import Input, Paging
from veloflux.control.api.parts import Part
from veloflux.control.services.configuration import shared
from veloflux.control.services.configuration.configuration import Outcome
from veloflux.control.services.configuration.masks import masked
from veloflux.control.services.configuration.revisions import Entry
from veloflux.control.services.errors import Fault, InvalidError, NotFoundError

_BOOTSTRAP = frozenset(("data_dir", "authority", "admin", "metrics"))
_GLOBAL = {
    "global": Annotated[
        dict[str, Any], Field(description="`workers`, `logging`, and the file's own.")
    ],
}
_REVISION = {"revision": Annotated[int, Field(description="Not looked at.")]}

Whole = Annotated[
    dict[str, Any], Part(Schema, partial=True, more={**_GLOBAL, **_REVISION}, without=_BOOTSTRAP)
]
Shown = Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a configuration could be used, and how it differs from what is in force."""

    valid: bool
    status: Literal["valid", "invalid"]
    errors: tuple[Fault, ...]
    warnings: tuple[str, ...]
    diff: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """What the configuration is, to be imported again."""

    version: str
    exported_at: datetime
    node: str
    revision: int
    config: Shown
    checksum: str


@dataclass(frozen=True, slots=True)
class RevisionEntry:
    """One revision: `changes` are against its parent, of which `omitted` more are not kept."""

    number: int
    at: datetime
    author: str
    reason: str
    parent: int
    changes: tuple[str, ...]
    omitted: int
    etag: str
    in_force: bool


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """Revisions, the newest first."""

    items: tuple[RevisionEntry, ...]
    total_count: int
    page: int
    page_size: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class WholeRevision:
    """A revision with its document, in which values that may be secrets are masked."""

    revision: RevisionEntry
    config: Shown


@dataclass(frozen=True, slots=True)
class Difference:
    """What makes one revision of another."""

    revision: int
    to: int
    changes: tuple[str, ...]


class Format(Input):
    """How to export."""

    format: Literal["json", "yaml"] = Field("json", description="As what.")


class Importing(Why):
    """How to import."""

    mode: Literal["replace", "merge"] = Field(
        "replace", description="Replace everything, or add to what is there, by names."
    )


class Imported(Input):
    """What an export gave; without a checksum it is not compared."""

    config: dict[str, Any]
    checksum: str | None = None
    version: str | None = None
    exported_at: str | None = None
    node: str | None = None
    revision: int | None = None


class To(Input):
    """Compared with what."""

    to: int | None = Field(None, ge=1, description="A revision; none: that in force.")


class Back(Input):
    """Back to which revision, and why."""

    revision: int = Field(ge=1)
    reason: str = Field("", max_length=500)


class Reloading(Why):
    """How to reload."""

    force: bool = Field(False, description="Take the file even when it has not changed.")


async def get_config(asked: Asked) -> Reply[Shown]:
    """Show the configuration in force with all defaults; values that may be secrets are masked."""
    configuration = asked.services.configuration
    current = configuration.current()
    bootstrap = configuration.bootstrap
    whole: dict[str, Any] = await asked.services.observatory.in_thread(
        lambda: filled(Schema, {**bootstrap, **masked(current.document)})
    )
    admin = {key: value for key, value in whole["admin"].items() if key != "password"}
    shown = {
        "revision": current.number,
        "global": {
            "workers": whole["workers"],
            "logging": whole["logging"],
            "data_dir": whole["data_dir"],
            "authority": whole["authority"],
            "admin": admin,
            "metrics": whole["metrics"],
        },
        "listeners": whole["listeners"],
        "pools": whole["pools"],
        "routes": whole["routes"],
    }
    return Reply(shown, etag=current.etag)


async def put_config(asked: Asked, query: Why, body: Whole) -> Reply[Outcome | Preview]:
    """Replace the whole configuration, as one revision."""
    return await _replace(asked, shared.replaced(_document(body)), query.reason)


async def validate(asked: Asked, body: Whole) -> Checked:
    """Say whether a whole configuration could be used, with all that is wrong with it."""
    try:
        proposal = await asked.services.configuration.check(
            shared.replaced(_document(body)), author(asked)
        )
    except InvalidError as error:
        return Checked(False, "invalid", error.problems, (), ())
    return Checked(True, "valid", (), proposal.warnings, tuple(map(str, proposal.changes)))


async def export(asked: Asked, query: Format) -> Reply[Export]:
    """Export the configuration; values that may be secrets are masked."""
    current = asked.services.configuration.current()
    config = masked(current.document)
    found = Export(
        __version__,
        datetime.fromtimestamp(asked.services.observatory.wall(), UTC),
        socket.gethostname(),
        current.number,
        config,
        shared.checksum(config),
    )
    if query.format == "json":
        return Reply(found)
    whole = {
        "version": found.version,
        "exported_at": found.exported_at.isoformat(),
        "node": found.node,
        "revision": found.revision,
        "config": config,
        "checksum": found.checksum,
    }
    text: str = await asked.services.observatory.in_thread(
        lambda: yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    )
    return Reply(text.encode(), content_type="application/yaml")  # type: ignore[arg-type]  # bytes go out as they are


async def import_config(asked: Asked, query: Importing, body: Imported) -> Reply[Outcome | Preview]:
    """Import what was exported, whole or not at all."""
    if body.checksum is not None:
        shared.check(body.config, body.checksum)
    make = shared.replaced if query.mode == "replace" else shared.merged
    return await _replace(asked, make(body.config), query.reason or f"import ({query.mode})")


async def get_revisions(asked: Asked, query: Paging) -> RevisionPage:
    """List the revisions that are kept, the newest first."""
    entries = asked.services.configuration.revisions()
    first = (query.page - 1) * query.page_size
    end = len(entries) - first
    shown = entries[max(0, end - query.page_size) : max(0, end)]
    found = [_entry(asked, each) for each in reversed(shown)]
    has_more = first + len(found) < len(entries)
    return RevisionPage(tuple(found), len(entries), query.page, query.page_size, has_more)


async def get_revision(asked: Asked, number: str) -> WholeRevision:
    """Show a revision with its document."""
    found = await asked.services.configuration.revision(_number(number))
    return WholeRevision(_entry(asked, found.entry), masked(found.document))


async def get_difference(asked: Asked, number: str, query: To) -> Difference:
    """Show what makes another revision, or the one in force, of this one."""
    configuration = asked.services.configuration
    one = await configuration.revision(_number(number))
    current = configuration.current()
    to = current if query.to is None else await configuration.revision(query.to)
    changes = await configuration.difference(one, to)
    return Difference(one.number, to.number, changes)


async def roll_back(asked: Asked, body: Back) -> Outcome:
    """Make a new revision that equals an earlier one."""
    configuration = asked.services.configuration
    asked.entry.before = configuration.current().number
    outcome = await configuration.roll_back(body.revision, author(asked, body.reason))
    asked.entry.after = outcome.revision
    return outcome


async def reload(asked: Asked, query: Reloading) -> Outcome:
    """Read the configuration file again, and make it the next revision if it has changed."""
    configuration = asked.services.configuration
    asked.entry.before = configuration.current().number
    outcome = await configuration.reload(author(asked, query.reason), is_forced=query.force)
    asked.entry.after = outcome.revision
    return outcome


async def _replace(asked: Asked, edit: Any, reason: str) -> Reply[Outcome | Preview]:
    shown = await change(asked, edit, reason)
    if shown is not None:
        return Reply(shown)
    current = asked.services.configuration.current()
    changes = current.entry.changes if asked.entry.after != asked.entry.before else ()
    return Reply(Outcome(current.number, current.etag, changes))


def _document(body: Mapping[str, Any]) -> dict[str, Any]:
    """The document that a body says: the file's own part is what it is."""
    document = part(body, TRAFFIC)
    rest = body.get("global")
    if isinstance(rest, Mapping):
        document = {**part(rest, ("workers", "logging")), **document}
    return document


def _entry(asked: Asked, entry: Entry) -> RevisionEntry:
    return RevisionEntry(
        entry.number,
        datetime.fromtimestamp(entry.at, UTC),
        entry.author,
        entry.reason,
        entry.parent,
        entry.changes,
        entry.omitted,
        entry.etag,
        entry.number == asked.services.configuration.current().number,
    )


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise NotFoundError(f"There is no revision {text[:20]}.")
    return int(text)


_MORE: Any = {"has_dry_run": True, "problems": (409, 503)}
_LARGE = 64 * 1024 * 1024
_ONE = "/api/config/revisions/{number}"

ROWS = (
    Endpoint("GET", "/api/config", "config:read", get_config, has_etag=True),
    Endpoint("PUT", "/api/config", "config:write", put_config, has_etag=True, **_MORE),
    Endpoint(
        "POST", "/api/config/validate", "config:write", validate,
        is_audited=False,
    ),
    Endpoint(
        "GET", "/api/config/export", "config:read", export,
        produces=("application/json", "application/yaml"),
    ),
    Endpoint(
        "POST", "/api/config/import", "config:write", import_config,
        max_body_bytes=_LARGE, takes_key=True, **_MORE,
    ),
    Endpoint("GET", "/api/config/revisions", "config:read", get_revisions),
    Endpoint("GET", _ONE, "config:read", get_revision, problems=(503,)),
    Endpoint("GET", f"{_ONE}/diff", "config:read", get_difference, problems=(409, 503)),
    Endpoint(
        "POST", "/api/config/rollback", "config:write", roll_back,
        takes_key=True, problems=(404, 409, 503),
    ),
    Endpoint("POST", "/api/reload", "config:write", reload, problems=(409, 503)),
    Endpoint("POST", "/api/config/reload", "config:write", reload, problems=(409, 503)),
)  # fmt: skip
