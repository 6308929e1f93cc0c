"""How late the loops of the daemon and its workers have come to their timers in the last minute.

The daemon's own is sampled here. Workers tell theirs once a second.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from veloflux.core.model import metrics
from veloflux.core.model.metrics import LAG_BUCKETS, Tally

SAMPLE_S = 0.25
WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds that half, and 99 % of the samples were not over, as far as buckets tell: a sample
    over a second counts as the mean of all of those."""

    samples: int
    p50: float
    p99: float
    mean: float


class Lags:
    """Keeps a minute of each; `observe` is told of every sample of the daemon's own."""

    def __init__(self, clock: IReactorTime, observe: Callable[[float], None]) -> None:
        self._clock = clock
        self._observe = observe
        self._due = 0.0
        self._own: _Window = _Window()
        self._workers: dict[int, _Window] = {}
        self._sample = LoopingCall(self._look)
        self._sample.clock = clock

    def start(self) -> None:
        """Sample the daemon's own from now on."""
        self._due = self._clock.seconds() + SAMPLE_S
        self._sample.start(SAMPLE_S, now=False)

    def stop(self) -> None:
        if self._sample.running:
            self._sample.stop()

    def merge(self, worker: int, tally: Tally) -> None:
        """Take a worker's samples."""
        for found in tally.distributions:
            if found.family == metrics.REACTOR_LAG.name:
                window = self._workers.setdefault(worker, _Window())
                window.add(self._clock.seconds(), found.counts, found.sum)

    def forget(self, worker: int) -> None:
        """It is gone."""
        self._workers.pop(worker, None)

    def own(self) -> Lag:
        """The daemon's."""
        return self._own.lag(self._clock.seconds())

    def workers(self) -> dict[int, Lag]:
        """Every worker's, by process id."""
        now = self._clock.seconds()
        return {worker: window.lag(now) for worker, window in self._workers.items()}

    def _look(self) -> None:
        now = self._clock.seconds()
        late = max(now - self._due, 0.0)
        self._due = now + SAMPLE_S
        self._own.add(now, {bisect_left(LAG_BUCKETS, late): 1}, late)
        self._observe(late)


class _Window:
    """Samples of the last minute."""

    def __init__(self) -> None:
        self._parts: deque[tuple[float, Mapping[int, int], float]] = deque()

    def add(self, now: float, counts: Mapping[int, int], total: float) -> None:
        self._parts.append((now, counts, total))
        self._forget(now)

    def lag(self, now: float) -> Lag:
        self._forget(now)
        sums = [0] * (len(LAG_BUCKETS) + 1)
        for _, counts, _ in self._parts:
            for place, count in counts.items():
                sums[place] += count
        samples = sum(sums)
        if not samples:
            return Lag(0, 0.0, 0.0, 0.0)
        mean = sum(part[2] for part in self._parts) / samples
        bounds = (*LAG_BUCKETS, max(LAG_BUCKETS[-1], mean))
        return Lag(samples, _below(sums, bounds, 0.5), _below(sums, bounds, 0.99), round(mean, 6))

    def _forget(self, now: float) -> None:
        while self._parts and self._parts[0][0] <= now - WINDOW_S:
            self._parts.popleft()


def _below(sums: Sequence[int], bounds: Sequence[float], share: float) -> float:
    """The bound of the bucket in which that share is reached."""
    rank = share * sum(sums)
    seen = 0
    for count, bound in zip(sums, bounds, strict=True):
        seen += count
        if seen >= rank:
            return bound
    return bounds[-1]
