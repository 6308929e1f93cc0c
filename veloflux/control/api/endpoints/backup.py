"""Backup and restore of what a node keeps."""

from typing import Annotated, Any

import msgspec
from pydantic import Field, WithJsonSchema

from veloflux.control.api.changing import Why, author
from veloflux.control.api.endpoint import JSON, Asked, Endpoint, Reply
from veloflux.control.api.input import Input
from veloflux.control.services.backup import FORMAT, VERSION, Mode, Restored, Scope
from veloflux.control.services.identity.saved import Saved


def _schema() -> dict[str, Any]:
    """The document's, by what its parts say of theirs."""
    shapes = {name: section.shape for name, section in Saved.sections.items()}
    _, known = msgspec.json.schema_components([*shapes.values()])
    lists = {
        name: {
            "type": "array",
            "description": f"{section.most} at the most.",
            "items": known[section.shape.__name__],
        }
        for name, section in Saved.sections.items()
    }
    properties: dict[str, Any] = {
        "format": {"const": FORMAT},
        "version": {"const": VERSION},
        "created_at": {"type": "string", "format": "date-time"},
        "node_id": {"type": "string"},
        "scope": {"type": "array", "items": {"enum": ["config", *lists]}},
        "revision": {"type": "integer"},
        "config": {"type": "object"},
        **lists,
        "checksum": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in lists],
        "additionalProperties": False,
    }


Document = Annotated[dict[str, Any], WithJsonSchema(_schema())]


class What(Input):
    """What to take."""

    scope: Scope = Field("all", description="Everything, or the configuration alone.")


class How(Why):
    """How to restore."""

    mode: Mode = Field(
        "replace", description="Replace everything, or add to what is there, by names and ids."
    )


async def create(asked: Asked, query: What) -> Reply[Document]:
    """Take a backup: the configuration whole, with all values, and people and keys as hashes.

    Keep it as you keep a password. No token, sign-in or signing key is in it, nor the password of
    the file's operator; `${NAME}` stays as it is written.
    """
    content = await asked.services.backup.create(query.scope)
    return Reply(content, content_type=JSON)  # type: ignore[arg-type]  # bytes go out as they are


async def restore(asked: Asked, query: How, body: Document) -> Restored:
    """Restore a backup, all of it or nothing.

    Everything is verified before anything is written. Who is replaced signs in again, while API
    keys of the backup are good as they were. The operator of the file always stays, and whoever
    restores does.
    """
    current = asked.services.configuration.current
    before = current().number
    found = await asked.services.backup.restore(
        asked.principal,
        author(asked, query.reason or f"restore ({query.mode})"),
        body,
        query.mode,
        is_dry_run=asked.is_dry_run,
    )
    if not asked.is_dry_run:
        asked.entry.before, asked.entry.after = before, found.revision
    return found


_CREATE = "/api/backup/create"

ROWS = (
    Endpoint("GET", _CREATE, "system:admin", create, is_audited=True, problems=(503,)),
    Endpoint("POST", _CREATE, "system:admin", create, problems=(503,)),
    Endpoint(
        "POST", "/api/backup/restore", "system:admin", restore,
        max_body_bytes=64 * 1024 * 1024, has_dry_run=True, problems=(409, 503),
    ),
)  # fmt: skip
