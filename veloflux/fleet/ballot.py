"""Do all workers agree?

One round of a two-phase commit: each voter says yes or no, dies, or says nothing until the
deadline. The first no ends the round.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

_Voter = TypeVar("_Voter")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_Voter]):
    """How a round ended; `refused` and `died` carry the reasons."""

    agreed: list[_Voter] = field(default_factory=list)
    refused: dict[_Voter, str] = field(default_factory=dict)
    died: dict[_Voter, str] = field(default_factory=dict)
    silent: list[_Voter] = field(default_factory=list)


class Ballot(Generic[_Voter]):
    """One round among `voters`; `closed` fires once with the outcome."""

    def __init__(self, clock: IReactorTime, voters: Iterable[_Voter], deadline_s: float) -> None:
        self.closed: Deferred[Outcome[_Voter]] = Deferred()
        self._outcome: Outcome[_Voter] = Outcome()
        self._waiting = dict.fromkeys(voters)
        self._timeout = clock.callLater(deadline_s, self._close)
        self._close_when_complete()

    def agree(self, voter: _Voter) -> None:
        """Count a yes."""
        if self._answers(voter):
            self._outcome.agreed.append(voter)
            self._close_when_complete()

    def refuse(self, voter: _Voter, why: str) -> None:
        """Count a no, which decides the round."""
        if self._answers(voter):
            self._outcome.refused[voter] = why
            self._close()

    def die(self, voter: _Voter, why: str) -> None:
        """Count somebody who can no longer answer; whoever said yes before has not said it."""
        if self.closed.called:
            return
        if voter in self._outcome.agreed:
            self._outcome.agreed.remove(voter)
        elif not self._answers(voter):
            return
        self._outcome.died[voter] = why
        self._close_when_complete()

    def _answers(self, voter: _Voter) -> bool:
        if self.closed.called or voter not in self._waiting:
            return False
        del self._waiting[voter]
        return True

    def _close_when_complete(self) -> None:
        if not self._waiting:
            self._close()

    def _close(self) -> None:
        if self._timeout.active():
            self._timeout.cancel()
        self._outcome.silent.extend(self._waiting)
        self.closed.callback(self._outcome)
