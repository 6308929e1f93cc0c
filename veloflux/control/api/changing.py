"""What all endpoints that change the configuration have in common: who, why, and whether really."""

from dataclasses import dataclass

from pydantic import Field

from veloflux.control.api.endpoint import Asked
from veloflux.control.api.input import Input
from veloflux.control.services.configuration.configuration import Author
from veloflux.control.services.configuration.edits import Edit
from veloflux.control.services.configuration.proposal import Proposal


class Why(Input):
    """What a change is for."""

    reason: str = Field("", max_length=500, description="Why; it is kept with the revision.")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would be: nothing was changed."""

    dry_run: bool
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


def author(asked: Asked, reason: str = "") -> Author:
    """Return who asks. The daemon's environment is for those who rule the whole of it."""
    by = asked.principal
    return Author(by.name, reason, may_use_variables="system:admin" in by.permissions)


async def change(asked: Asked, edit: Edit, reason: str = "") -> Preview | None:
    """Make a change, or in a dry run say what it would be."""
    configuration = asked.services.configuration
    by = author(asked, reason)
    if asked.is_dry_run:
        return preview(await configuration.check(edit, by))
    asked.entry.before = configuration.current().number
    outcome = await configuration.change(edit, by)
    asked.entry.after = outcome.revision
    return None


def preview(proposal: Proposal) -> Preview:
    """Say what a proposal would change."""
    return Preview(True, tuple(map(str, proposal.changes)), proposal.warnings)
