"""What is wrong with a configuration, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from veloflux.config.wording import Loc

Code = Literal[
    "file",  # it cannot be read, or is too large
    "syntax",  # it is no YAML, or YAML of a kind that is refused
    "environment",  # a ${NAME} that is unset or malformed
    "key",  # a key that does not exist or is missing
    "value",  # a value of the wrong type or out of range
    "conflict",  # values that are right alone and wrong together
    "unavailable",  # right, and not in this version
    "advice",  # allowed, and probably not meant
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning; `line` and `column` count from 1, 0 where there is none.

    `path` is the dotted path of the key, empty for errors of syntax; `loc` the same in parts.
    """

    file: str
    line: int
    path: str
    message: str
    column: int = 0
    code: Code = "value"
    loc: Loc = ()

    @property
    def pointer(self) -> str:
        """Where it is, as a JSON Pointer (RFC 6901)."""
        parts = (str(part).replace("~", "~0").replace("/", "~1") for part in self.loc)
        return "".join(f"/{part}" for part in parts)

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column and not self.path:
                place += f":{self.column}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before its line is known."""

    loc: Loc
    message: str
    code: Code = "value"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
