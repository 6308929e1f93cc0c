"""May one more request of this client go on now, or has it had too many?

GCRA, the generic cell rate algorithm (ITU-T I.371, annex A; in words for HTTP: Brandur Leach,
"Rate Limiting, Cells, and GCRA"). All that is remembered of a client is one moment, its theoretical
arrival time (TAT): when all that it was granted would have been used up at the even rate. A request
moves it on by one interval, and is refused if that puts it further ahead of now than the burst
allows. So there are no windows at whose edges twice as much would pass, and nobody is refused who
keeps to the rate.

Moments are whole nanoseconds inside, since sums of floats drift with thousands of requests a
second; the interval is rounded up, to the client's loss of less than a nanosecond per request.
"""

from functools import lru_cache
from math import ceil, isfinite
from typing import NamedTuple, Protocol

from veloflux.core.policy.access import plain

NS = 1_000_000_000
# The most that anybody may owe: what eight bytes can tell, with the clock's own moment.
_LONGEST_NS = 1 << 62
# A site is given a /64 at least (RFC 6177), and may come from any of its addresses.
_SITE_BYTES = 8


class Memory(Protocol):
    """Where TATs are kept, in nanoseconds on the clock of intervals; 0 for who is new."""

    def place(self, key: bytes) -> int:
        """Where the TAT of `key` is from now on."""

    def look(self, key: bytes) -> int:
        """The TAT that is where the one of `key` would be; nothing changes by it."""

    def get(self, place: int) -> int:
        """The TAT at a place."""

    def set(self, place: int, tat: int) -> None:
        """Keep another there."""


class Decision(NamedTuple):
    """`remaining` are the requests that could follow at once; `reset_s` is how long it takes until
    the whole burst is there again, and `retry_after_s`, of one refused, until one may come."""

    allowed: bool
    remaining: int
    reset_s: float
    retry_after_s: float


class Limiter:
    """`rate` requests a second, `burst` of them at once (None: as many as in a second).

    Never more than `rate * t + burst` in any `t` seconds. Where workers share the memory, two that
    decide on one client in the same microseconds can both grant its last request.
    """

    __slots__ = ("_full", "_interval", "burst")

    def __init__(self, rate: float, burst: int | None = None) -> None:
        """Raises ValueError for what is no rate, or no burst."""
        if not (rate > 0 and isfinite(rate)):
            raise ValueError(f"{rate} requests per second is no rate")
        self.burst = ceil(rate) if burst is None else burst
        if self.burst < 1:
            raise ValueError(f"a burst of {burst} lets nothing through")
        self._interval = ceil(NS / rate)
        self._full = self._interval * self.burst
        if self._full > _LONGEST_NS:
            raise ValueError(f"{self.burst} requests at {rate} per second take centuries")

    @property
    def reset_s(self) -> float:
        """The seconds in which a burst that is used up is there again."""
        return self._full / NS

    def decide(self, memory: Memory, key: bytes, now: float) -> Decision:
        """Whether a request of `key` may go on at `now`, in seconds; if it may, it counts."""
        moment = round(now * NS)
        place = memory.place(key)
        ahead = self._ahead(memory.get(place), moment)
        decision = self._judge(ahead)
        if decision.allowed:
            memory.set(place, moment + ahead + self._interval)
        return decision

    def peek(self, memory: Memory, key: bytes, now: float) -> Decision:
        """What `decide` would say now; nothing counts by it."""
        return self._judge(self._ahead(memory.look(key), round(now * NS)))

    def _ahead(self, tat: int, moment: int) -> int:
        # What was found there may be another's, who had more time to use up than is granted here.
        return min(max(tat - moment, 0), self._full)

    def _judge(self, ahead: int) -> Decision:
        spare = self._full - ahead - self._interval
        if spare < 0:
            return Decision(False, 0, ahead / NS, -spare / NS)
        return Decision(True, spare // self._interval, (ahead + self._interval) / NS, 0.0)


@lru_cache(maxsize=4096)
def client_key(address: str) -> bytes:
    """Whose requests count together when clients are told apart by address: an IPv4 address, the
    /64 of an IPv6 one, and all that have none."""
    ip = plain(address)
    if ip is None:
        return b"unknown"
    return ip.packed if ip.version == 4 else ip.packed[:_SITE_BYTES]
