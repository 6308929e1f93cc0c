"""Python's own share of a request, without a socket: `python -m bench.inside`.

One client's and one backend's connection over transports that do nothing, so that what is left is
this project's code. For finding out what a change to the hot path costs; the system calls, which
are the greater part, are in `make bench`.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address

from veloflux.config.self_signed import make
from veloflux.core.model.address import Address
from veloflux.core.model.tls import Certificate, Document, ListenerTls
from veloflux.core.model.traffic import Backend, Listener, Pool, Route, Share
from veloflux.core.policy.route import Table
from veloflux.edge.lane import Lane, Tally
from veloflux.edge.listener import Listener as RunningListener
from veloflux.edge.plane import Plane
from veloflux.edge.pool import Pool as RunningPool
from veloflux.edge.terms import terms

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


class Kept(Nowhere):
    """Keeps its bytes, for as long as a handshake needs them."""

    def __init__(self) -> None:
        self.sent = bytearray()

    def write(self, data: bytes) -> None:
        """Take the bytes."""
        self.sent += data


def listen(*, log: bool, tls: ListenerTls | None = None) -> RunningListener:
    """A plane with one route to two backends."""
    plane = Plane(StillReactor(), time.time, Random(1).random, b"bench")  # noqa: TID251
    backends = tuple(Backend(Address("127.0.0.1", port)) for port in (9001, 9002))
    plane.pools = {"app": RunningPool(Pool("app", backends), plane)}
    route = Route("app", pools=(Share("app"),))
    plane.table = Table([(route, Lane(route, plane.pools, Tally("app")))])
    if log:
        plane.log = Lines()  # type: ignore[assignment]  # all that is asked of it here
        plane.aim()
    model = Listener("web", Address("127.0.0.1", 80), tls=tls)
    listener = RunningListener(model, plane)
    steps = terms(model, None)
    try:
        while True:
            next(steps)
    except StopIteration as built:
        listener.configure(model, 1, built.value)
    return listener


def connect(*, log: bool) -> Any:
    """A client's connection."""
    downstream: Any = listen(log=log).buildProtocol(None)
    downstream.makeConnection(Nowhere())
    return downstream


def connect_over_tls() -> tuple[Any, Callable[[bytes], bytes]]:
    """A client's connection with its handshake made, and what encrypts on the client's side."""
    cert, key = make(["127.0.0.1"], datetime.now(UTC))
    shown = Certificate(Document("/cert", cert), Document("/key", key))
    secured: Any = listen(log=False, tls=ListenerTls((shown,))).buildProtocol(None)
    kept = Kept()
    secured.makeConnection(kept)
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl._create_unverified_context().wrap_bio(arrived, leaving)
    while secured.protocol is None:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        secured.dataReceived(leaving.read())
        arrived.write(bytes(kept.sent))
        kept.sent.clear()
    secured.transport = Nowhere()

    def encrypt(data: bytes) -> bytes:
        client.write(data)
        return leaving.read()

    return secured, encrypt


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


def connections() -> float:
    """The least of some rounds, per connection that serves one request."""
    listener = listen(log=False)
    client = IPv4Address("TCP", "127.0.0.1", 50_000)
    last = request().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(REQUESTS):
            downstream: Any = listener.buildProtocol(client)
            downstream.makeConnection(Nowhere())
            downstream.dataReceived(last)
            downstream.bridge.upstream.dataReceived(ANSWER)
            downstream.connectionLost()
        best = min(best, time.process_time() - before)
    return best / REQUESTS * 1e6


def over_tls() -> float:
    """The least of some rounds, per request; each is encrypted beforehand."""
    secured, encrypt = connect_over_tls()
    downstream = secured.protocol
    best = float("inf")
    for _ in range(ROUNDS):
        requests = [encrypt(request()) for _ in range(REQUESTS)]
        before = time.process_time()
        for each in requests:
            secured.dataReceived(each)
            downstream.bridge.upstream.dataReceived(ANSWER)
        best = min(best, time.process_time() - before)
    return best / REQUESTS * 1e6


def main() -> None:
    rows = {
        "the same head again": microseconds([request()]),
        "the same, with a JSON access log": microseconds([request()], log=True),
        "the same, over TLS": over_tls(),
        "a connection for each request": connections(),
        "another path each time": microseconds([request(path=n) for n in range(50)]),
        "another header each time": microseconds([request(agent=n) for n in range(50)]),
    }
    for what, cost in rows.items():
        print(f"{cost:6.2f} µs  {what}")


if __name__ == "__main__":
    main()
