"""Plain values as a validated configuration, with all that is wrong or doubtful about them."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from pydantic import ValidationError

from veloflux.config import draft
from veloflux.config.checks.balancing import balancing
from veloflux.config.checks.listening import listening
from veloflux.config.checks.reaching import reaching
from veloflux.config.checks.routing import routing
from veloflux.config.checks.secrecy import secrecy
from veloflux.config.explain import explain
from veloflux.config.problem import Finding, Problem
from veloflux.config.schema import Configuration
from veloflux.config.shelf import Shelf
from veloflux.config.unavailable import unavailable
from veloflux.config.wording import Loc

# Nonsense should not fill the screen, nor the memory.
MAX_PROBLEMS = 1000


def examine(
    values: object, faults: dict[Loc, str], shelf: Shelf, now: datetime
) -> tuple[Configuration | None, list[Finding]]:
    """Validate by the schema and across it; `faults` are values that could not be had."""
    findings = [Finding(loc, message, "environment") for loc, message in faults.items()]
    configuration, part, errors = _validated(values, faults)
    findings += errors[:MAX_PROBLEMS]
    return configuration, findings + check(values, part, shelf, now)


def check(values: object, part: draft.Draft, shelf: Shelf, now: datetime) -> list[Finding]:
    """Say what is wrong or doubtful across what is right for itself."""
    findings: list[Finding] = []
    doubts = (listening(part), balancing(part), reaching(part), routing(part))
    for more in (unavailable(values), *doubts, secrecy(part, shelf, now)):
        findings += islice(more, MAX_PROBLEMS)
    return findings


def _validated(
    values: object, faulty: Iterable[Loc]
) -> tuple[Configuration | None, draft.Draft, list[Finding]]:
    """Validate by the schema; what could not be had is an error already."""
    excused = set(faulty)
    try:
        configuration = Configuration.model_validate(values)
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:
            return None, draft.Draft(), list(islice(explain(error), MAX_PROBLEMS))
        findings = list(explain(error))
        wrong = excused.union(finding.loc for finding in findings)
        new = [finding for finding in findings if finding.loc not in excused]
        return None, draft.salvage(values, wrong), new
    if excused:
        return None, draft.salvage(values, excused), []
    return configuration, draft.of(configuration), []


def capped(file: str, problems: Iterable[Problem]) -> list[Problem]:
    """Return as many as can be shown."""
    every = list(problems)
    if len(every) >= MAX_PROBLEMS:
        more = "there are more problems than can be shown; these first"
        return [*every[:MAX_PROBLEMS], Problem(file, 0, "", more, code=every[0].code)]
    return every
