"""Calls a daemon's admin API so many times a second while it is under load."""

import http.client
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers import Running
from bench.process import BenchError

# What a dashboard and a scraper ask for, one after the other.
PATHS = ("/api/status", "/api/pools", "/api/backends", "/api/metrics", "/api/routes", "/metrics")
PATIENCE_S = 10.0
# Made up for; more at once would be more than the API allows.
MOST_LATE_S = 0.5


class Calls:
    """Calls that were answered with 200, how long the slowest of each hundred took, and why there
    may be no more."""

    def __init__(self, proxy: Running) -> None:
        self._proxy = proxy
        self._end = threading.Event()
        self._took_ms: list[float] = []
        self.problem = ""

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self._took_ms)

    @property
    def p99_ms(self) -> float:
        """What one in a hundred took longer than."""
        return sorted(self._took_ms)[self.count * 99 // 100] if self._took_ms else 0.0

    def run(self) -> None:
        """Call until told to end; what is a little late is made up for."""
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy.admin, timeout=PATIENCE_S)
        password = (self._proxy.config.parent / "var" / "admin-password").read_text().strip()
        token = b64encode(f"admin:{password}".encode()).decode()
        signed_in = {"Authorization": f"Basic {token}"}
        started = time.monotonic()
        try:
            while not self._end.is_set():
                begun = time.monotonic()
                connection.request("GET", PATHS[self.count % len(PATHS)], headers=signed_in)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status != 200:
                    raise BenchError(f"{answer.status} {said.decode(errors='replace')}")
                self._took_ms.append((time.monotonic() - begun) * 1000)
                late = time.monotonic() - (started + self.count / self._proxy.calls)
                started += max(0.0, late - MOST_LATE_S)
                self._end.wait(max(0.0, -late))
        except (OSError, http.client.HTTPException, BenchError) as error:
            self.problem = f"the admin API did not answer under load: {error!r}"
        finally:
            connection.close()

    def end(self) -> None:
        """Have it end."""
        self._end.set()


@contextmanager
def calling(proxy: Running) -> Iterator[Calls]:
    """Call for as long as the block lasts; raises BenchError when a call failed."""
    calls = Calls(proxy)
    thread = threading.Thread(target=calls.run)
    thread.start()
    try:
        yield calls
    finally:
        calls.end()
        thread.join()
    if calls.problem:
        raise BenchError(calls.problem)
