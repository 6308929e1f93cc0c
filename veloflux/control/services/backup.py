"""Backup and restore: what a node keeps, as one document that leaves it and comes back.

Each service that has something to keep offers a `Part`. What is restored is verified whole before
anything is written, and then written in one commit with the revision: all of it, or nothing.
"""

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from veloflux.control.services.configuration.configuration import Author, Configuration, InThread
from veloflux.control.services.configuration.edits import Edit
from veloflux.control.services.configuration.shared import check, checksum, merged, replaced
from veloflux.control.services.errors import (
    ConflictError,
    Fault,
    InvalidError,
    StaleError,
    UnavailableError,
)
from veloflux.control.services.moments import moment
from veloflux.control.services.principal import Principal
from veloflux.control.store import store as storing
from veloflux.control.store.store import Store, StoreError, Write

FORMAT = "veloflux-backup"
VERSION = 1
MAX_FAULTS = 100

Mode = Literal["replace", "merge"]
Scope = Literal["all", "config"]

_CONFIG = "config"
_HEAD = ("format", "version", "created_at", "node_id", "scope", "revision", "checksum")
_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a part what it was: the writes, and what they change, for people to read."""

    changes: tuple[str, ...]
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A list in the document: what its items are, and how many there may be."""

    shape: type[msgspec.Struct]
    most: int


class Part(Protocol):
    """What one service keeps; its sections come together."""

    @property
    def sections(self) -> Mapping[str, Section]:
        """Its lists, by their names in the document."""

    async def dump(self) -> Mapping[str, Sequence[msgspec.Struct]]:
        """Return all that is to be kept; raises StoreError."""

    async def plan(self, by: Principal, given: Mapping[str, Sequence[Any]], mode: Mode) -> Plan:
        """Say what would restore it; the items have their shapes. Raises Refusal, StoreError."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, or in a dry run would be."""

    dry_run: bool
    scope: tuple[str, ...]
    revision: int
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


