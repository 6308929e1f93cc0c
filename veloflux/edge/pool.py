"""A pool at run time: its backends, who of them is chosen, and who waits for one."""

import json
from collections.abc import Callable, Collection
from typing import Any, Protocol

from veloflux.core.flow.trait import trait
from veloflux.core.model import metrics
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.core.model.traffic import Pool as PoolModel
from veloflux.core.policy.balance.algorithms import KEYED, LOADED
from veloflux.core.policy.balance.candidate import Picker
from veloflux.core.policy.choose import Choice, Chooser
from veloflux.core.policy.ramp import ramp
from veloflux.core.wire.http1 import RequestHead
from veloflux.edge.backend import Backend
from veloflux.edge.board import Board
from veloflux.edge.deadlines import NEVER, Deadlines, Timed
from veloflux.edge.queue import Queue
from veloflux.edge.tally import Counted, increase

# Requests that wait for a pool which says nothing of it.
_MAX_PENDING = 256
# The weights of backends that start slowly are computed so many times until they are whole.
_RAMP_STEPS = 20


class Home(Protocol):
    """Where a pool lives: the plane of its worker, one of `workers` that share the `board`."""

    reactor: Any
    deadlines: Deadlines
    luck: Callable[[], float]
    board: Board | None
    workers: int
    on_ejected: Callable[[str, str, float, str], None]


