"""How many calls somebody may make: so many a second, and no more than that at once."""

from collections.abc import Callable
from hashlib import blake2b

from veloflux.control.services.errors import BusyError
from veloflux.control.services.principal import Principal
from veloflux.core.policy.limit import Limiter

PER_SECOND = 100
# Callers that are remembered; who called longest ago is forgotten first, and nearly nothing owed.
MAX_CALLERS = 10_000


class Allowance:
    """Counts each principal's calls; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limiter = Limiter(PER_SECOND)
        self._memory = _Memory()

    def take(self, principal: Principal) -> None:
        """Count a call; raises BusyError when it is one too many."""
        decision = self._limiter.decide(self._memory, principal.id.encode(), self._clock())
        if not decision.allowed:
            raise BusyError(
                f"That is more than {PER_SECOND} calls a second.", decision.retry_after_s
            )


class _Memory:
    """The limiter's, with a place for each caller."""

    def __init__(self) -> None:
        self._arrivals: dict[int, int] = {}

    def place(self, key: bytes) -> int:
        return int.from_bytes(blake2b(key, digest_size=8).digest())

    look = place

    def get(self, place: int) -> int:
        return self._arrivals.get(place, 0)

    def set(self, place: int, tat: int) -> None:
        self._arrivals.pop(place, None)
        self._arrivals[place] = tat
        if len(self._arrivals) > MAX_CALLERS:
            del self._arrivals[next(iter(self._arrivals))]
