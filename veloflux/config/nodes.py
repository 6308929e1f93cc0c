"""A YAML document as a tree whose every node knows its line and column (both from 1)."""

from dataclasses import dataclass, field
from typing import ClassVar

from veloflux.config.wording import Loc


@dataclass(slots=True)
class Scalar:
    """Text; `plain` when it was written without quotes, so that it may be a number."""

    line: int
    column: int
    text: str
    plain: bool
    size: ClassVar[int] = 1
    height: ClassVar[int] = 0
    is_complete: ClassVar[bool] = True


@dataclass(slots=True)
class Sequence:
    """A list; `size` counts the nodes below with aliases expanded, `height` their levels."""

    line: int
    column: int
    items: "list[Node]" = field(default_factory=list)
    size: int = 1
    height: int = 1
    is_complete: bool = False


@dataclass(slots=True)
class Mapping:
    """Keys and values; `marks` holds each key's line and column."""

    line: int
    column: int
    entries: "dict[str, Node]" = field(default_factory=dict)
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1
    height: int = 1
    is_complete: bool = False


Node = Scalar | Sequence | Mapping


class Stray(str):
    """Stands for a key that cannot be one: a second of its name, or no text."""

    __slots__ = ()


def locate(root: Node, loc: Loc) -> tuple[int, int]:
    """Return (line, column) of the key or item at `loc`, or of what is nearest above it."""
    node, mark = root, (root.line, root.column)
    for part in loc:
        if isinstance(node, Mapping) and part in node.entries:
            mark = node.marks[str(part)]
            node = node.entries[str(part)]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            mark = (node.line, node.column)
        else:
            break
    return mark


def find(root: Node, loc: Loc) -> Node | None:
    """Return the node at `loc`, or None."""
    node = root
    for part in loc:
        if isinstance(node, Mapping) and part in node.entries:
            node = node.entries[str(part)]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return None
    return node
