"""What all workers counted, merged, as one Prometheus page.

Counters and histograms are sums over all workers that ever ran. Gauges are sums over those that
run: each tally carries all of its worker's gauges, and they go with it. Only backends that work on
nothing have none there: of thousands, most do at any moment.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping
from math import inf
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from veloflux.control.exposition import Labels, Value, render
from veloflux.core.model import metrics
from veloflux.core.model.metrics import Distribution, Family, Sample, Tally
from veloflux.core.model.traffic import Snapshot

# Lines that one family may have. Ten thousand routes have 180,000 in a histogram of latencies;
# whoever meters more sees them added up as `other`, and not a page that grows without end.
MAX_LINES = 200_000
OTHER = "other"

_FAMILIES = {family.name: family for family in metrics.FAMILIES}
_GAUGES = frozenset(family.name for family in metrics.FAMILIES if family.kind == "gauge")
# In which bucket of the page each one is that a histogram is counted by.
_SHOWN = {
    family.name: [bisect_left(family.buckets, bound) for bound in (*family.bounds, inf)]
    if family.bounds
    else range(len(family.buckets) + 1)
    for family in metrics.FAMILIES
}
# The labels whose values the configuration chooses: their series go when the thing is gone.
_CONFIGURED = ("route", "pool", "backend", "listener")

Families = Iterable[tuple[Family, Mapping[Labels, Value]]]
_Values = dict[str, dict[Labels, Value]]
_Numbers = dict[str, dict[Labels, float]]
_Shown = tuple[tuple[int, ...], float]
_NONE: dict[Labels, float] = {}


class Metrics:
    """Merges tallies and writes the page.

    `own` is asked for the families that this process knows by itself; what it returns is called
    with the rest of the work by `in_thread`, where it keeps nobody waiting.
    """

    def __init__(
        self,
        own: Callable[[], Callable[[], Families]],
        in_thread: Callable[[Callable[[], bytes]], Awaitable[bytes]],
        max_lines: int = MAX_LINES,
    ) -> None:
        self._max_lines = max_lines
        self._own = own
        self._in_thread = in_thread
        self._counters: _Numbers = {}
        self._histograms: dict[str, dict[Labels, _Shown]] = {}
        self._gauges: dict[int, _Numbers] = {}
        # What every backend has that no worker speaks of.
        self._resting: _Numbers = {}
        self._configured: dict[str, frozenset[str]] = dict.fromkeys(_CONFIGURED, frozenset())
        self._leaving: dict[str, frozenset[str]] = {}
        self._waiting: list[Deferred[bytes]] | None = None

    def merge(self, worker: int, tally: Tally) -> None:
        """Take what a worker counted since its last tally, and all its gauges."""
        gauges: _Numbers = {}
        counters = self._counters
        for sample in tally.samples:
            family, labels, value = sample
            if family in _GAUGES:
                gauges.setdefault(family, {})[labels] = value
                continue
            values = counters.get(family, _NONE)
            before = values.get(labels)
            if before is None:
                self.add(sample)
            else:
                values[labels] = before + value
        for distribution in tally.distributions:
            self.add_distribution(distribution)
        self._gauges[worker] = gauges

    def add(self, sample: Sample) -> None:
        """Add to a counter."""
        values = self._counters.setdefault(sample.family, {})
        labels = self._room(values, sample.family, sample.labels)
        values[labels] = values.get(labels, 0.0) + sample.value

    def add_distribution(self, distribution: Distribution) -> None:
        """Add to a histogram."""
        family, labels, more, seconds = distribution
        values = self._histograms.setdefault(family, {})
        before = values.get(labels)
        if before is None:
            labels = self._room(values, family, labels)
            before = values.get(labels) or ((0,) * (len(_FAMILIES[family].buckets) + 1), 0.0)
        counts, shown = list(before[0]), _SHOWN[family]
        for place, count in more.items():
            counts[shown[place]] += count
        # A new tuple, not a changed list: the page may be written from it at this moment.
        values[labels] = (tuple(counts), before[1] + seconds)

    def observe(self, family: Family, labels: Labels, value: float) -> None:
        """Add one observation to a histogram."""
        place = bisect_left(family.bounds or family.buckets, value)
        self.add_distribution(Distribution(family.name, labels, {place: 1}, value))

    def forget(self, worker: int) -> None:
        """Drop the gauges of a worker that is gone."""
        self._gauges.pop(worker, None)

    def configure(self, snapshot: Snapshot) -> None:
        """Drop the series of what two configurations in a row no longer know.

        Two, because requests that began under the one before may still end.
        """
        resting: dict[Labels, float] = dict.fromkeys(
            [(pool.name, str(each.address)) for pool in snapshot.pools for each in pool.backends],
            0.0,
        )
        self._resting = {metrics.UPSTREAM_INFLIGHT.name: resting}
        configured = {
            "route": frozenset(route.id for route in snapshot.routes),
            "pool": frozenset(pool.name for pool in snapshot.pools),
            "backend": frozenset(labels[1] for labels in resting),
            "listener": frozenset(listener.name for listener in snapshot.listeners),
        }
        for label, known in configured.items():
            gone = self._leaving.get(label, frozenset()) - known
            self._leaving[label] = self._configured[label] - known
            if gone:
                self._drop(label, gone)
        self._configured = configured

    def sums(self, family: Family) -> Mapping[Labels, Value]:
        """A counter's or histogram's sums by labels, as they are now; not to be changed."""
        found: Mapping[str, Mapping[Labels, Value]] = (
            self._histograms if family.kind == "histogram" else self._counters
        )
        return found.get(family.name, {})

    def _drop(self, label: str, gone: frozenset[str]) -> None:
        sums: dict[str, dict[Labels, Any]] = {**self._counters, **self._histograms}
        for name, values in sums.items():
            if label in _FAMILIES[name].labels:
                place = _FAMILIES[name].labels.index(label)
                for labels in [labels for labels in values if labels[place] in gone]:
                    del values[labels]

    def _room(self, values: Mapping[Labels, Any], name: str, labels: Labels) -> Labels:
        """Where to count these labels: under themselves, or under `other` when there are many."""
        if labels in values or len(values) < self._max_lines // lines_of(_FAMILIES[name]):
            return labels
        self.add(Sample(metrics.METRICS_DROPPED.name, (name,), 1.0))
        return (OTHER,) * len(labels)

    def page(self) -> Deferred[bytes]:
        """Write the page; whoever asks while one is being written gets the same."""
        is_first = self._waiting is None
        together = self._waiting = self._waiting or []
        waiting: Deferred[bytes] = Deferred(together.remove)
        together.append(waiting)
        if is_first:
            ensureDeferred(self._write()).addBoth(self._answer)
        return waiting

    async def _write(self) -> bytes:
        own = self._own()
        sums: _Values = {name: dict(values) for name, values in self._counters.items()}
        sums |= {name: dict(values) for name, values in self._histograms.items()}
        gauges = [self._resting, *self._gauges.values()]
        return await self._in_thread(lambda: render(_ordered(sums, gauges, own())))

    def _answer(self, result: bytes | Failure) -> None:
        waiting, self._waiting = self._waiting or [], None
        for deferred in list(waiting):
            deferred.callback(result)


def _ordered(sums: _Values, gauges: list[_Numbers], own: Families) -> Families:
    """Put everything in the order of the table, gauges added up."""
    found = sums
    for worker in gauges:
        for name, values in worker.items():
            total = found.setdefault(name, {})
            for labels, value in values.items():
                total[labels] = _number(total.get(labels, 0.0)) + value
    for family, of_own in own:
        found.setdefault(family.name, {}).update(of_own)
    return [(family, found[family.name]) for family in metrics.FAMILIES if family.name in found]


def lines_of(family: Family) -> int:
    """Return how many lines of the page one series of this family has."""
    return len(family.buckets) + 3 if family.kind == "histogram" else 1


def _number(value: Value) -> float:
    assert not isinstance(value, tuple)
    return value
