"""Takes turns: every peer of a work in each round, so that a slow minute meets all of them."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from bench.calls import Calls, calling
from bench.load import Idle, Load, Wrk
from bench.peers import ORIGIN_PEER, PEERS, Running
from bench.process import BenchError
from bench.swap import Swaps, swapping
from bench.watched import Watched, watched
from bench.works import Work

WARM_S = 1
IDLE_CONNECTIONS = 2000
FILES = {"1m": 1 << 20, "200m": 200_000_000}  # bytes; sparse, so they cost no disk
# About 10 KB of JSON, as an API answers.
ITEMS = [
    {"id": number * 7919 % 9973, "name": f"item {number}", "price": number * 31 % 1000, "in": True}
    for number in range(170)
]


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn: `cost` in the work's unit."""

    cost: float
    rate: float = 0.0  # requests per second
    p99_ms: float = 0.0
    max_ms: float = 0.0
    cpu_us: float = 0.0  # of the proxy, per request
    busiest: float = 1.0  # its busiest process's share of that
    swaps: int = 0  # changes of the configuration meanwhile
    calls: int = 0  # of the admin API meanwhile
    call_p99_ms: float = 0.0
    watched: Watched | None = None  # where it is looked at what watchers cost


@dataclass(slots=True)
class Outcome:
    """One work: each peer's samples, or why there are none; `failed` says it of single peers."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    left_out: str = ""
    failed: dict[str, str] = field(default_factory=dict)

    def fail(self, peer: str, error: BenchError) -> None:
        """A peer whose figures are worth nothing."""
        self.samples.pop(peer, None)
        self.failed[peer] = str(error)

    def median(self, peer: str, of: Callable[[Sample], float] = lambda s: s.cost) -> float:
        """The middle one of a peer's figures."""
        return statistics.median(map(of, self.samples[peer]))


@dataclass(frozen=True, slots=True)
class Room:
    """Where measurements happen: an origin, and who may use which processor."""

    folder: Path
    cores: tuple[int, ...]
    origin: int

    def proxy_cores(self, count: int) -> set[int]:
        """The proxy's own; all for 0."""
        return set(self.cores[:count] or self.cores)

    def load_cores(self, proxy: int = 1) -> set[int]:
        """All others, for load and origin."""
        return set(self.cores[proxy:])


@contextmanager
def room(folder: Path) -> Iterator[Room]:
    """Start an origin in `folder`; raises BenchError when this machine will not do."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    if len(cores) < 2:
        raise BenchError("one processor is not enough: the proxy needs one to itself")
    origin = ORIGIN_PEER.start("origin", 0, set(cores[1:]), folder)
    try:
        origin_folder = folder / "origin"
        files = origin_folder / "files"
        files.mkdir()
        for name, size in FILES.items():
            with (files / name).open("wb") as file:
                file.truncate(size)
        (origin_folder / "json").write_text(json.dumps(ITEMS))
        yield Room(folder, cores, origin.port)
    finally:
        origin.process.end()


def run(work: Work, only: frozenset[str], rounds: int, seconds: int, place: Room) -> Outcome:
    """Measure one work; `only` names the peers wanted, all when empty."""
    if len(place.cores) < work.cores_needed:
        needs = f"needs {work.cores_needed} processors for a fair figure, here are"
        return Outcome(left_out=f"{needs} {len(place.cores)}")
    peers = [peer for peer in work.peers if not only or peer in only]
    if work.load is None:
        return _idle(peers, rounds, place)
    outcome = Outcome({peer: [] for peer in peers})
    running: dict[str, Running] = {}
    try:
        for peer in peers:
            try:
                running[peer] = _start(peer, work.proxy_cores, place)
            except BenchError as error:
                outcome.fail(peer, error)
        for _ in range(rounds):
            for peer in list(outcome.samples):
                load = PEERS[peer].load or work.load
                try:
                    sample = _turn(work, load, running[peer], seconds, place)
                    outcome.samples[peer].append(sample)
                except BenchError as error:
                    outcome.fail(peer, error)
    finally:
        for proxy in running.values():
            proxy.process.end()
    return outcome


def _start(peer: str, cores: int, place: Room) -> Running:
    number = sum(1 for _ in place.folder.iterdir())  # a fresh room for each start
    return PEERS[peer].start(
        f"{peer}.{number}", place.origin, place.proxy_cores(cores), place.folder
    )


def _turn(work: Work, load: Load, proxy: Running, seconds: int, place: Room) -> Sample:
    cores = place.load_cores(work.proxy_cores)
    load.run(proxy.port, WARM_S, cores, place.folder)
    swaps_or_none = swapping(proxy) if proxy.configs[1] else nullcontext(Swaps(proxy))
    calls_or_none = calling(proxy) if proxy.calls else nullcontext(Calls(proxy))
    is_looked_at = proxy.watchers is not None
    watch_or_none = watched(proxy, cores) if is_looked_at else nullcontext([None])
    with swaps_or_none as swaps, calls_or_none as calls, watch_or_none as watch:
        before = proxy.process.cpu_by_pid()
        figures = load.run(proxy.port, max(seconds, work.least_s), cores, place.folder)
        used = [s - before.get(pid, 0.0) for pid, s in proxy.process.cpu_by_pid().items()]
    rate = figures.requests / figures.seconds
    cpu_us = sum(used) * 1e6 / max(figures.requests, 1)
    cost = {
        "µs/request": cpu_us,
        "s/GB": sum(used) * 1e9 / figures.bytes,
        "requests/s": rate,
        "requests/s, derived": figures.requests / max(used),
        "p99 ms": figures.p99_ms,
    }[work.unit]
    busiest = max(used) / sum(used)
    more = (swaps.count, calls.count, calls.p99_ms, watch[0])
    return Sample(cost, rate, figures.p99_ms, figures.max_ms, cpu_us, busiest, *more)


def _idle(peers: list[str], rounds: int, place: Room) -> Outcome:
    """Growth of memory; each time in a fresh process, which has nothing to use again."""
    outcome = Outcome({peer: [] for peer in peers})
    for _ in range(rounds):
        for peer in peers:
            proxy = _start(peer, 1, place)
            try:
                Wrk().run(proxy.port, WARM_S, place.load_cores(), place.folder)
                time.sleep(WARM_S)  # for the load's connections to be taken down
                before = proxy.process.memory()
                held = Idle(proxy.port, IDLE_CONNECTIONS)
                try:
                    grown = proxy.process.memory() - before
                finally:
                    held.close()
                outcome.samples[peer].append(Sample(grown / 1000 / IDLE_CONNECTIONS))
            finally:
                proxy.process.end()
    return outcome


def machine() -> dict[str, str]:
    """On what, and with which versions, this was measured."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "nginx": _version("nginx", "-v"),
        "haproxy": _version("haproxy", "-v"),
        "wrk": _version("wrk", "-v"),
        "h2load": _version("h2load", "--version"),
    }


def _version(*command: str) -> str:
    """The first line that a program prints of itself, on either stream."""
    ran = subprocess.run(command, capture_output=True, text=True)
    first = (ran.stdout + ran.stderr).partition("\n")[0].strip()
    return first.removeprefix("nginx version: ")
