"""Has a daemon's live metrics watched by many while it is under load."""

import asyncio
import json
import os
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bench.peers import Running
from bench.process import BenchError

# Handshakes under way: the admin listener takes so many connections that are not watchers yet.
AT_ONCE = 32
PATIENCE_S = 60.0
HANDSHAKE = (
    "GET /api/ws/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {}\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, PING, PONG = 1, 9, 10
LAG = re.compile(r'^veloflux_control_reactor_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.M)


@dataclass(frozen=True, slots=True)
class Watched:
    """What `watchers` cost: memory of all the daemon's processes for each, and of the parent the
    share of a processor, and the bound under which its loop was late in 99 of 100 turns."""

    watchers: int
    messages: int
    kb_each: float
    cpu_share: float
    late_ms: float


class Watcher(asyncio.Protocol):
    """One connection, as cheap as it can be: it shares a processor with load and origin.

    It counts frames, and answers pings; `is_there` is done when the first message has come,
    `is_gone` when the connection is.
    """

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._held = b""
        self.messages = 0
        self.is_there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        held = self._held + data
        if self._head:
            head, end, held = held.partition(b"\r\n\r\n")
            if not end:
                self._held = head
                return
            self._head = b""
            if not head.startswith(b"HTTP/1.1 101 "):
                self.transport.abort()
                return
        while len(held) >= 4:
            length, start = held[1], 2
            if length == 126:
                length, start = int.from_bytes(held[2:4]), 4
            if len(held) < start + length:
                break
            self._frame(held[0] & 15, held[start : start + length])
            held = held[start + length :]
        self._held = held

    def connection_lost(self, error: Exception | None) -> None:
        for each in (self.is_there, self.is_gone):
            if not each.done():
                each.set_result(None)

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(bytes([0x80 | PONG, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        elif opcode == TEXT:
            self.messages += 1
            if not self.is_there.done():
                self.is_there.set_result(None)


class Crowd:
    """So many watchers of a daemon's metrics, in a thread of their own on some processors."""

    def __init__(self, proxy: Running, by: str, cores: set[int]) -> None:
        self._proxy = proxy
        self._head = HANDSHAKE.format(by).encode()
        self._cores = cores
        self._watchers: list[Watcher] = []
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._are_there = threading.Event()
        self.problem = ""

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def messages(self) -> int:
        """How many all have been sent."""
        return sum(watcher.messages for watcher in self._watchers)

    def start(self) -> None:
        """Wait until all are there; raises BenchError when they are not."""
        self._thread.start()
        if not self._are_there.wait(PATIENCE_S) or self.problem:
            self.end()
            raise BenchError(self.problem or "the watchers took too long to come")

    def end(self) -> None:
        """Have all leave."""
        with suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        # Who watches is elsewhere: they take no time from load and origin.
        os.sched_setaffinity(threading.get_native_id(), self._cores)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        try:
            self._loop.run_until_complete(self._watch())
        except OSError as error:
            self.problem = f"a watcher did not come in: {error}"
        finally:
            self._loop.close()
            self._are_there.set()

    async def _watch(self) -> None:
        count = self._proxy.watchers or 0
        while len(self) < count and not self._end.is_set():
            await asyncio.gather(*(self._one() for _ in range(min(AT_ONCE, count - len(self)))))
        self._are_there.set()
        await self._end.wait()
        lost = sum(watcher.is_gone.done() for watcher in self._watchers)
        if lost:
            self.problem = f"{lost} of {count} watchers were lost"
        for watcher in self._watchers:
            watcher.transport.abort()
        await asyncio.gather(*(watcher.is_gone for watcher in self._watchers))

    async def _one(self) -> None:
        _, watcher = await self._loop.create_connection(
            lambda: Watcher(self._head), "127.0.0.1", self._proxy.admin
        )
        await watcher.is_there
        self._watchers.append(watcher)


@contextmanager
def watched(proxy: Running, cores: set[int]) -> Iterator[list[Watched]]:
    """Have it watched for as long as the block lasts; the list is filled when it is over.

    Raises BenchError when a watcher did not stay.
    """
    found: list[Watched] = []
    by = _signed_in(proxy)
    crowd = Crowd(proxy, by["Authorization"], cores)
    process = proxy.process
    before = process.memory()
    crowd.start()
    try:
        time.sleep(5)  # all have been sent to twice
        held = process.memory() - before
        lags, messages = _lags(proxy, by), crowd.messages
        began, cpu_s = time.monotonic(), process.cpu_by_pid()[process.pid]
        yield found
        took_s = time.monotonic() - began
        share = (process.cpu_by_pid()[process.pid] - cpu_s) / took_s
        messages = crowd.messages - messages
        late_ms = within_ms(lags, _lags(proxy, by))
    finally:
        crowd.end()
    if crowd.problem:
        raise BenchError(crowd.problem)
    count = len(crowd)
    each = held / 1000 / count if count else 0.0
    found.append(Watched(count, messages, each, share, late_ms))


def _signed_in(proxy: Running) -> dict[str, str]:
    """The header of its operator, for 15 minutes."""
    password = (proxy.config.parent / "var" / "admin-password").read_text().strip()
    body = json.dumps({"username": "admin", "password": password}).encode()
    answer = _call(proxy, "/api/auth/login", {"Content-Type": "application/json"}, body)
    return {"Authorization": f"Bearer {json.loads(answer)['token']}"}


def _lags(proxy: Running, by: dict[str, str]) -> dict[float, float]:
    """How many turns of the parent's loop were late by at most so many seconds."""
    page = _call(proxy, "/metrics", by).decode()
    return {float(bound): float(count) for bound, count in LAG.findall(page)}


def _call(proxy: Running, path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    url = f"http://127.0.0.1:{proxy.admin}{path}"
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def within_ms(before: dict[float, float], after: dict[float, float]) -> float:
    """The least bound in milliseconds that 99 of 100 observations in between were within."""
    counts = {bound: count - before.get(bound, 0.0) for bound, count in sorted(after.items())}
    total = max(counts.values(), default=0.0)
    if not total:
        raise BenchError("the parent has not said how late its loop was")
    return next(bound for bound, count in counts.items() if count >= 0.99 * total) * 1000
