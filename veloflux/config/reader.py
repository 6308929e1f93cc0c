"""Makes the model of documents: validated, checked, or refused with all that is wrong.

A reader remembers the sections of the last document that was right. One that differs in a route
from ten thousand others shares those, as the same objects, so that they are neither validated nor
built again: a change costs what it changes.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from veloflux.config import draft
from veloflux.config.build import Built, build
from veloflux.config.examine import capped, check, examine
from veloflux.config.problem import ConfigError, Finding, Problem
from veloflux.config.schema import Configuration
from veloflux.config.section import Section
from veloflux.config.shelf import Shelf
from veloflux.config.variables import Variables
from veloflux.config.wording import dotted
from veloflux.config.written import Written
from veloflux.core.model.node import Node

_LISTS = ("listeners", "pools", "routes")
_PASSWORD = ("admin", "password")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and what its author may not have meant."""

    node: Node
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """Sections by the identity of the values they were made of, which are kept for that."""

    sections: Mapping[int, tuple[object, Section]] = field(default_factory=dict)
    built: Built = field(default_factory=Built)


class Reader:
    """Reads documents whose relative paths start at `directory`.

    With `keeps`, certificates made on the spot are written to the data directory. It may be used
    by several threads: what it remembers is replaced as a whole.
    """

    def __init__(self, directory: str, environ: Mapping[str, str], *, keeps: bool = False) -> None:
        self._directory = directory
        self._environ = environ
        self._keeps = keeps
        self._known = _Known()

    def read(
        self, written: Written, version: int = 1, revision: int = 0, *, is_trial: bool = False
    ) -> Loaded:
        """Return the configuration; its snapshot gets `version` and `revision`.

        `workers: auto` counts the processors that this process may use. What is a trial is not
        remembered, for the next one will be more like the one before. Raises ConfigError.
        """
        known = self._known
        now = datetime.now(UTC)
        shelf = Shelf(self._directory, now, keeps=self._keeps)
        variables = Variables(self._environ)
        configuration = None
        findings: list[Finding] = []
        if known.sections:
            configuration, findings = self._again(written.document, known, variables, shelf, now)
        if configuration is None:
            variables = Variables(self._environ)
            values = variables.replace(written.document)
            configuration, findings = examine(values, variables.faults, shelf, now)
        findings += _exposed(written, variables)
        warnings = _sorted(written, findings, configuration is not None)
        assert configuration is not None
        built = Built(known.built)
        try:
            processors = len(os.sched_getaffinity(0))
            node = build(configuration, shelf, processors, version, revision, built)
        except OSError as error:
            # A certificate that is made is kept, or there would be another one with each reload.
            wrong = (
                f"{error.filename} cannot be written: {error.strerror}; let this user write there"
            )
            raise ConfigError([Problem(written.file, 0, "data_dir", wrong, code="file")]) from None
        built.settle()
        if not is_trial:
            self._known = _Known(_sections(written.document, configuration), built)
        return Loaded(node, tuple(warnings))

    def _again(
        self, document: object, known: _Known, variables: Variables, shelf: Shelf, now: datetime
    ) -> tuple[Configuration | None, list[Finding]]:
        """Validate what is new; None when that fails, for then all errors are wanted."""
        if not isinstance(document, Mapping):
            return None, []
        values: dict[str, Any] = {}
        for key, value in document.items():
            if key in _LISTS and isinstance(value, list):
                values[key] = [
                    found[1]
                    if (found := known.sections.get(id(item))) is not None
                    else variables.replace(item, (key, i))
                    for i, item in enumerate(value)
                ]
            else:
                values[key] = variables.replace(value, (key,))
        if variables.faults:
            return None, []
        try:
            configuration = Configuration.model_validate(values)
        except ValidationError:
            return None, []
        return configuration, check(values, draft.of(configuration), shelf, now)


def _sections(document: object, configuration: Configuration) -> dict[int, tuple[object, Section]]:
    found: dict[int, tuple[object, Section]] = {}
    if isinstance(document, Mapping):
        for key in _LISTS:
            items: list[object] = document.get(key, [])
            for item, section in zip(items, getattr(configuration, key), strict=True):
                found[id(item)] = item, section
    return found


def _exposed(written: Written, variables: Variables) -> Iterable[Finding]:
    """Whether the password is there for everybody to read."""
    document = written.document
    if not written.is_public or _PASSWORD in variables.used or not isinstance(document, Mapping):
        return
    admin = document.get("admin")
    if isinstance(admin, Mapping) and variables.replace(admin.get("password"), _PASSWORD):
        yield Finding(
            _PASSWORD,
            "every user of this machine can read it; chmod o-r the file, or write "
            "${VELOFLUX_ADMIN_PASSWORD}",
            "advice",
        )


def _sorted(written: Written, findings: list[Finding], is_whole: bool) -> list[Problem]:
    """Return the warnings; raises ConfigError when there is more than those."""
    file = written.file
    problems = [Problem(file, f.line, "", str(f), f.column, "syntax") for f in written.faults]
    problems += (_placed(written, finding) for finding in findings)
    problems.sort(key=lambda problem: (problem.line, problem.column))
    warnings = [problem for problem in problems if problem.code == "advice"]
    if not is_whole or len(warnings) < len(problems):
        raise ConfigError(capped(file, problems))
    return capped(file, warnings)


def _placed(written: Written, finding: Finding) -> Problem:
    line, column = written.place(finding.loc)
    return Problem(
        written.file,
        line,
        dotted(finding.loc),
        finding.message,
        column,
        finding.code,
        finding.loc,
    )
