"""A configuration as it is written: a document of plain values, and where each stands in its text.

A document has the keys of the file, and its variables as they are written: what they stand for is
no part of it, and so is never stored.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from veloflux.config.compose import compose
from veloflux.config.nodes import Node, Scalar, locate
from veloflux.config.plain import plain
from veloflux.config.problem import ConfigError, Problem
from veloflux.config.text import MAX_BYTES, DocumentError, decode
from veloflux.config.wording import Loc

Document = Mapping[str, Any]

# What is the file's alone: where the daemon keeps its state, and who may change the rest.
BOOTSTRAP = ("data_dir", "authority", "admin", "metrics")
# What is about traffic, and lives in revisions.
TRAFFIC = ("workers", "listeners", "pools", "routes", "logging")


@dataclass(frozen=True, slots=True)
class Written:
    """A document that stands in `file`, which is a name for messages where there is no such file.

    `root` is its text's tree, None where there was no text. `faults` did not end the reading, and
    make it one that cannot be used. `is_public` says that every user of the machine can read it.
    """

    document: object
    file: str = ""
    root: Node | None = None
    faults: tuple[DocumentError, ...] = ()
    is_public: bool = False

    def place(self, loc: Loc) -> tuple[int, int]:
        """Return the line and column of what is at `loc`, or of what is nearest above it."""
        return (0, 0) if self.root is None else locate(self.root, loc)


def open_file(path: str) -> Written:
    """Read the file at `path`; raises ConfigError."""
    try:
        # Not to wait for ever when it is a pipe that nobody writes to.
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        wrong = f"cannot be read: {why}; give the path of a file that this user may read"
        raise ConfigError([Problem(path, 0, "", wrong, code="file")]) from None
    if content is None:
        raise ConfigError([Problem(path, 0, "", "is not a file; give one's path", code="file")])
    return parse(content, path, is_public=bool(mode & stat.S_IROTH))


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def parse(content: bytes, file: str, *, is_public: bool = False) -> Written:
    """Read YAML from bytes, as if they stood in `file`; raises ConfigError."""
    try:
        root, faults = compose(decode(content))
    except DocumentError as error:
        problem = Problem(file, error.line, "", str(error), error.column, "syntax")
        raise ConfigError([problem]) from None
    if root is None or (isinstance(root, Scalar) and root.plain and not root.text):
        wrong = "is empty; write at least one listener, as in etc/veloflux.yaml"
        raise ConfigError([Problem(file, 1, "", wrong, 1, "syntax")])
    return Written(plain(root), file, root, tuple(faults), is_public)


def part(document: object, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what a document says of some keys."""
    if not isinstance(document, Mapping):
        return {}
    return {key: document[key] for key in keys if key in document}
