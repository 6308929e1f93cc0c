"""A simulated backend: some workers, one queue, and a script of what goes wrong when.

All that becomes of a request is known as soon as it arrives: the queue is first come first served
and nobody leaves it, as work that a proxy gave up on is done all the same.
"""

from collections import deque
from dataclasses import dataclass
from heapq import heapreplace
from math import floor, inf
from random import Random
from typing import NamedTuple

FAILS_AFTER_S = 0.001  # what a broken backend needs for its error


@dataclass(frozen=True, slots=True)
class Script:
    """What one backend is like, in seconds of the run's time.

    `slow` holds (from, to, factor) of the time a request takes. It stands still for `pause_s` once
    in every `pause_every_s`, from `pause_from_s` on. Until it has served `cold_requests`, a request
    takes up to `cold_factor` times as long, less with each. It `fails` from then on, or never.
    """

    slow: tuple[tuple[float, float, float], ...] = ()
    pause_every_s: float = 0.0
    pause_s: float = 0.0
    pause_from_s: float = 0.0
    cold_requests: int = 0
    cold_factor: float = 1.0
    fails: float = inf
    joins: float = 0.0


class Reply(NamedTuple):
    """When an answer comes, and whether it is a good one."""

    at: float
    is_good: bool


class Server:
    """`workers` requests at a time, each of `work_s` on average; `queue` more may wait.

    `load` is what the proxies have given it and not heard the end of. `works` draws how much each
    request is, around 1.
    """

    def __init__(
        self, name: str, script: Script, workers: int, work_s: float, queue: int, seed: int
    ) -> None:
        self.name = name
        self.script = script
        self.load = 0
        self.served = 0
        self.asked = 0
        self._work_s = work_s
        self._queue = queue
        self._free_at = [0.0] * workers
        self._starts: deque[float] = deque()
        self._works = Random(f"{name} {seed}").expovariate

    def ask(self, now: float) -> Reply | None:
        """Give it a request; None when its queue is full and the connection is refused."""
        self.asked += 1
        if now >= self.script.fails:
            return Reply(now + FAILS_AFTER_S, False)
        starts = self._starts
        while starts and starts[0] <= now:
            starts.popleft()
        if len(starts) >= self._queue:
            return None
        start = max(now, self._free_at[0])
        end = self._end(start, self._work_s * self._works(1.0) * self._factor(start))
        heapreplace(self._free_at, end)
        if start > now:
            starts.append(start)
        self.served += 1
        return Reply(end, True)

    def _factor(self, now: float) -> float:
        script = self.script
        factor = 1.0
        for begin, end, times in script.slow:
            if begin <= now < end:
                factor *= times
        if self.served < script.cold_requests:
            factor *= 1 + (script.cold_factor - 1) * (1 - self.served / script.cold_requests)
        return factor

    def _end(self, start: float, work: float) -> float:
        """When so much work is done, with the pauses that come between."""
        script = self.script
        every = script.pause_every_s
        if not every:
            return start + work
        turn = floor((start - script.pause_from_s) / every) if start >= script.pause_from_s else -1
        while True:
            if turn >= 0:
                start = max(start, script.pause_from_s + turn * every + script.pause_s)
            turn += 1
            pause = script.pause_from_s + turn * every
            if start + work <= pause:
                return start + work
            work -= max(pause - start, 0.0)
            start = max(pause, start)
