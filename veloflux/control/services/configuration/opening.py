"""What the daemon starts with: the file, or the last revision that became durable.

Everything here blocks, and happens before the reactor runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from veloflux.config.problem import ConfigError, Problem
from veloflux.config.reader import Loaded, Reader
from veloflux.config.variables import Variables
from veloflux.config.written import BOOTSTRAP, TRAFFIC, Document, Written, part
from veloflux.control.services.configuration.revisions import (
    NOTHING,
    Entry,
    Reading,
    Revision,
    digest,
    pack,
    recover,
)

# What the file last contributed, and to which revision.
KIND, KEY = "configuration", "file"
FILE = "file"


class Contribution(msgspec.Struct, frozen=True):
    """That a file whose traffic part had this digest became a revision."""

    digest: str
    revision: int


@dataclass(frozen=True, slots=True)
class Opening:
    """`revision` is to be in force; `packed` is its document when it is new, else None.

    `entries` are those that are stored. `drift` says that the file says something else than what it
    last contributed.
    """

    loaded: Loaded
    bootstrap: Document
    does_file_rule: bool
    entries: list[Entry]
    stored: Revision
    revision: Revision
    packed: bytes | None
    contribution: Contribution
    drift: bool


def where(written: Written, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the data directory as it is written, and whether the file rules.

    What is wrong with them is said when all is read.
    """
    values = Variables(environ).replace(part(written.document, ("data_dir", "authority")))
    assert isinstance(values, dict)
    directory = values.get("data_dir")
    usable = directory if isinstance(directory, str) and directory else "var"
    return str(usable), values.get("authority") == "file"


def open_with(
    written: Written, reader: Reader, environ: Mapping[str, str], store: Reading | None, at: float
) -> Opening:
    """Return what to start with; `store` is None when there is none yet, `at` is Unix time.

    Raises ConfigError and StoreError.
    """
    _, does_file_rule = where(written, environ)
    entries, stored = ([], NOTHING) if store is None else recover(store)
    traffic = part(written.document, TRAFFIC)
    fresh = digest(traffic)
    found = None if store is None else store.get(KIND, KEY)
    before = Contribution("", 0) if found is None else _contribution.decode(found.body)
    bootstrap = part(written.document, BOOTSTRAP)
    if entries and (not does_file_rule or fresh == stored.entry.digest):
        document = {**bootstrap, **stored.document}
        name = f"revision {stored.number}"
        try:
            loaded = reader.read(Written(document, name), revision=stored.number)
        except ConfigError as error:
            raise _placed(error, written) from None
        drift = not does_file_rule and fresh != before.digest
        return Opening(
            loaded, bootstrap, does_file_rule, entries, stored, stored, None, before, drift
        )
    number = stored.number + 1
    loaded = reader.read(written, revision=number)
    packed, told = pack(traffic)
    reason = "the first configuration" if not entries else "the file was changed"
    entry = Entry(number, at, FILE, reason, stored.number, (), 0, told)
    revision = Revision(entry, traffic)
    contribution = Contribution(fresh, number)
    return Opening(
        loaded, bootstrap, does_file_rule, entries, stored, revision, packed, contribution, False
    )


def _placed(error: ConfigError, written: Written) -> ConfigError:
    """Say where in the file it is, for what the file says."""
    return ConfigError(_at(problem, written) for problem in error.problems)


def _at(problem: Problem, written: Written) -> Problem:
    if problem.loc[:1] not in [(key,) for key in BOOTSTRAP]:
        return problem
    line, column = written.place(problem.loc)
    return replace(problem, file=written.file, line=line, column=column)


_contribution = msgspec.json.Decoder(Contribution)
