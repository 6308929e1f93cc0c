"""Is this pool asked at all now, or refused at once, because too many of its answers are failures?

The circuit breaker of M. Nygard (Release It!, 2007; M. Fowler, "CircuitBreaker", 2014): closed
while all is well; open, when nothing goes through; half open, when a few probes try whether it may
close. A pool that fails is thus given peace to recover, and its clients are told soon.

Each worker has a breaker of its own and decides by what it has seen itself: `min_requests` are of
one worker, since a share of few is chance. Probes are the node's, and divided.
"""

from typing import Literal

from veloflux.core.model.resilience import CircuitBreaker
from veloflux.core.policy.window import Window

State = Literal["closed", "open", "half_open"]

# What `admit` returns when it does not.
REFUSED = 0
# Each time that probes fail, it stays open for twice as long, up to so many times `open_s`.
_LONGEST = 8


def room(model: CircuitBreaker, pending: int, workers: int = 1) -> bool:
    """Whether one more request may wait when this worker, of so many, keeps `pending` waiting."""
    return pending < -(-model.max_pending // max(workers, 1))


class Breaker:
    """One pool's, in one worker; off when `error_percent` is 0.

    Whoever is admitted gets a ticket, and what has become of it is told with that: what was sent
    before the state turned says nothing of how things are now.
    """

    def __init__(self, model: CircuitBreaker, workers: int = 1) -> None:
        self._model = model
        self._requests = Window(model.window_s)
        self._failures = Window(model.window_s)
        self._state: State = "closed"
        self._until = 0.0
        self._open_s = model.open_s
        # The newest ticket, and the oldest that still counts.
        self._last = self._first = 1
        # Probes on their way, and until when their places are theirs.
        self._probing: dict[int, float] = {}
        self._passed = 0
        self._probes = 1
        self.configure(model, workers)

    def configure(self, model: CircuitBreaker, workers: int = 1) -> None:
        """Take a new configuration; the state stays, but for one that is off now."""
        if model.window_s != self._model.window_s:
            self._requests, self._failures = Window(model.window_s), Window(model.window_s)
        self._model = model
        self._probes = max(-(-model.probes // max(workers, 1)), 1)
        if not model.error_percent:
            self._close()

    @property
    def state(self) -> State:
        """As of the last question; an open one stays so until somebody asks after its time."""
        return self._state

    def retry_after_s(self, now: float) -> float:
        """When to ask again, for one who was refused."""
        return max(self._until - now, 0.0)

    def admit(self, now: float) -> int:
        """A ticket to be handed to `observe` or `forget`, or REFUSED."""
        if self._state == "closed":
            return self._first
        if self._state == "open":
            if now < self._until:
                return REFUSED
            self._turn("half_open")
        return self._probe(now)

    def observe(self, ok: bool, now: float, ticket: int) -> None:
        """Take the end of a request that was admitted with that ticket."""
        if ticket < self._first:
            return
        if self._state == "half_open":
            self._probed(ok, now, ticket)
        elif self._model.error_percent:
            self._requests.add(now)
            if not ok:
                self._failures.add(now)
                self._judge(now)

    def forget(self, ticket: int) -> None:
        """That request ended without a word on the pool; another may probe in its place."""
        self._probing.pop(ticket, None)

    def _judge(self, now: float) -> None:
        requests = self._requests.at_most(now)
        failures = self._failures.at_most(now)
        model = self._model
        if requests >= model.min_requests and failures * 100 >= model.error_percent * requests:
            self._open(now, model.open_s)

    def _probe(self, now: float) -> int:
        """A place whose probe was never heard of again is given away after `open_s`; its word
        still counts if it comes, for a slow answer is an answer."""
        for ticket in [t for t, until in self._probing.items() if until <= now]:
            del self._probing[ticket]
        if len(self._probing) >= self._probes:
            return REFUSED
        self._last += 1
        self._probing[self._last] = now + self._model.open_s
        return self._last

    def _probed(self, ok: bool, now: float, ticket: int) -> None:
        self._probing.pop(ticket, None)
        if not ok:
            self._open(now, min(self._open_s * 2, self._model.open_s * _LONGEST))
            return
        self._passed += 1
        if self._passed >= self._probes:
            self._close()

    def _open(self, now: float, seconds: float) -> None:
        self._open_s = seconds
        self._until = now + seconds
        self._turn("open")

    def _close(self) -> None:
        self._turn("closed")
        self._last += 1

    def _turn(self, state: State) -> None:
        """From now on, only tickets given out in this state count."""
        self._state = state
        self._first = self._last + 1
        self._requests.clear()
        self._failures.clear()
        self._probing.clear()
        self._passed = 0
