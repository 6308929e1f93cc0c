"""Keeps as many workers running as there should be.

Each worker has a place, with a number and sockets that outlive it. Whoever dies is replaced: at
once, or later and later when it keeps dying. A worker that is told by a signal to leave gets its
successor before it is gone, so that nobody waits in its accept queue meanwhile. A crew that rests
keeps its places empty.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from veloflux.fleet.backoff import Backoff
from veloflux.fleet.messages import DRAIN_DEADLINE_S, Drained, Hello, Leaving, Up
from veloflux.fleet.process import Spawner
from veloflux.fleet.sockets import Sockets
from veloflux.fleet.watchdog import Watchdog
from veloflux.fleet.worker import Worker

# After the drain's deadline, how long workers have to close what is left before they are killed.
LAST_WORDS_S = 1.0


@dataclass(slots=True, eq=False)
class _Place:
    index: int
    worker: Worker | None = None
    restarts: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    successor: IDelayedCall | None = None

    def cancel(self) -> None:
        if self.successor is not None:
            self.successor.cancel()
            self.successor = None


class Crew:
    """The workers; `on_start` is told of each new one, `on_gone` of each that is no more."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        spawner: Spawner,
        sockets: Sockets,
        on_start: Callable[[Worker], None],
        on_message: Callable[[Worker, Up], None],
        on_gone: Callable[[Worker, str], None],
    ) -> None:
        self.is_draining = False
        self.is_resting = False
        # Not a sum over the places: those may become fewer, and a counter must not fall.
        self.deaths = 0
        self._clock = clock
        self._spawner = spawner
        self._sockets = sockets
        self._on_start = on_start
        self._on_message = on_message
        self._on_gone = on_gone
        self._places: list[_Place] = []
        self._departing: list[Worker] = []
        self._empty: Deferred[None] | None = None
        self._end: IDelayedCall | None = None
        self._watchdog = Watchdog(clock, lambda: self.everybody)

    def __len__(self) -> int:
        """Return how many workers there should be."""
        return len(self._places)

    @property
    def members(self) -> list[Worker]:
        """The workers that hold a place, by number."""
        return [place.worker for place in self._places if place.worker is not None]

    @property
    def everybody(self) -> list[Worker]:
        """Every worker that has a process, those that leave included."""
        return sorted([*self._departing, *self.members], key=lambda worker: worker.index)

    @property
    def restarts(self) -> dict[int, int]:
        """How often the worker of each place has been replaced after it died."""
        return {place.index: place.restarts for place in self._places}

    def resize(self, workers: int) -> None:
        """Have so many places: fill new ones, let the workers of surplus ones finish."""
        while len(self._places) > workers:
            place = self._places.pop()
            place.cancel()
            if place.worker is not None:
                self._departing.append(place.worker)
                place.worker.drain(DRAIN_DEADLINE_S)
        self._watchdog.start()
        while len(self._places) < workers:
            place = _Place(len(self._places))
            self._places.append(place)
            self._fill(place)

    def hurry(self) -> None:
        """Start waiting successors now: what made workers die may have been changed."""
        for place in self._places:
            place.backoff.reset()
            if place.successor is not None:
                place.successor.reset(0)

    def rest(self, deadline_s: float) -> None:
        """Let all finish until then, and leave their places empty until `wake`."""
        self.is_resting = True
        for place in self._places:
            place.cancel()
            if place.worker is not None:
                self._departing.append(place.worker)
                place.worker.drain(deadline_s)
                place.worker = None

    def wake(self) -> None:
        """Fill every place; those who have not finished yet go on doing so."""
        self.is_resting = False
        for place in self._places:
            place.backoff.reset()
            self._fill(place)

    def drain(self, deadline_s: float) -> Deferred[None]:
        """Let all finish and replace nobody; fires when all are gone, some killed maybe."""
        if self._empty is None:
            self._empty = Deferred()
            self.is_draining = True
            for place in self._places:
                place.cancel()
            for worker in self.everybody:
                worker.drain(deadline_s)
            self._end = self._clock.callLater(deadline_s + LAST_WORDS_S, self.kill)
            self._finish_when_empty()
        return self._empty

    def kill(self) -> None:
        """End every worker without notice."""
        for worker in self.everybody:
            self._log.warn("worker {worker.index} (pid {worker.pid}) is killed", worker=worker)
            worker.kill()

    def _fill(self, place: _Place) -> None:
        place.successor = None
        worker = Worker(self._clock, place.index, self._sockets)
        try:
            worker.start(self._spawner, self._heard, self._gone)
        except OSError as error:
            delay = self._succeed(place, 0.0)
            self._log.error(
                "worker {index} cannot be started: {error}; next try in {delay:.2f} s",
                index=place.index,
                error=error,
                delay=delay,
            )
            return
        place.worker = worker
        self._on_start(worker)

    def _succeed(self, place: _Place, lived_s: float) -> float:
        """Arrange for a successor and return in how many seconds it comes."""
        delay = place.backoff.after(lived_s)
        place.successor = self._clock.callLater(delay, self._fill, place)
        return delay

    def _heard(self, worker: Worker, message: Up) -> None:
        worker.silent_looks = 0
        match message:
            case Hello():
                self._log.debug("worker {worker.index} runs, pid {worker.pid}", worker=worker)
            case Drained(left=0):
                self._log.info("worker {worker.index} has drained", worker=worker)
            case Drained(left=left):
                self._log.warn(
                    "worker {worker.index} closed what had not ended in time, connections: {left}",
                    worker=worker,
                    left=left,
                )
            case Leaving():
                self._leaves(worker)
            case _:
                self._on_message(worker, message)

    def _leaves(self, worker: Worker) -> None:
        worker.leave()
        place = self._place_of(worker)
        if place is not None and not self.is_draining:
            self._log.info(
                "worker {worker.index} (pid {worker.pid}) was told to leave; its successor starts",
                worker=worker,
            )
            self._departing.append(worker)
            place.worker = None
            self._fill(place)

    def _gone(self, worker: Worker, why: str) -> None:
        place = self._place_of(worker)
        if place is not None:
            place.worker = None
        elif worker in self._departing:
            self._departing.remove(worker)
        if place is None or self.is_draining:
            self._log.info("worker {worker.index} is gone: {why}", worker=worker, why=why)
        else:
            place.restarts += 1
            self.deaths += 1
            delay = self._succeed(place, self._clock.seconds() - worker.started)
            self._log.error(
                "worker {worker.index} (pid {worker.pid}) died: {why}; "
                "its successor starts in {delay:.2f} s",
                worker=worker,
                why=why,
                delay=delay,
            )
        self._on_gone(worker, why)
        self._finish_when_empty()

    def _place_of(self, worker: Worker) -> _Place | None:
        return next((place for place in self._places if place.worker is worker), None)

    def _finish_when_empty(self) -> None:
        if self._empty is None or self._empty.called or self.everybody:
            return
        self._watchdog.stop()
        if self._end is not None and self._end.active():
            self._end.cancel()
        self._empty.callback(None)
