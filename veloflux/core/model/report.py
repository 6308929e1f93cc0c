"""What one worker says of itself when it is asked: its pools as they are now, and its process.

Moments are told as seconds from now, sizes are bytes. What changes nothing for others is not told
once a second, but to whoever asks.
"""

from dataclasses import dataclass, field

# Backends that one answer tells of: more would hold up the worker's traffic.
MAX_BACKENDS = 500


@dataclass(frozen=True, slots=True)
class BackendReport:
    """How a backend stands with one worker.

    `why_not` is why it is not picked, empty if it may be; `score` the algorithm's, less is better,
    None where it keeps none. `load` is what it works on for all workers, `inflight` for this one.
    `latency_s` is what the algorithm knows of its latency, None if nothing.
    """

    address: str
    why_not: str
    weight: int
    load: int
    score: float | None
    inflight: int
    connections: int
    idle: int
    is_healthy: bool
    is_failing: bool
    ejected_for_s: float
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class PoolReport:
    """How a pool stands with one worker.

    `reason` is by what backends are picked now, `next` the one that would be. `circuit` is closed,
    open or half_open; empty where there is no circuit breaker. `left_out` counts the backends that
    there was no room for.
    """

    name: str
    algorithm: str
    reason: str
    next: str | None
    waiting: int
    circuit: str
    circuit_closes_in_s: float
    backends: tuple[BackendReport, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What only a process knows of itself.

    `collections`, `collected` and `uncollectable` are of the garbage collector, by generation.
    """

    version: int
    connections: int
    threads: int
    collections: tuple[int, ...] = field(default=())
    collected: tuple[int, ...] = field(default=())
    uncollectable: tuple[int, ...] = field(default=())
    reactor: str = ""
