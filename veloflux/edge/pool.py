"""A pool at run time: its backends, who of them is chosen, and who waits for one."""

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, Protocol

from veloflux.core.flow.trait import trait
from veloflux.core.model import metrics
from veloflux.core.model.resilience import CircuitBreaker
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.core.model.traffic import Pool as PoolModel
from veloflux.core.policy.balance.algorithms import KEYED, TIMED, counts_together
from veloflux.core.policy.balance.candidate import Picker
from veloflux.core.policy.balance.consistent_hash import rehearse
from veloflux.core.policy.breaker import Breaker, room
from veloflux.core.policy.choose import Chooser
from veloflux.core.policy.ramp import STEPS, ramp
from veloflux.core.policy.retry import Budget
from veloflux.core.wire.http1 import RequestHead
from veloflux.edge.backend import Backend
from veloflux.edge.board import Board
from veloflux.edge.deadlines import NEVER, Deadlines, Timed
from veloflux.edge.judge import Judge
from veloflux.edge.queue import Queue
from veloflux.edge.sticky import Sticky
from veloflux.edge.tally import Counted, gauge, increase
from veloflux.edge.trust import Trust, Trusts

# For a pool that says nothing of how many may wait.
_NO_BREAKER = CircuitBreaker()


class Home(Protocol):
    """Where a pool lives: the plane of its worker, one of `workers` that share the `board`."""

    reactor: Any
    deadlines: Deadlines
    luck: Callable[[], float]
    board: Board | None
    workers: int
    on_ejected: Callable[[str, str, float, str], None]
    wall: Callable[[], float]
    secret: bytes
    trusts: Trusts
    upstream: int


class Picked(NamedTuple):
    """A backend, if there was any; by what it was chosen; and lines for the answer."""

    backend: Backend | None
    reason: str
    cookie: bytes


