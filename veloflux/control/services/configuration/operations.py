"""Changes said as data, many at a time: as bulk calls have them, and transactions stage them.

An operation names an `action` and the object it is about: a pool by its name, a route by its id, a
backend by its id or by its pool and address; what else it has are the object's fields.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from veloflux.config.written import Document
from veloflux.control.services.backends import written
from veloflux.control.services.configuration import edits
from veloflux.control.services.configuration.edits import Edit, Edited
from veloflux.control.services.errors import Fault, InvalidError, Refusal

MAX_OPERATIONS = 1000
Kind = Literal["pools", "backends", "routes"]
KINDS: tuple[Kind, ...] = ("pools", "backends", "routes")
Operation = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an operation; one that was right is `undone` when others were not."""

    index: int
    action: str
    status: Literal["ok", "failed", "undone"]
    error: str | None = None


def edit_of(kind: Kind, operation: Operation) -> Edit:
    """Return the edit that an operation is; raises InvalidError for one that is none."""
    action = operation.get("action")
    make = _ACTIONS.get((kind, str(action)))
    if make is None:
        wrong = Fault("/action", "value", "is one of add, update and delete")
        raise InvalidError(f"No action is called {str(action)[:40]!r}.", [wrong])
    return make({key: value for key, value in operation.items() if key != "action"})


class Batch:
    """Operations as one edit; what became of each is in `results` when it has been made."""

    def __init__(
        self, kind: Kind | None, operations: Sequence[Operation], *, is_atomic: bool = True
    ) -> None:
        self._kind = kind
        self._operations = operations
        self._is_atomic = is_atomic
        self.results: list[Result] = []

    @property
    def failed(self) -> int:
        """How many were not right."""
        return sum(each.status == "failed" for each in self.results)

    def __call__(self, document: Document) -> Edited:
        """Make them, one after the other; with one that is not right an atomic batch is none."""
        before = document
        self.results = []
        for index, operation in enumerate(self._operations):
            action = str(operation.get("action"))[:40]
            try:
                kind = self._kind or _kind(operation)
                fields = operation
                if self._kind is None:
                    fields = {key: value for key, value in operation.items() if key != "object"}
                document = edit_of(kind, fields)(document).document
            except Refusal as error:
                self.results.append(Result(index, action, "failed", _why(error)))
            else:
                self.results.append(Result(index, action, "ok"))
        if self._is_atomic and self.failed:
            self.undo()
            return Edited(before)
        return Edited(document)

    def undo(self) -> None:
        """Note that those which were right are not in force."""
        self.results = [
            Result(each.index, each.action, "undone") if each.status == "ok" else each
            for each in self.results
        ]


def _why(error: Refusal) -> str:
    return " ".join([error.detail, *(f"{each.pointer}: {each.detail}" for each in error.problems)])


def _kind(operation: Operation) -> Kind:
    found = next((kind for kind in KINDS if kind == operation.get("object")), None)
    if found is None:
        wrong = Fault("/object", "value", "is one of pools, backends and routes")
        raise InvalidError("An operation says what it is about.", [wrong])
    return found


def _named(fields: dict[str, Any], key: str) -> str:
    name = fields.pop(key, None)
    if not isinstance(name, str):
        raise InvalidError(f"This needs {key}.", [Fault(f"/{key}", "missing", "is needed")])
    return name


def _update_pool(fields: dict[str, Any]) -> Edit:
    return edits.update_pool(_named(fields, "name"), fields)


def _delete_pool(fields: dict[str, Any]) -> Edit:
    is_forced = fields.get("force") is True
    return edits.delete_pool(_named(fields, "name"), is_forced=is_forced)


def _add_backend(fields: dict[str, Any]) -> Edit:
    pool = fields.pop("pool", None)
    check = fields.pop("health_check", None)
    return edits.add_backend(pool, written(fields), check)


def _backend(fields: dict[str, Any]) -> str:
    if "id" in fields:
        return _named(fields, "id")
    return edits.backend_id(_named(fields, "pool"), _named(fields, "address"))


def _update_backend(fields: dict[str, Any]) -> Edit:
    wanted = _backend(fields)

    def edit(document: Document) -> Edited:
        i, k = edits.find_backend(document, wanted)
        before = edits.items(document, "pools")[i]["backends"][k]
        return edits.update_backend(wanted, written(fields, before))(document)

    return edit


def _update_route(fields: dict[str, Any]) -> Edit:
    return edits.update_route(_named(fields, "id"), fields)


_ACTIONS: dict[tuple[str, str], Callable[[dict[str, Any]], Edit]] = {
    ("pools", "add"): edits.add_pool,
    ("pools", "update"): _update_pool,
    ("pools", "delete"): _delete_pool,
    ("backends", "add"): _add_backend,
    ("backends", "update"): _update_backend,
    ("backends", "delete"): lambda fields: edits.delete_backend(_backend(fields)),
    ("routes", "add"): edits.add_route,
    ("routes", "update"): _update_route,
    ("routes", "delete"): lambda fields: edits.delete_route(_named(fields, "id")),
}
