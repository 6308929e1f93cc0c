"""What the workers' insides look like, for who looks for a fault: asked when it is asked for."""

import gc
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from veloflux.control.services.lag import Lag
from veloflux.control.services.status import BackendState, Status
from veloflux.core.model.report import BackendReport, PoolReport
from veloflux.core.model.traffic import Route, Snapshot
from veloflux.fleet.inquiry import Answers
from veloflux.fleet.supervisor import WorkerStatus


@dataclass(frozen=True, slots=True)
class WorkerPool(PoolReport):
    """A pool as one worker has it."""

    worker: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool with every worker that has answered; `silent` are those that have not, by number."""

    name: str
    algorithm: str
    workers: tuple[WorkerPool, ...]
    silent: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WorkerBackend(BackendReport):
    """A backend as one worker has it; `circuit` is its pool's."""

    circuit: str = ""
    worker: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True)
class BackendDetails:
    """A backend with every worker that has answered, and spoke of it: each tells of some hundreds
    only."""

    pool: str
    address: str
    state: BackendState
    inflight: int
    connections: int
    workers: tuple[WorkerBackend, ...]


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route in the order in which it is looked for: `rank` counts from 0, `place` is where the
    configuration has it. `pools` has their weights."""

    rank: int
    place: int
    id: str
    host: str
    match: str
    path_prefix: str
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    pools: dict[str, int]
    redirect: str | None
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `cpu_s` and the collector's figures are since its start, `lag` of the last
    minute. The figures of a garbage collector are by generation. What a silent worker did not say
    is empty."""

    name: str
    pid: int
    state: str
    config_version: int
    connections: int
    lag: Lag
    memory_bytes: int
    cpu_s: float
    descriptors: int
    threads: int
    collections: tuple[int, ...]
    collected: tuple[int, ...]
    uncollectable: tuple[int, ...]
    reactor: str
    is_silent: bool


@dataclass(frozen=True, slots=True)
class Processes:
    """The daemon and its workers."""

    daemon: Process
    workers: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What the system accounts to a process."""

    memory_bytes: int = 0
    cpu_s: float = 0.0
    descriptors: int = 0
    threads: int = 0


def pools(status: Status, answers: Answers) -> list[PoolState]:
    """Every pool of the configuration in force."""
    workers = status.fleet.status()
    silent = tuple(worker.index for worker in workers if worker.pid not in answers)
    found: dict[str, list[WorkerPool]] = {}
    for worker, report in _reports(workers, answers):
        mine = WorkerPool(**_fields(report), worker=worker.index, pid=worker.pid)
        found.setdefault(report.name, []).append(mine)
    return [
        PoolState(pool.name, pool.algorithm, tuple(found.get(pool.name, ())), silent)
        for pool in status.in_force.snapshot.pools
    ]


def backends(status: Status, answers: Answers) -> list[BackendDetails]:
    """Every backend of the configuration in force."""
    found: dict[tuple[str, str], list[WorkerBackend]] = {}
    for worker, pool in _reports(status.fleet.status(), answers):
        for backend in pool.backends:
            mine = WorkerBackend(
                **asdict(backend), circuit=pool.circuit, worker=worker.index, pid=worker.pid
            )
            found.setdefault((pool.name, backend.address), []).append(mine)
    details = []
    for name, address, state in status.backends():
        seen = found.get((name, address), [])
        details.append(
            BackendDetails(
                name,
                address,
                state,
                sum(each.inflight for each in seen),
                sum(each.connections for each in seen),
                tuple(seen),
            )
        )
    return details


def routes(snapshot: Snapshot) -> list[tuple[int, Route]]:
    """The routes with their places, in the order in which they are looked for, which is that of
    `core.policy.route`; of ten thousand it takes some ten milliseconds."""
    return sorted(enumerate(snapshot.routes), key=_precedence)


def compiled(rank: int, place: int, route: Route) -> CompiledRoute:
    """One of them, in full."""
    kinds = ("allow", "deny", "rate_limit", "cors", "mirror", "compression", "security_headers")
    return CompiledRoute(
        rank=rank,
        place=place,
        id=route.id,
        host=route.host,
        match=("exact", "suffix", "any")[_kind(route.host)],
        path_prefix=route.path_prefix,
        methods=route.methods,
        headers=tuple(f"{name}: {value}" for name, value in route.headers),
        pools={share.pool: share.weight for share in route.pools},
        redirect=None if route.redirect is None else route.redirect.to,
        policies=tuple(kind for kind in kinds if getattr(route, kind)),
    )


def processes(
    status: Status,
    answers: Answers,
    accounts: Mapping[int, Account],
    own_lag: Lag,
    lags: Mapping[int, Lag],
) -> Processes:
    """The daemon and every worker."""
    pid = os.getpid()
    account = accounts.get(pid, Account())
    collector = gc.get_stats()
    daemon = Process(
        name="daemon",
        pid=pid,
        state="serving",
        config_version=status.in_force.snapshot.version,
        connections=0,
        lag=own_lag,
        memory_bytes=account.memory_bytes,
        cpu_s=account.cpu_s,
        descriptors=account.descriptors,
        threads=threading.active_count(),
        collections=tuple(each["collections"] for each in collector),
        collected=tuple(each["collected"] for each in collector),
        uncollectable=tuple(each["uncollectable"] for each in collector),
        reactor="",
        is_silent=False,
    )
    workers = tuple(
        _worker(worker, answers, accounts, lags.get(worker.pid, Lag(0, 0.0, 0.0, 0.0)))
        for worker in status.fleet.status()
    )
    return Processes(daemon, workers)


def accounts(pids: Iterable[int]) -> dict[int, Account]:
    """What the system accounts to each process; to be called in a thread."""
    found = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                found[pid] = Account(
                    process.memory_info().rss,
                    round(times.user + times.system, 3),
                    process.num_fds(),
                    process.num_threads(),
                )
        except psutil.Error:
            continue  # it has just ended
    return found


def _worker(
    worker: WorkerStatus, answers: Answers, accounts: Mapping[int, Account], lag: Lag
) -> Process:
    answer = answers.get(worker.pid)
    account = accounts.get(worker.pid, Account())
    told = answer.process if answer is not None else None
    return Process(
        name=f"worker {worker.index}",
        pid=worker.pid,
        state=worker.state.value,
        config_version=told.version if told else worker.version,
        connections=told.connections if told else worker.connections,
        lag=lag,
        memory_bytes=account.memory_bytes,
        cpu_s=account.cpu_s,
        descriptors=account.descriptors,
        threads=told.threads if told else account.threads,
        collections=told.collections if told else (),
        collected=told.collected if told else (),
        uncollectable=told.uncollectable if told else (),
        reactor=told.reactor if told else "",
        is_silent=told is None,
    )


def _reports(
    workers: Sequence[WorkerStatus], answers: Answers
) -> Iterator[tuple[WorkerStatus, PoolReport]]:
    for worker in workers:
        if worker.pid in answers:
            for report in answers[worker.pid].pools:
                yield worker, report


def _fields(report: PoolReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in PoolReport.__dataclass_fields__}


def _kind(host: str) -> int:
    return 2 if host == "*" else 1 if host.startswith("*.") else 0


def _precedence(each: tuple[int, Route]) -> tuple[int, int, str, int, int]:
    place, route = each
    kind = _kind(route.host)
    host = route.host.lower().rstrip(".")
    prefix = route.path_prefix.rstrip("/")
    return kind, -len(host) if kind == 1 else 0, host, -len(prefix.encode()), place
