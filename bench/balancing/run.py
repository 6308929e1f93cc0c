"""One run: requests that come by chance, what becomes of each, and figures of the whole."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from bench.balancing.policies import RetryRule
from bench.balancing.proxy import Seat, Worker
from bench.balancing.server import Server

CLIENTS = 2000
WORKERS = 2


@dataclass(slots=True)
class Tally:
    """What a run came to; requests are counted by the second in which they came."""

    latencies_s: list[float] = field(default_factory=list)
    requests: Counter[int] = field(default_factory=Counter)
    good: Counter[int] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    by_server: Counter[str] = field(default_factory=Counter)
    by_client: dict[bytes, Counter[str]] = field(default_factory=dict)

    @property
    def errors(self) -> float:
        """The share of requests without a good answer."""
        return 1 - self.good.total() / max(self.requests.total(), 1)

    @property
    def amplification(self) -> float:
        """Attempts, for each request that a client made."""
        return self.attempts.total() / max(self.requests.total(), 1)

    @property
    def spread(self) -> float:
        """What the busiest backend got, over the mean."""
        return max(self.by_server.values()) * len(self.by_server) / self.by_server.total()

    @property
    def loyalty(self) -> float:
        """The share of requests that went where most of their client's went."""
        usual = sum(max(counts.values()) for counts in self.by_client.values())
        return usual / max(self.by_server.total(), 1)

    def quantile_ms(self, share: float) -> float:
        """The time until its last answer, good or not, that so many requests did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[int(share * (len(ordered) - 1))] * 1000 if ordered else float("nan")


@dataclass(slots=True)
class Request:
    """A client's request; `tried` are the backends that failed it, `attempts` those that cost."""

    came: float
    key: bytes
    worker: Worker
    retry: RetryRule
    tried: tuple[Seat, ...] = ()
    attempts: int = 0


def run(
    servers: Sequence[Server],
    workers: Sequence[Worker],
    retries: Sequence[RetryRule],
    rate: Callable[[float], float],
    seconds: float,
    patience_s: float,
    seed: int,
) -> Tally:
    """Let requests come for so many seconds, `rate(now)` in each, and answer all.

    Who gets no answer within `patience_s` has failed, which a backend does not learn: it works on.
    """
    tally = Tally(by_server=Counter({server.name: 0 for server in servers}))
    chance = Random(seed)
    # (when, which came first, request, seat, whether the answer is good, when it was asked)
    pending: list[tuple[float, int, Request, Seat | None, bool, float]] = []
    number = 0

    def attempt(request: Request, now: float) -> None:
        nonlocal number
        request.attempts += 1
        tally.attempts[int(request.came)] += 1
        while True:
            seat = request.worker.pick(request.tried, request.key, now)
            if seat is None:
                tally.latencies_s.append(now - request.came)
                return
            reply = seat.server.ask(now)
            if reply is not None:
                break
            # Refused: nothing was asked of anybody, so the next is tried at once.
            request.worker.observe(seat, False, 0.0, now)
            request.tried = (*request.tried, seat)
        tally.by_server[seat.name] += 1
        tally.by_client.setdefault(request.key, Counter())[seat.name] += 1
        seat.server.load += 1
        number += 1
        late = reply.at - now > patience_s
        at = now + patience_s if late else reply.at
        heappush(pending, (at, number, request, seat, reply.is_good and not late, now))

    def finish(
        request: Request, seat: Seat | None, is_good: bool, asked: float, now: float
    ) -> None:
        if seat is None:  # the end of a back-off
            attempt(request, now)
            return
        seat.server.load -= 1
        request.worker.observe(seat, is_good, now - asked, now)
        wait_s = None
        if not is_good:
            request.tried = (*request.tried, seat)
            wait_s = request.retry.wait_s(request.attempts, now)
        if wait_s is None:
            tally.good[int(request.came)] += is_good
            tally.latencies_s.append(now - request.came)
            return
        nonlocal number
        number += 1
        heappush(pending, (now + wait_s, number, request, None, False, now))

    now = 0.0
    while True:
        now += chance.expovariate(rate(now))
        while pending and (pending[0][0] <= now or now > seconds):
            at, _, request, seat, is_good, asked = heappop(pending)
            finish(request, seat, is_good, asked, at)
        if now > seconds:
            return tally
        place = int(chance.random() * len(workers))
        client = int(CLIENTS * chance.random() ** 1.5)  # some come more often than others
        request = Request(now, b"10.0.%d.%d" % divmod(client, 256), workers[place], retries[place])
        request.retry.count(now)
        tally.requests[int(now)] += 1
        attempt(request, now)
