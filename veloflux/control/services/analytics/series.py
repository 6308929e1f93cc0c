"""Counts traffic into the second and the minute that are under way.

How long a minute lasts is told by the steady clock, what it is called by the wall's: a clock that
is set makes no minute longer or shorter, but may give two the same name, which then are one to
whoever asks.
"""

from collections import Counter, deque
from collections.abc import Callable

from veloflux.control.services.analytics.bucket import CODE_CLASSES, Bucket, Cell
from veloflux.core.model import metrics
from veloflux.core.model.metrics import Distribution, Sample, Tally

MINUTE_S = 60
# Seconds that are remembered; nobody stores them.
SECONDS = 15 * 60
# Names that a bucket keeps of each kind: a second and a minute.
SECOND_NAMES = 200
MINUTE_NAMES = 50
# Seconds that keep names at all: a minute's, which may be a little short.
NAMED_SECONDS = 70
# Minutes whose totals are remembered, for who looks back over hours at every moment.
MINUTES = 6 * 60

_CLASSES = {name: place for place, name in enumerate(CODE_CLASSES)}


class Series:
    """The last minutes second by second, and the minute under way, as of the last second; `minutes`
    are those before it, without names."""

    def __init__(self, now: float, wall: float) -> None:
        self.seconds: deque[Bucket] = deque(maxlen=SECONDS)
        self.minutes: deque[Bucket] = deque(maxlen=MINUTES)
        self._last = now
        self._second = Bucket(int(wall))
        self._connections: dict[int, int] = {}
        # All since the start: in sum and by status, and what was turned away, by why.
        self._whole = Bucket(int(wall))
        self.security: Counter[str] = Counter()
        self._begin(now, wall)

    @property
    def connections(self) -> int:
        """Open connections from clients, of all workers."""
        return sum(self._connections.values())

    def merge(self, worker: int, tally: Tally) -> None:
        """Take what a worker counted since its last tally."""
        second = self._second
        connections = 0
        for sample in tally.samples:
            family = sample.family
            if add := _COUNTS.get(family):
                add(second, sample)
            elif family == metrics.CONNECTIONS.name:
                if sample.labels[0] == "downstream":
                    connections += int(sample.value)
            elif refusal := _SECURITY.get(family):
                self.security[refusal(sample)] += int(sample.value)
        for distribution in tally.distributions:
            if observe := _OBSERVES.get(distribution.family):
                observe(second, distribution)
        self._connections[worker] = connections

    def forget(self, worker: int) -> None:
        """Its connections went with it."""
        self._connections.pop(worker, None)

    def since_start(self) -> Bucket:
        """All that was counted, in sum and by status."""
        found = Bucket(self._whole.at)
        for part in (self._whole, self._second):
            _add_sums(found, part)
        return found

    def resume(self, bucket: Bucket) -> bool:
        """Go on with a minute that was under way before a restart; whether it is the same one."""
        if bucket.at != self.minute.at:
            return False
        self.minute.add(bucket)
        return True

    def remember(self, minute: Bucket) -> None:
        """Take a minute of before; they come oldest first."""
        self.minutes.append(_without_names(minute))

    def tick(self, now: float, wall: float) -> Bucket | None:
        """A second is over, or several when nobody had time: returns a minute that is over too."""
        passed, self._last = now - self._last, now
        second, self._second = self._second, Bucket(int(wall))
        second.length_s = passed
        second.open_s = self.connections * passed
        second.peak = self.connections
        self.minute.add(second)
        _add_sums(self._whole, second)
        self.seconds.append(second)
        if now < self._minute_ends:
            return None
        minute = self.minute
        minute.cap(MINUTE_NAMES)
        self.remember(minute)
        self._begin(now, wall)
        return minute

    def trim(self) -> None:
        """After each `tick`, but in a turn of its own: keep fewer names of the last second, and
        none of one that is no more of the last minute; names are the greater part by far."""
        if self.seconds:
            self.seconds[-1].cap(SECOND_NAMES)
        if len(self.seconds) > NAMED_SECONDS:
            old = -NAMED_SECONDS - 1
            self.seconds[old] = _without_names(self.seconds[old])

    def _begin(self, now: float, wall: float) -> None:
        self.minute = Bucket(int(wall) // MINUTE_S * MINUTE_S)
        self._minute_ends = now + MINUTE_S - wall % MINUTE_S


def _add_sums(whole: Bucket, part: Bucket) -> None:
    whole.length_s += part.length_s
    whole.total.add(part.total)
    for status, cell in part.groups["status"].items():
        whole.cell("status", status).add(cell)


def _without_names(bucket: Bucket) -> Bucket:
    return Bucket(bucket.at, bucket.length_s, bucket.total, bucket.open_s, bucket.peak)


def _requests(bucket: Bucket, sample: Sample) -> None:
    route, code_class, _ = sample.labels
    place, count = _CLASSES[code_class], int(sample.value)
    bucket.total.answers[place] += count
    bucket.cell("route", route).answers[place] += count


def _bytes(bucket: Bucket, sample: Sample) -> None:
    route, direction = sample.labels
    count, total, cell = int(sample.value), bucket.total, bucket.cell("route", route)
    if direction == "in":
        total.bytes_in += count
        cell.bytes_in += count
    else:
        total.bytes_out += count
        cell.bytes_out += count


def _responses(bucket: Bucket, sample: Sample) -> None:
    (status,) = sample.labels
    bucket.cell("status", status).answers[int(status) // 100] += int(sample.value)


def _upstream(bucket: Bucket, labels: tuple[str, ...]) -> tuple[Cell, Cell]:
    pool, backend = labels[:2]
    return bucket.cell("pool", pool), bucket.cell("backend", f"{pool}/{backend}")


def _attempts(bucket: Bucket, sample: Sample) -> None:
    for cell in _upstream(bucket, sample.labels):
        cell.answers[_CLASSES[sample.labels[2]]] += int(sample.value)


def _durations(bucket: Bucket, found: Distribution) -> None:
    bucket.total.observe(found.counts, found.sum)
    bucket.cell("route", found.labels[0]).observe(found.counts, found.sum)


def _upstream_durations(bucket: Bucket, found: Distribution) -> None:
    for cell in _upstream(bucket, found.labels):
        cell.observe(found.counts, found.sum)


_COUNTS: dict[str, Callable[[Bucket, Sample], None]] = {
    metrics.HTTP_REQUESTS.name: _requests,
    metrics.HTTP_BYTES.name: _bytes,
    metrics.HTTP_RESPONSES.name: _responses,
    metrics.UPSTREAM_REQUESTS.name: _attempts,
}
_SECURITY: dict[str, Callable[[Sample], str]] = {
    metrics.PROTOCOL_ERRORS.name: lambda _: "protocol_errors",
    metrics.CONNECTIONS_REJECTED.name: lambda _: "connections_rejected",
    metrics.RATELIMIT_DECISIONS.name: lambda sample: f"rate_{sample.labels[1]}",
}
_OBSERVES: dict[str, Callable[[Bucket, Distribution], None]] = {
    metrics.HTTP_DURATION.name: _durations,
    metrics.UPSTREAM_DURATION.name: _upstream_durations,
}
