"""Python's own share of a request, without a socket: `python -m bench.inside`.

One client's and one backend's connection over transports that do nothing, so that what is left is
this project's code. For finding out what a change to the hot path costs; the system calls, which
are the greater part, are in `make bench`.
"""

import time
from collections.abc import Sequence
from random import Random
from typing import Any

from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, Listener, Pool, Route, Share
from veloflux.core.policy.route import Table
from veloflux.edge.lane import Lane, Tally
from veloflux.edge.listener import Listener as RunningListener
from veloflux.edge.plane import Plane
from veloflux.edge.pool import Pool as RunningPool

ROUNDS = 7
REQUESTS = 20_000
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 100\r\nConnection: keep-alive\r\n\r\n"
) + b"x" * 100


class Nowhere:
    """A transport whose bytes go nowhere."""

    unsent = 0
    is_clear = True

    def write(self, data: bytes) -> None:
        """Take the bytes."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class StillReactor:
    """Connects at once, and calls nothing later."""

    seconds = staticmethod(time.monotonic)

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float) -> None:
        factory.buildProtocol(None).makeConnection(Nowhere())

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Lines:
    """A log that keeps nothing."""

    def append(self, line: str) -> None:
        """Take the line."""


def connect(*, log: bool) -> Any:
    """A client's connection to a plane with one route to two backends."""
    plane = Plane(StillReactor(), time.time, Random(1).random, b"bench")  # noqa: TID251
    backends = tuple(Backend(Address("127.0.0.1", port)) for port in (9001, 9002))
    plane.pools = {"app": RunningPool(Pool("app", backends), plane)}
    route = Route("app", pools=(Share("app"),))
    plane.table = Table([(route, Lane(route, plane.pools, Tally("app")))])
    if log:
        plane.log = Lines()  # type: ignore[assignment]  # all that is asked of it here
        plane.aim()
    listener = RunningListener(Listener("web", Address("127.0.0.1", 80)), plane)
    downstream: Any = listener.buildProtocol(None)
    downstream.makeConnection(Nowhere())
    return downstream


def request(path: int = 0, agent: int = 0) -> bytes:
    return (
        b"GET /api/v1/items/%d?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/%d\r\n"
        b"Accept: */*\r\nAccept-Language: en\r\nCookie: a=b; c=d\r\n\r\n" % (path, agent)
    )


def microseconds(requests: Sequence[bytes], *, log: bool = False) -> float:
    """The least of some rounds, per request."""
    downstream = connect(log=log)
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        for number in range(REQUESTS):
            downstream.dataReceived(requests[number % len(requests)])
            downstream.bridge.upstream.dataReceived(ANSWER)
        best = min(best, time.process_time() - before)
    return best / REQUESTS * 1e6


def main() -> None:
    rows = {
        "the same head again": microseconds([request()]),
        "the same, with a JSON access log": microseconds([request()], log=True),
        "another path each time": microseconds([request(path=n) for n in range(50)]),
        "another header each time": microseconds([request(agent=n) for n in range(50)]),
    }
    for what, cost in rows.items():
        print(f"{cost:6.2f} µs  {what}")


if __name__ == "__main__":
    main()
