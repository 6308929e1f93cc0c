"""Which part of the daemon works, and which does not?"""

from dataclasses import dataclass
from datetime import UTC, datetime

from veloflux.control.services.alerts.conditions import DAY_S, LAG_S, SOON_DAYS, Facts
from veloflux.control.services.alerts.watch import Watch
from veloflux.control.services.status import Condition, Status


@dataclass(frozen=True, slots=True)
class Component:
    """One part; `detail` says what is wrong, or what there is."""

    status: Condition
    detail: str


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of this node. One that is not used is healthy, and says so."""

    workers: Component
    store: Component
    cluster: Component
    checks: Component
    certificates: Component
    reactor_lag: Component


@dataclass(frozen=True, slots=True)
class Health:
    """The node's condition, as `/health` says it, and that of every part."""

    status: Condition
    timestamp: datetime
    components: Components


def health(status: Status, watch: Watch) -> Health:
    """How all parts are now."""
    facts = watch.facts()
    parts = Components(
        workers=_workers(status),
        store=_store(facts),
        cluster=Component("healthy", "This node is alone."),
        checks=_checks(status),
        certificates=_certificates(facts),
        reactor_lag=_lag(facts),
    )
    return Health(status.condition(), datetime.fromtimestamp(facts.now, UTC), parts)


def _workers(status: Status) -> Component:
    serving, wanted = status.serving, status.in_force.workers
    detail = f"{serving} of {wanted} serve; {status.fleet.restarts} died since the start."
    if not serving:
        return Component("unhealthy", detail)
    return Component("degraded" if serving < wanted else "healthy", detail)


def _store(facts: Facts) -> Component:
    if facts.store_fault:
        return Component("unhealthy", facts.store_fault)
    return Component("healthy", "It can be read and written.")


def _checks(status: Status) -> Component:
    counts = status.health()
    states = [state for *_, state in status.backends()]
    down = states.count("unhealthy") + states.count("ejected")
    detail = (
        f"{len(states) - down} of {len(states)} backends can be used; "
        f"{counts.failed_checks} of {counts.total_checks} checks failed."
    )
    empty = status.empty_pools()
    if empty:
        return Component("unhealthy", f"{detail} Without a backend: {', '.join(empty[:10])}.")
    return Component("degraded" if down else "healthy", detail)


def _certificates(facts: Facts) -> Component:
    if not facts.certificates:
        return Component("healthy", "No listener has TLS.")
    first = min(facts.certificates, key=lambda each: each.not_after)
    left = (first.not_after - facts.now) / DAY_S
    if left <= 0:
        return Component("unhealthy", f"That of {first.name} has expired.")
    detail = f"The first to expire is that of {first.name}, in {left:.1f} days."
    return Component("degraded" if left < SOON_DAYS else "healthy", detail)


def _lag(facts: Facts) -> Component:
    late = [name for name, seconds in facts.lags if seconds >= LAG_S]
    worst = max((seconds for _, seconds in facts.lags), default=0.0)
    detail = f"Of a hundred timers 99 are at most {worst * 1e3:.0f} ms late."
    if late:
        return Component("degraded", f"{detail} Too late: {', '.join(late)}.")
    return Component("healthy", detail)
