"""Work done in slices, with more time between them for the traffic."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator

_SLICE_S = 0.001
_BETWEEN_SLICES_S = 0.004


class _Slice:
    """Says when a slice is over."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._end = seconds() + _SLICE_S

    def __call__(self) -> bool:
        return self._seconds() >= self._end


def in_slices(clock: IReactorTime) -> Cooperator:
    """What takes the steps of an iterator in slices, by the clock."""
    return Cooperator(
        terminationPredicateFactory=lambda: _Slice(clock.seconds),
        scheduler=lambda turn: clock.callLater(_BETWEEN_SLICES_S, turn),
    )