class Pool(Timed):
    """Backends by name, in the order of the configuration.

    Lives as long as its name is configured, so that a new snapshot keeps connections and counts.
    `is_simple` says that `picker` alone decides, as in most pools; else `choose` does. It is timed
    for the backends that start slowly.
    """

    chooser: Chooser[Backend]
    picker: Picker[Backend]
    is_simple = True
    # Whether there may be something to count: of a thousand pools, few have had a request.
    is_stirring = True
    # Where requests wait while all backends are full; None where none can be.
    queue: Queue | None = None
    breaker: Breaker | None = None
    sticky: Sticky | None = None

    def __init__(self, model: PoolModel, home: Home) -> None:
        self.name = model.name
        self.text = json.dumps(model.name)
        self.backends: dict[str, Backend] = {}
        self.retries: dict[str, int] = {}
        self.judge = Judge(self.name, home, self._choose)
        self._exhausted = 0
        self._asked_before = 0
        self._home = home
        self._budget = Budget(0, 0)
        # Who is there from the beginning has been for long.
        self.configure(model, {}, since=-NEVER)

    def renew(self, model: PoolModel, cells: dict[str, int]) -> list[Backend]:
        """As `configure`, but of thousands of pools few have changed: a model that is the same
        object in the same home is what it was."""
        if model is not self.model or self._terms != (self._home.workers, self._home.secret):
            return self.configure(model, cells)
        if cells != self.cells:
            self.share(cells)
        return []

    def configure(
        self, model: PoolModel, cells: dict[str, int], since: float | None = None
    ) -> list[Backend]:
        """Take a new configuration; returns the backends that it no longer has.

        `cells` are as in `share`; `since` is when new backends came, now if None.
        """
        self.model = model
        self._terms = (self._home.workers, self._home.secret)
        self.timeouts = model.timeouts
        self.proxy_protocol = model.proxy_protocol
        self.is_multiplexed = model.protocol == "h2"
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
        self.share(cells)
        self._bound(model.circuit_breaker)
        self.judge.configure(model.outlier_detection, self.backends.values())
        retries = model.retries
        self._budget.configure(retries.budget_percent, retries.min_per_second, self._home.workers)
        # Answers that are failures, though they are answers; None for none.
        self.unwanted = frozenset(retries.statuses) or None
        self._trait = trait(model.hash_on) if model.algorithm in KEYED else None
        self.is_timed = model.algorithm in TIMED
        self.sticky = None
        if model.sticky_sessions is not None and self._home.secret:
            self.sticky = Sticky(model.sticky_sessions, self.name, self._home.secret, self.backends)
        # Those are told each time.
        self._is_watched = self.queue is not None or self.breaker is not None
        self.is_stirring = True
        extras = (self._trait, self.queue, self.sticky, self.breaker)
        self.is_simple = not self.is_timed and all(extra is None for extra in extras)
        self._choose()
        return list(before.values())

    def share(self, cells: dict[str, int]) -> None:
        """Let workers see each other's counts where something depends on them; `cells` are the
        backends' on the board, by name."""
        self.cells = cells
        home, matters = self._home, counts_together(self.model)
        for name, backend in self.backends.items():
            cell = None
            if matters and home.board is not None and home.workers > 1 and name in cells:
                cell = home.board.cell(cells[name], home.workers)
            backend.share(cell)

    def choose(
        self,
        head: RequestHead,
        client: str,
        tried: Collection[Backend],
        now: float,
        *,
        is_secure: bool,
    ) -> Picked:
        """Choose for a request of `client`, who may have come over TLS, a backend that is not in
        `tried`."""
        if self.queue is not None and self._is_at_limit():
            return Picked(None, "", b"")
        key = b"" if self._trait is None else self._trait(head, client)
        if self.sticky is None:
            return Picked(*self.chooser.choose(tried, key, now), b"")
        wall = self._home.wall()
        guest = self.sticky.guest(head, wall)
        chosen, reason = self.chooser.choose(tried, key, now, guest.backend)
        cookie = self.sticky.lines(guest, chosen, wall, is_secure=is_secure)
        return Picked(chosen, reason, cookie)

    @property
    def has_room(self) -> bool:
        """Whether one more may wait."""
        waiting = 0 if self.queue is None else len(self.queue)
        return room(self.model.circuit_breaker or _NO_BREAKER, waiting, self._home.workers)

    @property
    def has_too_many(self) -> bool:
        """Whether it has as many requests under way, or waiting, as it may."""
        most = self._max_requests
        return most > 0 and self.queue is not None and most <= self._load() + len(self.queue)

    def mark(self, name: str, is_healthy: bool) -> None:
        """Take a health check's word on a backend; an unknown name is one just removed."""
        backend = self.backends.get(name)
        if backend is not None and backend.is_unhealthy == is_healthy:
            backend.is_unhealthy = not is_healthy
            self.returned(backend)

    def eject(self, name: str, seconds: float) -> None:
        """Take another worker's word on a backend."""
        backend = self.backends.get(name)
        if backend is not None:
            self.judge.believe(backend, seconds)

    def trust_of(self, model: BackendModel) -> Trust | None:
        """What a backend must prove; None in clear text."""
        return self._home.trusts.of(model.tls, model.address, self.model.protocol)

    @property
    def reactor(self) -> Any:
        """What connects to its backends."""
        return self._home.reactor

    def returned(self, backend: Backend) -> None:
        """It is back among those that can be used, or as good as new."""
        backend.begin_again(self._home.deadlines.now())
        self._choose()

    def grants_retry(self, now: float) -> bool:
        """Whether the budget has a retry left, which is then taken."""
        self._count_asked(now)
        if self._budget.withdraw(now):
            return True
        self._exhausted += 1
        return False

    def look(self) -> None:
        """To be called about once a second while it stirs: what is judged by time."""
        now = self._home.deadlines.now()
        self._count_asked(now)
        self.judge.look(now)
        self.is_stirring = (
            self._is_watched
            or any(backend.inflight for backend in self.backends.values())
            or not self.judge.has_rested()
        )

    def count_retry(self, reason: str) -> None:
        self.retries[reason] = self.retries.get(reason, 0) + 1

    def connected(self, more: int) -> None:
        """There are so many more connections to its backends."""
        self._home.upstream += more

    def take(self) -> Counted:
        """What was counted since the last time, by its backends too."""
        retries, self.retries = self.retries, {}
        for reason, count in retries.items():
            yield from increase(metrics.UPSTREAM_RETRIES, (self.name, reason), count)
        yield from increase(metrics.RETRY_BUDGET_EXHAUSTED, (self.name,), self._exhausted)
        self._exhausted = 0
        yield from self.judge.take()
        for backend in self.backends.values():
            yield from backend.take()

    def gauges(self) -> Counted:
        """How it is now, and the backends that work on something."""
        if self.breaker is not None:
            is_open = self.breaker.state != "closed"
            yield gauge(metrics.UPSTREAM_BREAKER, (self.name,), is_open)
        if self.queue is not None:
            yield gauge(metrics.UPSTREAM_QUEUE, (self.name,), len(self.queue))
        for backend in self.backends.values():
            if backend.inflight:
                yield gauge(metrics.UPSTREAM_INFLIGHT, (self.name, backend.name), backend.inflight)

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

    def _bound(self, breaker: CircuitBreaker | None) -> None:
        """Take the bounds on what it works on."""
        self._max_load = 0 if breaker is None else breaker.max_connections
        self._max_requests = 0 if breaker is None else breaker.max_requests
        if breaker is None or not breaker.error_percent:
            self.breaker = None
        elif self.breaker is None:
            self.breaker = Breaker(breaker, self._home.workers)
        else:
            self.breaker.configure(breaker, self._home.workers)
        self._is_bounded = any(each.max_connections for each in self.model.backends)
        home = self._home
        if not (self._is_bounded or self._max_load or self._max_requests):
            if self.queue is not None:
                self.queue.wake()
            self.queue = None
        elif self.queue is None:
            self.queue = Queue(home.reactor, home.deadlines, self._is_full)
        if self.queue is not None:
            self.queue.is_shared = home.workers > 1

    def _count_asked(self, now: float) -> None:
        asked = sum(each.asked + sum(each.answers) for each in self.backends.values())
        if asked > self._asked_before:
            self._budget.request(now, asked - self._asked_before)
        self._asked_before = asked

    def _load(self) -> int:
        return sum(backend.load for backend in self.backends.values())

    def _is_at_limit(self) -> bool:
        return 0 < self._max_load <= self._load()

    def _is_full(self) -> bool:
        return self._is_at_limit() or self.chooser.are_full

    def _choose(self) -> None:
        """Choose anew among those that can be used, with the weights in force."""
        by = self.model.algorithm
        if self.model.slow_start_s:
            self._ramp(self._home.deadlines.now())
            # Turns without weights could not be slow.
            by = "weighted_round_robin" if by == "round_robin" else by
        self.chooser = Chooser(
            self.backends.values(),
            self.model.algorithm,
            self._home.luck,
            by=by,
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
            weight = backend.model.weight
            if self.model.algorithm == "round_robin":
                weight = min(weight, 1)
            backend.weight = ramp(weight, age, whole_after_s)
            youngest = min(youngest, age)
        if youngest < whole_after_s:
            self._home.deadlines.arm(self, now + whole_after_s / STEPS)


def rehearsal(model: PoolModel) -> Iterator[None]:
    """What takes long of making or configuring such a pool, in small steps, beforehand."""
    if model.algorithm == "consistent_hash":
        yield from rehearse({str(each.address): each.weight for each in model.backends})


class _Nowhere:
    """The home of a pool without backends."""

    reactor: Any = None
    deadlines: Any = Timed()
    luck = staticmethod(lambda: 0.0)
    board: Board | None = None
    workers = 1
    on_ejected: Any = None
    wall: Any = None
    secret = b""
    trusts = Trusts()
    upstream = 0


# Where there is none: it has no backends.
NO_POOL = Pool(PoolModel("", ()), _Nowhere())
