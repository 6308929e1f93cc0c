"""Requests to a real proxy that come by chance, whether or not those before are answered.

A load that waits for an answer before it asks again, as wrk's does, asks less of a proxy that has
put its requests to a slow backend, and so does not see what clients would.
"""

import asyncio
import re
from random import Random

from bench.balancing.run import Tally

REQUEST = b"GET / HTTP/1.1\r\nHost: balancing.test\r\n\r\n"
BACKEND = re.compile(rb"^X-Backend: (\S+)\r$", re.M | re.I)
LENGTH = re.compile(rb"^Content-Length: (\d+)\r$", re.M | re.I)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Load:
    """Asks 127.0.0.1:`port`, `rate` times a second on average."""

    def __init__(self, port: int, rate: float, patience_s: float, seed: int) -> None:
        self._port = port
        self._rate = rate
        self._patience_s = patience_s
        self._chance = Random(seed)
        self._idle: list[Connection] = []
        self.tally = Tally()

    async def run(self, seconds: float) -> Tally:
        """Ask for so long, and wait until all is answered or given up."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        asked: set[asyncio.Task[None]] = set()
        due = self._chance.expovariate(self._rate)
        while due < seconds:
            await asyncio.sleep(begin + due - loop.time())
            task = loop.create_task(self._ask(begin, due))
            asked.add(task)
            task.add_done_callback(asked.discard)
            due += self._chance.expovariate(self._rate)
        await asyncio.gather(*asked)
        for _, writer in self._idle:
            writer.close()
        return self.tally

    async def _ask(self, begin: float, due: float) -> None:
        """One request, counted from when it was due: a late load is no excuse for a late answer."""
        tally, second = self.tally, int(due)
        tally.requests[second] += 1
        try:
            async with asyncio.timeout_at(begin + due + self._patience_s):
                good, backend = await self._exchange()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            good, backend = False, None
        tally.latencies_s.append(asyncio.get_running_loop().time() - begin - due)
        tally.good[second] += good
        if backend is not None:
            tally.by_server[backend] += 1

    async def _exchange(self) -> tuple[bool, str | None]:
        """Whether the answer was good, and whose it was."""
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        is_done = False
        try:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            is_done = b"\r\nConnection: close\r\n" not in head.title()
        finally:
            if is_done:
                self._idle.append((reader, writer))
            else:
                writer.close()
        backend = BACKEND.search(head)
        return head.startswith(b"HTTP/1.1 200 "), backend[1].decode() if backend else None
