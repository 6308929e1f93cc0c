"""Is the daemon to take traffic? It can be drained as a whole, and come back.

A drain ends with the daemon: one that starts again serves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from twisted.logger import Logger

from veloflux.control.services.errors import ConflictError, UnavailableError
from veloflux.control.services.moments import moment
from veloflux.fleet.bind import ListenError
from veloflux.fleet.messages import DRAIN_DEADLINE_S
from veloflux.fleet.supervisor import RolloutError, WorkerStatus


class Fleet(Protocol):
    """The worker processes."""

    @property
    def is_draining(self) -> bool: ...
    def status(self) -> Sequence[WorkerStatus]: ...


class Turns(Protocol):
    """Makes the fleet rest and wake, between changes of the configuration."""

    async def rest(self, deadline_s: float) -> None: ...
    async def wake(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a drain is; `workers` and `connections` are those left, as told once a second.

    When the deadline has come, what has not ended is cut.
    """

    state: Literal["serving", "draining", "drained"]
    workers: int
    connections: int
    began_at: datetime | None
    deadline: datetime | None


class Rest:
    """Drains the daemon, and ends that; `now` gives Unix time."""

    _log = Logger()

    def __init__(self, turns: Turns, fleet: Fleet, now: Callable[[], float]) -> None:
        self._turns = turns
        self._fleet = fleet
        self._now = now
        self._times: tuple[float, float] | None = None

    def progress(self) -> Progress:
        """Say how far it is."""
        workers = self._fleet.status()
        began_at, ends_at = self._times or (None, None)
        state: Literal["draining", "drained"] = "draining" if workers else "drained"
        return Progress(
            state if self._fleet.is_draining else "serving",
            len(workers),
            sum(worker.connections for worker in workers),
            None if began_at is None else moment(began_at),
            None if ends_at is None else moment(ends_at),
        )

    async def begin(self, deadline_s: float | None) -> None:
        """Take no more traffic; what is under way has so long, or as long as at a stop.

        Raises ConflictError when it drains already, or an address could not be had back later.
        """
        deadline_s = DRAIN_DEADLINE_S if deadline_s is None else deadline_s
        try:
            await self._turns.rest(deadline_s)
        except (ListenError, RolloutError) as error:
            raise ConflictError(f"The daemon cannot be drained: {error}.") from error
        began_at = self._now()
        self._times = began_at, began_at + deadline_s
        self._log.info(
            "the daemon is drained: what is in flight has {deadline:.0f} s to finish",
            deadline=deadline_s,
        )

    async def cancel(self) -> None:
        """Serve again; raises ConflictError when it does, UnavailableError when it cannot."""
        if self._times is None:
            raise ConflictError("The daemon does not drain.")
        try:
            await self._turns.wake()
        except (ListenError, RolloutError) as error:
            raise UnavailableError(f"The daemon cannot serve again: {error}.") from error
        self._times = None
        self._log.info("the drain is cancelled, and the daemon serves again")