class Backup:
    """Makes documents of the configuration and the parts, and restores them; `now` is Unix time."""

    def __init__(
        self,
        configuration: Configuration,
        parts: Sequence[Part],
        store: Store,
        in_thread: InThread,
        now: Callable[[], float],
    ) -> None:
        self._configuration = configuration
        self._parts = parts
        self._store = store
        self._in_thread = in_thread
        self._now = now

    async def create(self, scope: Scope) -> bytes:
        """Return the document as JSON; raises StoreError."""
        current = self._configuration.current()
        kept: dict[str, Any] = {_CONFIG: current.document}
        for part in self._parts if scope == "all" else ():
            kept.update(await part.dump())
        head = {
            "format": FORMAT,
            "version": VERSION,
            "created_at": moment(self._now()).isoformat(),
            "node_id": socket.gethostname(),
            "scope": [*kept],
            "revision": current.number,
        }
        return await self._in_thread(lambda: _written({**head, **kept}))

    async def restore(
        self,
        by: Principal,
        author: Author,
        document: Mapping[str, Any],
        mode: Mode,
        *,
        is_dry_run: bool = False,
    ) -> Restored:
        """Make it what it was; raises Refusal and StoreError, and then nothing has changed."""
        given = await self._in_thread(lambda: self._read(document))
        plans = [
            await part.plan(by, given, mode) for part in self._parts if given.keys() & part.sections
        ]
        texts = tuple(text for plan in plans for text in plan.changes)
        writes = [write for plan in plans for write in plan.writes]
        edit = (replaced if mode == "replace" else merged)(given[_CONFIG])
        try:
            number, changes, warnings = await self._bring(edit, author, writes, is_dry_run)
        except InvalidError as error:
            moved = [Fault(f"/{_CONFIG}{f.pointer}", f.code, f.detail) for f in error.problems]
            raise InvalidError(error.detail, moved) from None
        except StaleError:
            raise ConflictError(
                "Nothing was restored: somebody else changed something meanwhile; try again."
            ) from None
        return Restored(is_dry_run, tuple(given), number, (*changes, *texts), warnings)

    async def _bring(
        self, edit: Edit, author: Author, writes: Sequence[Write], is_dry_run: bool
    ) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
        current = self._configuration.current()
        if self._configuration.does_file_rule:
            if edit(current.document).document != current.document:
                raise ConflictError(
                    "The configuration file rules (authority: file), and says something else than "
                    "this backup's config: write that into the file and reload, then restore again."
                )
            if not is_dry_run:
                await self._commit(writes)
            return current.number, (), ()
        if is_dry_run:
            proposal = await self._configuration.check(edit, author)
            return current.number, tuple(map(str, proposal.changes)), proposal.warnings
        outcome = await self._configuration.change(edit, author, None, *writes)
        return outcome.revision, outcome.changes, outcome.warnings

    async def _commit(self, writes: Sequence[Write]) -> None:
        try:
            await self._store.commit(*writes)
        except storing.ConflictError as error:
            raise StaleError(str(error)) from None
        except StoreError as error:
            raise UnavailableError(f"Nothing was changed: {error}.") from None

    def _read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is in it, as values of its shapes; raises InvalidError."""
        parts = [part for part in self._parts if part.sections.keys() & document.keys()]
        wanted = {name: section for part in parts for name, section in part.sections.items()}
        names = [_CONFIG, *wanted]
        unknown = [
            Fault(f"/{name[:100]}", "unknown", "is not known here; take it out")
            for name in sorted(document.keys() - {*_HEAD, *names})
        ]
        _check_head(document, unknown)
        missing = [name for name in names if name not in document]
        faults = [*(Fault(f"/{name}", "missing", "is needed") for name in missing), *unknown]
        if not isinstance(document.get(_CONFIG, {}), Mapping):
            faults.append(Fault(f"/{_CONFIG}", "value", "is an object"))
        if document.get("scope") != names:
            faults.append(Fault("/scope", "value", f"is {names} for what is here"))
        found: dict[str, Any] = {_CONFIG: document.get(_CONFIG)}
        for name, section in wanted.items():
            found[name] = _items(name, section, document.get(name, []), faults)
        if faults:
            raise InvalidError("The backup is not as it should be.", faults[:MAX_FAULTS])
        return found


def _written(content: Mapping[str, Any]) -> bytes:
    # As it will be read: a checksum is over JSON's own types. A document stays in its order.
    plain = {
        name: each if name == _CONFIG else msgspec.to_builtins(each, order="deterministic")
        for name, each in content.items()
    }
    return msgspec.json.encode({**plain, "checksum": checksum(plain)})


def _check_head(document: Mapping[str, Any], unknown: Sequence[Fault]) -> None:
    if document.get("format") != FORMAT:
        wrong = Fault("/format", "value", f"is {FORMAT}; veloflux backup makes such a document")
        raise InvalidError("This is no backup.", [wrong, *unknown[:MAX_FAULTS]])
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        wrong = Fault(
            "/version",
            "version",
            f"is {VERSION} here; restore it with the release of VeloFlux that made it",
        )
        raise InvalidError("This backup is of a version that is not known here.", [wrong])
    content = {name: value for name, value in document.items() if name != "checksum"}
    check(content, str(document.get("checksum")))


def _items(name: str, section: Section, given: object, faults: list[Fault]) -> list[Any]:
    if not isinstance(given, list) or len(given) > section.most:
        faults.append(Fault(f"/{name}", "value", f"is a list of {section.most} at the most"))
        return []
    found = []
    for i, item in enumerate(given):
        try:
            found.append(msgspec.convert(item, section.shape))
        except msgspec.ValidationError as error:
            text = str(error)
            match = _PLACE.search(text)
            path = re.sub(r"[.\[]", "/", match["path"]).replace("]", "") if match else ""
            faults.append(Fault(f"/{name}/{i}{path}", "value", _PLACE.sub("", text)))
            if len(faults) >= MAX_FAULTS:
                break
    return found
