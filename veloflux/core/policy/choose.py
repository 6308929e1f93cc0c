"""Which backend of its pool takes this request, and why not another?

A sticky client goes back to its backend while that takes requests; else the pool's algorithm picks
among those that can be used and are not full. The real pick and its explanation are one path: they
differ in whether the picker's turn is taken.
"""

from collections.abc import Collection, Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.policy.balance.candidate import Luck, Member, Picker, usable


class Bounded(Member, Protocol):
    """A member that may have as much to do as it may."""

    @property
    def is_full(self) -> bool: ...


B = TypeVar("B", bound=Bounded)


class Choice(NamedTuple, Generic[B]):
    """Who was chosen, if anybody, and by what: `sticky`, `backup`, `panic` or the algorithm."""

    backend: B | None
    reason: str


class Standing(NamedTuple):
    """How one backend stands in a choice.

    `why_not` is empty for one that could be chosen, else `disabled`, `no_weight`, `unhealthy`,
    `ejected`, `backup`, `tried` or `full`. `score` is the algorithm's, less is better; None where
    it keeps none.
    """

    backend: str
    why_not: str
    weight: int
    load: int
    score: float | None


class Explanation(NamedTuple):
    """A choice that was not made: what it would be, and how everybody stands."""

    backend: str | None
    reason: str
    standings: tuple[Standing, ...]


class Chooser(Generic[B]):
    """Chooses among `members` as they are now; made anew when their states or weights change.

    `is_bounded` says that some can be full. `by` is the algorithm that does what is called
    `algorithm`, when that is another.
    """

    def __init__(
        self,
        members: Iterable[B],
        algorithm: Algorithm,
        luck: Luck,
        *,
        by: Algorithm | None = None,
        panic_percent: int = 0,
        is_bounded: bool = False,
    ) -> None:
        self._members = tuple(members)
        found = usable(self._members, panic_percent)
        self._usable = found.members
        self.reason: str = found.reason or algorithm
        self.picker: Picker[B] = PICKERS[by or algorithm](found.members, luck)
        self._is_bounded = is_bounded

    def choose(
        self,
        tried: Collection[object] = (),
        key: bytes = b"",
        now: float = 0.0,
        stuck: B | None = None,
    ) -> Choice[B]:
        """Choose one that is not in `tried`; `stuck` is the backend that a sticky client had."""
        if stuck is not None and stuck not in tried and self._takes(stuck):
            return Choice(stuck, "sticky")
        return Choice(self.picker.pick(self._excluded(tried), key, now), self.reason)

    @property
    def are_full(self) -> bool:
        """Whether those that can be used have all as much to do as they may."""
        return self._is_bounded and bool(self._usable) and all(m.is_full for m in self._usable)

    def has_other_than(self, tried: Collection[object]) -> bool:
        """Whether somebody that can be used is not in `tried`."""
        return any(m not in tried for m in self._usable)

    def explain(
        self,
        tried: Collection[object] = (),
        key: bytes = b"",
        now: float = 0.0,
        stuck: B | None = None,
    ) -> Explanation:
        """Say what `choose` would, with the same luck; nothing changes by it."""
        excluded = self._excluded(tried)
        if stuck is not None and stuck not in tried and self._takes(stuck):
            chosen: B | None = stuck
            reason = "sticky"
        else:
            chosen, reason = self.picker.peek(excluded, key, now), self.reason
        scores = {each.name: score for each, score in self.picker.scores(key, now)}
        standings = tuple(
            Standing(m.name, self._why_not(m, tried), m.weight, m.load, scores.get(m.name))
            for m in self._members
        )
        return Explanation(chosen.name if chosen is not None else None, reason, standings)

    def _takes(self, stuck: B) -> bool:
        """Whether a sticky client may go there: weight 0 keeps others away, not those."""
        return stuck.enabled and not (stuck.is_unhealthy or stuck.is_ejected or stuck.is_full)

    def _excluded(self, tried: Collection[object]) -> Collection[object]:
        if not self._is_bounded:
            return tried
        full = [m for m in self._usable if m.is_full]
        return (*tried, *full) if full else tried

    def _why_not(self, member: B, tried: Collection[object]) -> str:
        if member in self._usable:
            return "tried" if member in tried else "full" if member.is_full else ""
        if not member.enabled:
            return "disabled"
        if not member.weight:
            return "no_weight"
        if member.is_unhealthy:
            return "unhealthy"
        return "ejected" if member.is_ejected else "backup"
