"""A pool at run time: its backends' connections and health, and the picker over the usable ones."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from veloflux.core.model import metrics
from veloflux.core.model.metrics import LATENCY_BUCKETS
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.core.model.traffic import Pool as PoolModel
from veloflux.core.policy.balance.algorithms import PICKERS
from veloflux.core.policy.balance.candidate import Picker, usable
from veloflux.core.policy.balance.latency import PeakEwma
from veloflux.edge.histogram import Histogram
from veloflux.edge.tally import CODE_CLASSES, Counted, by_class, distribution, increase

if TYPE_CHECKING:
    from veloflux.edge.upstream import Upstream


class Backend:
    """One backend: what is configured, what is going on, what was counted.

    `text` is what the log says of it. `idle` holds kept connections, the last used at the end;
    `answers` counts by the first digit of the status, with failures at 0. `durations` is for the
    metrics, `latency` for the picker.
    """

    def __init__(self, pool: "Pool", model: BackendModel) -> None:
        self.pool = pool
        self.name = str(model.address)
        self.text = f'"pool":{pool.text},"backend":{json.dumps(self.name)}'
        # What it is called in a Host field when the client's own is not passed on.
        self.authority = b"localhost" if model.address.path else self.name.encode("ascii")
        self.inflight = 0
        self.connections = 0
        self.is_unhealthy = False
        self.is_ejected = False
        self.is_retired = False
        self.idle: list[Upstream] = []
        self.answers = [0] * len(CODE_CLASSES)
        self.durations = Histogram(LATENCY_BUCKETS)
        self.latency = PeakEwma()
        self.configure(model)

    @property
    def load(self) -> int:
        return self.inflight

    def configure(self, model: BackendModel) -> None:
        self.model = model
        self.address = model.address
        self.weight = model.weight
        self.backup = model.backup
        self.enabled = model.enabled

    def take(self) -> Counted:
        """What was counted since the last time."""
        labels = (self.pool.name, self.name)
        answers, self.answers = self.answers, [0] * len(CODE_CLASSES)
        yield from by_class(metrics.UPSTREAM_REQUESTS, labels, answers)
        yield from distribution(metrics.UPSTREAM_DURATION, labels, self.durations)

    def retire(self) -> None:
        """Leave the pool: what is in flight finishes, nothing is kept."""
        self.is_retired = True
        for upstream in self.idle[:]:
            upstream.close()


class Pool:
    """Backends by name, in the order of the configuration, and who is picked among them.

    Lives as long as its name is configured, so that a new snapshot keeps connections and counts.
    """

    picker: Picker[Backend]

    def __init__(self, model: PoolModel, luck: Callable[[], float]) -> None:
        self.name = model.name
        self.text = json.dumps(model.name)
        self.backends: dict[str, Backend] = {}
        self.retries: dict[str, int] = {}
        self._luck = luck
        self.configure(model)

    def configure(self, model: PoolModel) -> list[Backend]:
        """Take a new configuration; returns the backends that it no longer has."""
        self.model = model
        self.timeouts = model.timeouts
        self.max_idle = model.keepalive.max_idle
        self.idle_timeout_s = model.keepalive.idle_timeout_s
        before, self.backends = self.backends, {}
        for each in model.backends:
            backend = before.pop(str(each.address), None)
            if backend is None:
                backend = Backend(self, each)
            else:
                backend.configure(each)
            self.backends[backend.name] = backend
        for backend in before.values():
            backend.retire()
        self._choose()
        return list(before.values())

    def mark(self, name: str, is_healthy: bool) -> None:
        """Take a health check's word on a backend; an unknown name is one just removed."""
        backend = self.backends.get(name)
        if backend is not None and backend.is_unhealthy == is_healthy:
            backend.is_unhealthy = not is_healthy
            self._choose()

    def count_retry(self, reason: str) -> None:
        self.retries[reason] = self.retries.get(reason, 0) + 1

    def take(self) -> Counted:
        """What was counted since the last time, its backends' counts apart."""
        retries, self.retries = self.retries, {}
        for reason, count in retries.items():
            yield from increase(metrics.UPSTREAM_RETRIES, (self.name, reason), count)

    def retire(self) -> list[Backend]:
        """Retire all backends, and return them."""
        for backend in self.backends.values():
            backend.retire()
        return list(self.backends.values())

    def _choose(self) -> None:
        candidates = usable(self.backends.values(), self.model.panic_percent)
        self.picker = PICKERS[self.model.algorithm](candidates.members, self._luck)


# Where there is none: it has no backends.
NO_POOL = Pool(PoolModel("", ()), lambda: 0.0)
