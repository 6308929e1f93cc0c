"""Deadlines for very many connections, cheap to move.

Each request moves several deadlines and almost none is ever reached, so moving one must cost no
more than an attribute. A `Timed` object stands in the slot of some moment not after its deadline;
when that moment comes, it either is due or moves on to the slot of its present deadline.
"""

from collections import defaultdict
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

NEVER = float("inf")
RESOLUTION_S = 0.1

_log = Logger()


class Timed:
    """Something with at most one deadline at a time; set it with `Deadlines.arm`."""

    deadline = NEVER
    slot = NEVER
    # The earliest deadline that the slot is good enough for.
    earliest = NEVER

    def expire(self, now: float) -> None:
        """The deadline has come; `deadline` is back at NEVER."""
        raise NotImplementedError


class Deadlines:
    """Calls `expire` within two RESOLUTION_S after each deadline, on `clock`'s seconds."""

    def __init__(self, clock: IReactorTime) -> None:
        self.now: Callable[[], float] = clock.seconds
        # By number of the turn; a slot taken but left behind is dropped by `disarm`.
        self._slots: defaultdict[float, set[Timed]] = defaultdict(set)
        self._reached = self._turn_of(clock.seconds())
        self._loop = LoopingCall(self._turn)
        self._loop.clock = clock

    def start(self) -> None:
        self._loop.start(RESOLUTION_S, now=False).addErrback(
            lambda failure: _log.failure("The deadlines stopped", failure)
        )

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def arm(self, timed: Timed, deadline: float) -> None:
        """Set `timed`'s deadline, in the clock's seconds; NEVER for none."""
        timed.deadline = deadline
        if deadline < timed.earliest:
            self._place(timed)

    def disarm(self, timed: Timed) -> None:
        """Forget `timed`, which is going away."""
        timed.deadline = NEVER
        if timed.slot != NEVER:
            self._leave(timed)

    def _leave(self, timed: Timed) -> None:
        others = self._slots.get(timed.slot)
        if others is not None:
            others.discard(timed)
            if not others:
                # The moment may be an hour away.
                del self._slots[timed.slot]
        timed.slot = timed.earliest = NEVER

    def _place(self, timed: Timed) -> None:
        if timed.slot != NEVER:
            self._leave(timed)
        turn = max(self._turn_of(timed.deadline), self._reached)
        timed.slot = turn + 1
        timed.earliest = turn * RESOLUTION_S
        self._slots[timed.slot].add(timed)

    def _turn(self) -> None:
        now = self.now()
        last = self._turn_of(now)
        while self._reached < last:
            self._reached += 1
            for timed in self._slots.pop(self._reached, ()):
                timed.slot = timed.earliest = NEVER
                if timed.deadline <= now:
                    self._expire(timed, now)
                elif timed.deadline != NEVER:
                    self._place(timed)

    def _expire(self, timed: Timed, now: float) -> None:
        timed.deadline = NEVER
        try:
            timed.expire(now)
        except Exception:  # the other deadlines must still be kept
            _log.failure("A deadline's action failed")

    @staticmethod
    def _turn_of(moment: float) -> int:
        return int(moment / RESOLUTION_S)
