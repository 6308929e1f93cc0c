"""The configuration file as the model: read, validated, checked, or refused with all its errors.

Both functions are pure but for reading the file, keep nothing, and may run in any thread.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from pydantic import ValidationError

from veloflux.config import draft
from veloflux.config.build import build
from veloflux.config.checks.balancing import balancing
from veloflux.config.checks.listening import listening
from veloflux.config.checks.routing import routing
from veloflux.config.checks.secrecy import secrecy
from veloflux.config.compose import compose
from veloflux.config.explain import explain
from veloflux.config.nodes import Node as Tree
from veloflux.config.nodes import Scalar, find, locate
from veloflux.config.plain import Reading
from veloflux.config.problem import ConfigError, Finding, Problem
from veloflux.config.schema import Configuration
from veloflux.config.shelf import Shelf
from veloflux.config.text import MAX_BYTES, DocumentError, decode
from veloflux.config.unavailable import unavailable
from veloflux.config.wording import dotted
from veloflux.core.model.node import Node

DEFAULT_FILE = "veloflux.yaml"

# A file of nonsense should not fill the screen, nor the memory.
MAX_PROBLEMS = 1000

_PASSWORD = ("admin", "password")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and what its author may not have meant."""

    node: Node
    warnings: tuple[Problem, ...]


def load(path: str, environ: Mapping[str, str], version: int = 1, *, keeps: bool = False) -> Loaded:
    """Read the file at `path`; the snapshot gets `version`.

    Relative paths in it start at its directory; `workers: auto` counts the processors that this
    process may use. With `keeps`, certificates made on the spot are written to the data directory.
    Raises ConfigError.
    """
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
    return read(content, path, environ, version, is_public=bool(mode & stat.S_IROTH), keeps=keeps)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def read(
    content: bytes,
    file: str,
    environ: Mapping[str, str],
    version: int = 1,
    *,
    is_public: bool = False,
    keeps: bool = False,
) -> Loaded:
    """Read a configuration from bytes, as if they stood in `file`.

    `is_public` says that every user of the machine can read it. Raises ConfigError.
    """
    root, faults = _tree(content, file)
    reading = Reading(environ)
    data = {} if root is None else reading.plain(root)
    findings = [Finding(loc, message, "environment") for loc, message in reading.faults.items()]
    configuration, part, errors = _validated(data, reading.faults)
    now = datetime.now(UTC)
    shelf = Shelf(os.path.dirname(os.path.abspath(file)), now, keeps=keeps)
    doubts = (listening(part), balancing(part), routing(part))
    files = secrecy(part, shelf, now)
    for more in (errors, unavailable(data), *doubts, files):
        findings += islice(more, MAX_PROBLEMS)
    findings += _exposed(root, reading, is_public)
    problems = [Problem(file, f.line, "", str(f), f.column, "syntax") for f in faults]
    problems += (_placed(file, root, finding) for finding in findings)
    problems.sort(key=lambda problem: (problem.line, problem.column))
    warnings = tuple(problem for problem in problems if problem.code == "advice")
    if configuration is None or len(warnings) < len(problems):
        raise ConfigError(_capped(file, problems))
    try:
        node = build(configuration, shelf, len(os.sched_getaffinity(0)), version)
    except OSError as error:
        # A certificate that is made is kept, or there would be another one with each reload.
        wrong = f"{error.filename} cannot be written: {error.strerror}; let this user write there"
        raise ConfigError([Problem(file, 0, "data_dir", wrong, code="file")]) from None
    return Loaded(node, tuple(_capped(file, warnings)))


def _tree(content: bytes, file: str) -> tuple[Tree | None, list[DocumentError]]:
    try:
        root, faults = compose(decode(content))
    except DocumentError as error:
        problem = Problem(file, error.line, "", str(error), error.column, "syntax")
        raise ConfigError([problem]) from None
    if root is None or (isinstance(root, Scalar) and root.plain and not root.text):
        wrong = "is empty; write at least one listener, as in etc/veloflux.yaml"
        raise ConfigError([Problem(file, 1, "", wrong, 1, "syntax")])
    return root, faults


def _validated(
    data: object, faulty: Iterable[tuple[str | int, ...]]
) -> tuple[Configuration | None, draft.Draft, list[Finding]]:
    """Validate by the schema; what could not be had is an error already."""
    excused = set(faulty)
    try:
        configuration = Configuration.model_validate(data)
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:
            return None, draft.Draft(), list(islice(explain(error), MAX_PROBLEMS))
        findings = list(explain(error))
        wrong = excused.union(finding.loc for finding in findings)
        new = [finding for finding in findings if finding.loc not in excused]
        return None, draft.salvage(data, wrong), new
    if excused:
        return None, draft.salvage(data, excused), []
    return configuration, draft.of(configuration), []


def _exposed(root: Tree | None, reading: Reading, is_public: bool) -> Iterable[Finding]:
    node = None if root is None else find(root, _PASSWORD)
    if not isinstance(node, Scalar) or not is_public or _PASSWORD in reading.from_environment:
        return
    if reading.plain(node, _PASSWORD):
        yield Finding(
            _PASSWORD,
            "every user of this machine can read it; chmod o-r the file, or write "
            "${VELOFLUX_ADMIN_PASSWORD}",
            "advice",
        )


def _placed(file: str, root: Tree | None, finding: Finding) -> Problem:
    line, column = (0, 0) if root is None else locate(root, finding.loc)
    return Problem(file, line, dotted(finding.loc), finding.message, column, finding.code)


def _capped(file: str, problems: Iterable[Problem]) -> list[Problem]:
    every = list(problems)
    if len(every) >= MAX_PROBLEMS:
        more = "there are more problems than can be shown; these first"
        return [*every[:MAX_PROBLEMS], Problem(file, 0, "", more, code=every[0].code)]
    return every
