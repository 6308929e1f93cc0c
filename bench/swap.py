"""Has a daemon change its configuration again and again while it is under load."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers import Running
from bench.process import BenchError

# From one change in force to the next request for one, so that there is some quiet between them.
PAUSE_S = 0.3
# The parent shares its processor with the worker under load, which takes it for itself.
PATIENCE_S = 60.0
LEAST = 2
IN_FORCE = "is in force"
REFUSED = "was not reloaded"


class Swaps:
    """Changes that came into force, and why there may be no more."""

    def __init__(self, proxy: Running) -> None:
        self._proxy = proxy
        self._end = threading.Event()
        self.count = 0
        self.problem = ""

    def run(self) -> None:
        """Ask for one after the other until told to end; the last one is waited for."""
        while not self._end.is_set() and not self.problem:
            self._one()
            self._end.wait(PAUSE_S)

    def _one(self) -> None:
        before = self._proxy.process.printed().count(IN_FORCE)
        self._proxy.reconfigure(self.count % 2 == 0)
        self._proxy.process.signal(signal.SIGHUP)
        until = time.monotonic() + PATIENCE_S
        while self._proxy.process.printed().count(IN_FORCE) == before:
            printed = self._proxy.process.said()
            if REFUSED in printed or time.monotonic() > until or not self._proxy.process.is_running:
                self.problem = f"a new configuration did not come into force:\n{printed}"
                return
            time.sleep(0.02)
        self.count += 1

    def end(self) -> None:
        """Have it end."""
        self._end.set()


@contextmanager
def swapping(proxy: Running) -> Iterator[Swaps]:
    """Swap for as long as the block lasts; raises BenchError when too few came into force."""
    swaps = Swaps(proxy)
    thread = threading.Thread(target=swaps.run)
    thread.start()
    try:
        yield swaps
    finally:
        swaps.end()
        thread.join()
        # The next turn begins with the configuration of the first.
        if swaps.count % 2 and not swaps.problem:
            swaps._one()
    if swaps.problem or swaps.count < LEAST:
        raise BenchError(swaps.problem or f"only {swaps.count} changes came into force in time")