class Pool(Timed):
    """Backends by name, in the order of the configuration.

    Lives as long as its name is configured, so that a new snapshot keeps connections and counts.
    `is_simple` says that `picker` alone decides, as in most pools; else `choose` does. It is timed
    for the backends that start slowly.
    """

    chooser: Chooser[Backend]
    picker: Picker[Backend]
    is_simple = True
    # Where requests wait while all backends are full; None where none can be.
    queue: Queue | None = None

    def __init__(self, model: PoolModel, home: Home) -> None:
        self.name = model.name
        self.text = json.dumps(model.name)
        self.backends: dict[str, Backend] = {}
        self.retries: dict[str, int] = {}
        self._ejected: list[tuple[str, str]] = []
        self._home = home
        # Who is there from the beginning has been for long.
        self.configure(model, {}, since=-NEVER)

    def configure(
        self, model: PoolModel, cells: dict[str, int], since: float | None = None
    ) -> list[Backend]:
        """Take a new configuration; returns the backends that it no longer has.

        `cells` are the backends' on the board, by name; `since` is when new ones came, now if None.
        """
        self.model = model
        self.timeouts = model.timeouts
        self.proxy_protocol = model.proxy_protocol
        # A connection whose beginning names one client is no use to another.
        self.max_idle = 0 if model.proxy_protocol else model.keepalive.max_idle
        self.idle_timeout_s = model.keepalive.idle_timeout_s
        if since is None:
            since = self._home.deadlines.now()
        before, self.backends = self.backends, {}
        for each in model.backends:
            self._take_in(before.pop(str(each.address), None), each, since)
        for backend in before.values():
            backend.retire()
        if model.proxy_protocol:
            for backend in self.backends.values():
                backend.close_idle()
        self._share(cells)
        self._bound()
        self._trait = trait(model.hash_on) if model.algorithm in KEYED else None
        self.is_simple = self._trait is None and self.queue is None
        self._choose()
        return list(before.values())

    def choose(self, head: RequestHead, client: str, tried: Collection[Backend]) -> Choice[Backend]:
        """Choose for a request of `client` a backend that is not in `tried`."""
        if self.queue is not None and self._is_at_limit():
            return Choice(None, "")
        key = b"" if self._trait is None else self._trait(head, client)
        return self.chooser.choose(tried, key, self._home.deadlines.now())

    def is_worth_waiting(self, tried: Collection[Backend]) -> bool:
        """Whether there is a backend not in `tried`, so that one which nobody could be given to is
        just too busy."""
        return self.queue is not None and self.chooser.has_other_than(tried)

    @property
    def max_pending(self) -> int:
        """Requests that may wait, in this worker."""
        breaker = self.model.circuit_breaker
        most = _MAX_PENDING if breaker is None else breaker.max_pending
        return -(-most // self._home.workers)

    def mark(self, name: str, is_healthy: bool) -> None:
        """Take a health check's word on a backend; an unknown name is one just removed."""
        backend = self.backends.get(name)
        if backend is not None and backend.is_unhealthy == is_healthy:
            backend.is_unhealthy = not is_healthy
            self.returned(backend)

    def eject(self, name: str, seconds: float) -> None:
        """Keep a backend out for so long, by another worker's word or our own."""
        backend = self.backends.get(name)
        if backend is not None:
            backend.ejection.begin(self._home.deadlines.now() + seconds)
            self._choose()

    def returned(self, backend: Backend) -> None:
        """It is back among those that can be used, or as good as new."""
        backend.since = self._home.deadlines.now()
        backend.latency.forget()
        self._choose()

    def count_retry(self, reason: str) -> None:
        self.retries[reason] = self.retries.get(reason, 0) + 1

    def take(self) -> Counted:
        """What was counted since the last time, its backends' counts apart."""
        retries, self.retries = self.retries, {}
        for reason, count in retries.items():
            yield from increase(metrics.UPSTREAM_RETRIES, (self.name, reason), count)
        ejected, self._ejected = self._ejected, []
        for backend, reason in ejected:
            yield from increase(metrics.UPSTREAM_EJECTIONS, (self.name, backend, reason), 1)

    def retire(self) -> list[Backend]:
        """Retire all backends, and return them."""
        self._home.deadlines.disarm(self)
        for backend in self.backends.values():
            backend.retire()
        return list(self.backends.values())

    def expire(self, now: float) -> None:
        self._choose()

    def _take_in(self, backend: Backend | None, model: BackendModel, since: float) -> None:
        if backend is None:
            backend = Backend(self, model, since, self._home.deadlines)
        else:
            was_idle = not (backend.enabled and backend.model.weight)
            backend.configure(model)
            if was_idle:
                backend.since = since
        self.backends[backend.name] = backend

    def _share(self, cells: dict[str, int]) -> None:
        """Let workers see each other's counts where something depends on them."""
        home, model = self._home, self.model
        breaker = model.circuit_breaker
        matters = (
            model.algorithm in LOADED
            or any(each.max_connections for each in model.backends)
            or (breaker is not None and bool(breaker.max_connections or breaker.max_requests))
        )
        for name, backend in self.backends.items():
            cell = None
            if matters and home.board is not None and home.workers > 1 and name in cells:
                cell = home.board.cell(cells[name], home.workers)
            backend.share(cell)

    def _bound(self) -> None:
        breaker = self.model.circuit_breaker
        self._max_load = 0 if breaker is None else breaker.max_connections
        self._is_bounded = any(each.max_connections for each in self.model.backends)
        home = self._home
        if not (self._is_bounded or self._max_load):
            if self.queue is not None:
                self.queue.wake()
            self.queue = None
        elif self.queue is None:
            self.queue = Queue(home.reactor, home.deadlines, self._is_full)
        if self.queue is not None:
            self.queue.is_shared = home.workers > 1

    def _is_at_limit(self) -> bool:
        return 0 < self._max_load <= sum(backend.load for backend in self.backends.values())

    def _is_full(self) -> bool:
        return self._is_at_limit() or self.chooser.are_full

    def _choose(self) -> None:
        """Choose anew among those that can be used, with the weights in force."""
        if self.model.slow_start_s:
            self._ramp(self._home.deadlines.now())
        self.chooser = Chooser(
            self.backends.values(),
            self.model.algorithm,
            self._home.luck,
            panic_percent=self.model.panic_percent,
            is_bounded=self._is_bounded,
        )
        self.picker = self.chooser.picker
        if self.queue is not None:
            self.queue.wake()

    def _ramp(self, now: float) -> None:
        whole_after_s = self.model.slow_start_s
        youngest = whole_after_s
        for backend in self.backends.values():
            age = now - backend.since
            backend.weight = ramp(backend.model.weight, age, whole_after_s)
            youngest = min(youngest, age)
        if youngest < whole_after_s:
            self._home.deadlines.arm(self, now + whole_after_s / _RAMP_STEPS)


class _Nowhere:
    """The home of a pool without backends."""

    reactor: Any = None
    deadlines: Any = Timed()
    luck = staticmethod(lambda: 0.0)
    board: Board | None = None
    workers = 1
    on_ejected: Any = None


# Where there is none: it has no backends.
NO_POOL = Pool(PoolModel("", ()), _Nowhere())
