"""What a picker picks, what every picker offers, and which backends of a pool are candidates."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from veloflux.core.policy.balance.latency import PeakEwma

Luck = Callable[[], float]
"""A number that is at least 0 and below 1, a new one at every call."""


class Candidate(Protocol):
    """A backend as a picker sees it.

    `name` is its address as text, and its identity. `weight` is the one in force now. `load` counts
    the requests or connections it works on, for all workers. `latency` is asked for by `peak_ewma`
    alone, and is this worker's.
    """

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def load(self) -> int: ...
    @property
    def latency(self) -> PeakEwma: ...


class Member(Candidate, Protocol):
    """A backend as its pool sees it.

    `is_unhealthy` only once its checks have said so; `is_ejected` while real traffic's verdict on
    it lasts.
    """

    @property
    def enabled(self) -> bool: ...
    @property
    def backup(self) -> bool: ...
    @property
    def is_unhealthy(self) -> bool: ...
    @property
    def is_ejected(self) -> bool: ...


C = TypeVar("C", bound=Candidate)
M = TypeVar("M", bound=Member)


class Picker(Protocol[C]):
    """Chooses among the candidates it was made with; made anew when those or weights change.

    `key` is what the algorithms in `KEYED` look at: the same key, the same backend. `now` is in
    seconds, of the clock that `latency` is given.
    """

    def pick(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        """One that is not `excluded`; None when there is none."""
        ...

    def peek(
        self, excluded: Collection[object] = (), key: bytes = b"", now: float = 0.0
    ) -> C | None:
        """What `pick` would return now, with the same luck; nothing changes by it."""
        ...

    def scores(self, key: bytes = b"", now: float = 0.0) -> list[tuple[C, float]]:
        """How each candidate stands, to explain a choice: less is better. Empty where there is no
        such number."""
        ...


class Factory(Protocol):
    """Makes a picker of one algorithm; candidates without weight are left out."""

    def __call__(self, candidates: Sequence[C], luck: Luck) -> Picker[C]: ...


class Usable(NamedTuple, Generic[M]):
    """Who may be picked now, and why it is not simply the healthy primaries."""

    members: tuple[M, ...]
    reason: Literal["", "backup", "panic"] = ""


def usable(members: Iterable[M], panic_percent: int = 0) -> Usable[M]:
    """Those that may be picked: enabled, with weight, not ejected, and healthy or not yet checked.

    Primaries come first, and backups when no primary is left. When less than `panic_percent` of the
    primaries are left, health and ejection are not asked for: so many do not fail at once, more
    likely the checks do, and the few would drown (Envoy's panic threshold). An ejection, unlike a
    check, never takes the last: a backend that does poorly is better than none.
    """
    able = [m for m in members if m.enabled and m.weight > 0]
    primaries = [m for m in able if not m.backup]
    good = [m for m in primaries if not m.is_unhealthy and not m.is_ejected]
    if len(good) * 100 < panic_percent * len(primaries):
        return Usable(tuple(primaries), "panic")
    if good:
        return Usable(tuple(good))
    if good := [m for m in able if m.backup and not m.is_unhealthy and not m.is_ejected]:
        return Usable(tuple(good), "backup")
    ejected = [m for m in able if not m.is_unhealthy]
    if not ejected:
        return Usable(())
    return Usable(tuple(m for m in ejected if not m.backup) or tuple(ejected), "panic")
