"""Copies of access-log lines for whoever watches; there are none while nobody does.

It takes the place of the log, and hands on what the log is to have. The lines that are kept are
JSON whatever the log's form is, and as many as there is room for until they are taken: the rest is
counted, and not even written.
"""

from typing import Protocol

from veloflux.edge.line import Line, json_line
from veloflux.edge.outcome import Outcome


class Log(Protocol):
    """Where lines go."""

    def append(self, line: str) -> None: ...


class Tail:
    """Keeps `room` lines between two calls of `take`; `log` is None where none is written."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lines: list[str] = []
        self._dropped = 0
        self._log: Log | None = None
        self._form: Line = json_line

    def before(self, log: Log | None, form: Line) -> None:
        """Hand on lines of that form to that log."""
        self._log = log
        self._form = form

    def line(
        self, outcome: Outcome, wall: float, total: float, termination: str, version: int
    ) -> str:
        """The line for the log, empty if there is none; see `edge.line.Line`."""
        copy = ""
        if len(self._lines) < self._room:
            copy = json_line(outcome, wall, total, termination, version)
            self._lines.append(copy)
        else:
            self._dropped += 1
        if self._log is None:
            return ""
        if copy and self._form is json_line:
            return copy
        return self._form(outcome, wall, total, termination, version)

    def append(self, line: str) -> None:
        """Write a line to the log, where there is one."""
        if self._log is not None:
            self._log.append(line)

    def take(self) -> tuple[list[str], int]:
        """The lines since the last call, and how many there was no room for."""
        lines, self._lines = self._lines, []
        dropped, self._dropped = self._dropped, 0
        return lines, dropped
