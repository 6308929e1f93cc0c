"""Tells how pools and their backends stand with this worker, when somebody asks."""

from collections.abc import Iterable, Iterator

from veloflux.core.model.report import MAX_BACKENDS, BackendReport, PoolReport
from veloflux.core.policy.choose import Standing
from veloflux.edge.backend import Backend
from veloflux.edge.pool import Pool


def reports(pools: Iterable[Pool], now: float) -> Iterator[PoolReport]:
    """Each pool's, with MAX_BACKENDS backends in all; nothing changes by it."""
    room = MAX_BACKENDS
    for pool in pools:
        found = _report(pool, now, room)
        room -= len(found.backends)
        yield found


def _report(pool: Pool, now: float, room: int) -> PoolReport:
    choice = pool.chooser.explain(now=now)
    breaker = pool.breaker
    return PoolReport(
        name=pool.name,
        algorithm=pool.model.algorithm,
        reason=choice.reason,
        next=choice.backend,
        waiting=0 if pool.queue is None else len(pool.queue),
        circuit="" if breaker is None else breaker.state,
        circuit_closes_in_s=0.0 if breaker is None else round(breaker.retry_after_s(now), 3),
        backends=tuple(
            _backend(pool.backends[standing.backend], standing, now)
            for standing in choice.standings[:room]
        ),
        left_out=max(len(choice.standings) - room, 0),
    )


def _backend(backend: Backend, standing: Standing, now: float) -> BackendReport:
    latency = backend.latency
    return BackendReport(
        address=backend.name,
        why_not=standing.why_not,
        weight=standing.weight,
        load=standing.load,
        score=standing.score,
        inflight=backend.inflight,
        connections=backend.connections,
        idle=len(backend.idle),
        is_healthy=not backend.is_unhealthy,
        is_failing=backend.is_failing,
        ejected_for_s=round(max(backend.ejection.until - now, 0.0), 3),
        latency_s=round(latency.value(now), 6) if latency.is_known else None,
    )
