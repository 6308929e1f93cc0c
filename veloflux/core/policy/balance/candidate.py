"""What a picker picks, and what every picker offers."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol, TypeVar

Luck = Callable[[], float]
"""A number that is at least 0 and below 1, a new one at every call."""


class Candidate(Protocol):
    """A backend as a picker sees it; `inflight` counts the requests or connections it works on."""

    @property
    def weight(self) -> int: ...
    @property
    def inflight(self) -> int: ...


class Member(Candidate, Protocol):
    """A backend as its pool sees it; `is_unhealthy` only once its checks have said so."""

    @property
    def enabled(self) -> bool: ...
    @property
    def backup(self) -> bool: ...
    @property
    def is_unhealthy(self) -> bool: ...


C = TypeVar("C", bound=Candidate)
M = TypeVar("M", bound=Member)
C_co = TypeVar("C_co", bound=Candidate, covariant=True)


class Picker(Protocol[C_co]):
    """Chooses among the candidates it was made with; made anew when those or weights change."""

    def pick(self, excluded: Collection[object] = ()) -> C_co | None:
        """One that is not `excluded`; None when there is none."""
        ...


class Factory(Protocol):
    """Makes a picker of one algorithm; candidates without weight are left out."""

    def __call__(self, candidates: Sequence[C], luck: Luck) -> Picker[C]: ...


def usable(members: Iterable[M]) -> tuple[M, ...]:
    """Those that may be picked now: enabled, with weight, and healthy or not yet checked.

    Backups are among them only when no primary is.
    """
    able = [m for m in members if m.enabled and m.weight > 0 and not m.is_unhealthy]
    return tuple(m for m in able if not m.backup) or tuple(able)
