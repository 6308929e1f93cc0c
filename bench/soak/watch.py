"""What a daemon holds: memory, descriptors and threads of each process, and its own gauges."""

import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from bench.process import BenchError, Process

MIB = 1 << 20
# What may differ between two rests. Memory that a process gave back and got again lies differently,
# and spare pipes are kept by how many were needed at once.
MEMORY_SHARE, MEMORY_BYTES = 0.10, 8 * MIB
DESCRIPTORS = 8
GAUGES = {
    "inflight": re.compile(r"^veloflux_upstream_inflight\{.*\} (\S+)$", re.M),
    "clients": re.compile(r'^veloflux_connections\{side="downstream".*\} (\S+)$', re.M),
    "backends": re.compile(r'^veloflux_connections\{side="upstream".*\} (\S+)$', re.M),
}


@dataclass(frozen=True, slots=True)
class Held:
    """By one process; `rss` and `pss` in bytes, `pipes` are ends of them among `descriptors`."""

    pid: int
    rss: int
    pss: int
    descriptors: int
    pipes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """At `seconds` since the start, in a `phase`: `load` or `rest`; gauges over all workers."""

    seconds: float
    phase: str
    processes: dict[str, Held]
    inflight: int
    clients: int
    backends: int

    @property
    def is_idle(self) -> bool:
        """Nobody is connected, and nothing is under way."""
        return not (self.inflight or self.clients or self.backends)


class Watch:
    """Takes samples of one daemon that serves metrics at 127.0.0.1:`port`."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._started = time.monotonic()
        self.samples: list[Sample] = []

    def sample(self, phase: str) -> Sample:
        """Take a sample and keep it."""
        self.samples.append(self.look(phase))
        return self.samples[-1]

    def look(self, phase: str) -> Sample:
        """Take a sample. Raises BenchError when the daemon is gone or does not answer."""
        seconds = time.monotonic() - self._started
        pids = sorted(self._process.pids())
        names = ("parent", *(f"worker {number}" for number in range(1, len(pids))))
        try:
            held = {name: _held(pid) for name, pid in zip(names, pids, strict=True)}
            return Sample(seconds, phase, held, **self._gauges())
        except (OSError, ValueError) as error:
            raise BenchError(
                f"the daemon fails: {error}; it said:\n{self._process.said()}"
            ) from None

    def _gauges(self) -> dict[str, int]:
        with urlopen(self._url, timeout=10) as answer:
            page = answer.read().decode()
        return {
            name: sum(int(float(value)) for value in pattern.findall(page))
            for name, pattern in GAUGES.items()
        }


def _held(pid: int) -> Held:
    process = Path("/proc") / str(pid)
    memory = dict(
        re.findall(r"^(Rss|Pss): +(\d+) kB$", (process / "smaps_rollup").read_text(), re.M)
    )
    kinds = Counter(_kinds(process))
    return Held(
        pid=pid,
        rss=int(memory["Rss"]) * 1024,
        pss=int(memory["Pss"]) * 1024,
        descriptors=kinds.total(),
        pipes=kinds["pipe"],
        threads=len(os.listdir(process / "task")),
    )


def _kinds(process: Path) -> list[str]:
    """What each open descriptor is: `socket`, `pipe`, or a path."""
    kinds = []
    for each in (process / "fd").iterdir():
        try:
            kinds.append(os.readlink(each).partition(":")[0])
        except OSError:
            continue  # closed since the listing
    return kinds


def headings(sample: Sample) -> str:
    """The two lines above a table of samples."""
    above = "".join(f"{name:>20}" for name in sample.processes)
    under = f"{'MiB   fds  thr':>20}" * len(sample.processes)
    return f"{'':>12}{above}\n{'s':>5}{'':>7}{under}{'in flight':>11}{'clients':>9}{'backends':>10}"


def row(sample: Sample) -> str:
    """A line of the table."""
    cells = "".join(
        f"{each.rss / MIB:10.1f}{each.descriptors:6d}{each.threads:4d}"
        for each in sample.processes.values()
    )
    counts = f"{sample.inflight:11d}{sample.clients:9d}{sample.backends:10d}"
    return f"{sample.seconds:5.0f} {sample.phase:6}{cells}{counts}"


def findings(first: Sample, last: Sample) -> dict[str, bool]:
    """What was asked of the daemon between two rests, and whether it held."""
    found = {
        "nothing in flight, nobody connected": last.is_idle,
        "the same processes": [each.pid for each in first.processes.values()]
        == [each.pid for each in last.processes.values()],
    }
    for name, after in last.processes.items():
        before = first.processes.get(name)
        if before is None:
            continue
        found[f"{name}: memory {before.rss / MIB:.1f} → {after.rss / MIB:.1f} MiB"] = (
            after.rss - before.rss <= max(MEMORY_SHARE * before.rss, MEMORY_BYTES)
        )
        found[f"{name}: descriptors {before.descriptors} → {after.descriptors}"] = (
            after.descriptors - before.descriptors <= DESCRIPTORS
        )
    before, after = (sum(each.pss for each in s.processes.values()) for s in (first, last))
    found[f"all: memory {before / MIB:.1f} → {after / MIB:.1f} MiB (PSS)"] = after - before <= max(
        MEMORY_SHARE * before, MEMORY_BYTES
    )
    return found
