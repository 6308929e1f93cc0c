"""A document as the next revision: validated, compared with what is in force, packed.

All of it takes long for a large document, and so runs in a thread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from veloflux.config.diff import Change, diff
from veloflux.config.problem import ConfigError, Problem
from veloflux.config.reader import Reader
from veloflux.config.written import BOOTSTRAP, TRAFFIC, Document, Written, part
from veloflux.control.services.configuration.edits import Edit
from veloflux.control.services.configuration.masks import unmasked
from veloflux.control.services.configuration.revisions import Revision, pack
from veloflux.control.services.errors import Fault, InvalidError
from veloflux.core.model.node import Node


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be the revision after `base`; `packed` is its document as the store has it."""

    base: Revision
    document: Document
    node: Node
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    packed: bytes
    digest: str

    @property
    def is_new(self) -> bool:
        """Whether it says anything else than its base."""
        return self.digest != self.base.entry.digest or any(
            change.needs_restart for change in self.changes
        )


class Proposer:
    """Makes proposals; `bootstrap` is what the file alone says."""

    def __init__(self, reader: Reader, bootstrap: Document) -> None:
        self._reader = reader
        self.bootstrap = bootstrap

    def propose(
        self,
        base: Revision,
        node: Node,
        edit: Edit,
        *,
        may_use_variables: bool = True,
        is_trial: bool = False,
    ) -> Proposal:
        """Propose what `edit` makes of `base`; `node` is in force. Raises Refusal.

        What is a trial is not what the next one will be like.
        """
        document, place = edit(base.document)
        _check_keys(document)
        try:
            document = unmasked(base.document, document)
            if not may_use_variables:
                _check_variables(base.document, document)
            written = Written({**self.bootstrap, **document})
            return self._proposal(base, node, written, is_trial=is_trial)
        except InvalidError as error:
            raise _seen_from(place, error) from None

    def take(self, base: Revision, node: Node, written: Written) -> Proposal:
        """Propose what a file says; raises InvalidError."""
        return self._proposal(base, node, written)

    def difference(self, before: Document, after: Document) -> tuple[str, ...]:
        """Say what makes one document of another; raises ConfigError for one that is no longer
        valid."""
        one, other = (
            self._reader.read(Written({**self.bootstrap, **each}), is_trial=True)
            for each in (before, after)
        )
        return tuple(map(str, diff(one.node, other.node)))

    def _proposal(
        self, base: Revision, node: Node, written: Written, *, is_trial: bool = False
    ) -> Proposal:
        try:
            loaded = self._reader.read(written, revision=base.number + 1, is_trial=is_trial)
        except ConfigError as error:
            raise invalid(error) from None
        document = part(written.document, TRAFFIC)
        packed, digest = pack(document)
        return Proposal(
            base,
            document,
            loaded.node,
            tuple(diff(node, loaded.node)),
            tuple(map(str, loaded.warnings)),
            packed,
            digest,
        )


def invalid(error: ConfigError) -> InvalidError:
    """Say what is wrong with a document, all of it."""
    wrong = [problem for problem in error.problems if problem.code != "advice"]
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return InvalidError(f"The configuration is not valid: {wrong[0]}{more}.", faults(wrong))


def _seen_from(place: str, error: InvalidError) -> InvalidError:
    """Say where it is in what was sent, which became what is at `place`."""
    if not place or not all(each.pointer.startswith(f"{place}/") for each in error.problems):
        return error
    moved = [replace(each, pointer=each.pointer.removeprefix(place)) for each in error.problems]
    first = moved[0]
    more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
    name = first.pointer.removeprefix("/").replace("/", ".")
    return InvalidError(f"This is not valid: {name}: {first.detail}{more}.", moved)


def faults(problems: Iterable[Problem]) -> list[Fault]:
    """Say problems in the API's words; those of a file with their line."""
    return [
        Fault(each.pointer, each.code, str(each) if each.file else each.message)
        for each in problems
    ]


def _check_keys(document: Document) -> None:
    theirs = [
        Fault(f"/{key}", "key", "is the file's alone") for key in BOOTSTRAP if key in document
    ]
    if theirs:
        raise InvalidError("Some of this is set in the configuration file alone.", theirs)


def _check_variables(before: Document, after: Document) -> None:
    """Refuse variables that were not there: they are the environment of the daemon, with its
    secrets, and would be shown by whatever they are put into."""
    new = [
        Fault(pointer, "environment", "may have no variable; write the value, or $${ for ${")
        for pointer in _new_variables(before, after, "")
    ]
    if new:
        raise InvalidError("Only the platform's operator may use environment variables.", new)


def _new_variables(before: Any, after: Any, pointer: str) -> Iterable[str]:
    if after is before:
        return
    if isinstance(after, str):
        if "${" in after.replace("$${", "") and after != before:
            yield pointer
    elif isinstance(after, Mapping):
        for key, value in after.items():
            old = before.get(key) if isinstance(before, Mapping) else None
            yield from _new_variables(old, value, f"{pointer}/{key}")
    elif isinstance(after, list):
        known = {name: item for item in _list(before) if (name := _name(item)) is not None}
        for i, item in enumerate(after):
            old = known.get(_name(item)) if _name(item) is not None else None
            yield from _new_variables(old, item, f"{pointer}/{i}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(item: Any) -> object:
    """By which an item of a list is known again."""
    if not isinstance(item, Mapping):
        return None
    named = next((item[key] for key in ("id", "name", "address") if key in item), None)
    return named if named is not None else (str(item.get("host")), str(item.get("path_prefix")))
