"""What pools do about backends that misbehave."""

from collections.abc import Iterator

from veloflux.config.pools import Pool
from veloflux.config.problem import Finding
from veloflux.config.section import Section
from veloflux.config.wording import Loc, quote
from veloflux.core.policy.balance.algorithms import KEYED

_BY_FAILURES = frozenset(("min_requests", "window", "open", "probes"))


def holding(pool: Pool, loc: Loc) -> Iterator[Finding]:
    """Check one pool: keys without effect, and deadlines that contradict each other."""
    if pool.hash_on != "client_ip" and pool.algorithm not in KEYED:
        yield Finding(
            (*loc, "hash_on"),
            f"has no effect with {pool.algorithm}; leave it out, or write algorithm: "
            f"{' or '.join(sorted(KEYED))}",
            "advice",
        )
    if pool.backends and all(backend.backup for backend in pool.backends):
        yield Finding(
            (*loc, "backends"),
            f"all of {quote(pool.name)} are backups; leave backup out of those used first",
            "advice",
        )
    yield from _times(pool, loc)
    yield from _outliers(pool, (*loc, "outlier_detection"))
    yield from _retries(pool, (*loc, "retries"))
    yield from _breaker(pool, (*loc, "circuit_breaker"))


def _times(pool: Pool, loc: Loc) -> Iterator[Finding]:
    times = pool.timeouts
    if 0 < times.total < times.connect:
        yield Finding(
            (*loc, "timeouts", "total"),
            "is shorter than connect, which it ends too; raise it, or shorten connect",
            "advice",
        )


def _outliers(pool: Pool, loc: Loc) -> Iterator[Finding]:
    detection = pool.outlier_detection
    if detection is None:
        return
    if detection.max_ejection < detection.base_ejection:
        yield Finding(
            (*loc, "max_ejection"),
            "is shorter than base_ejection, so no ejection is that long; raise it",
            "advice",
        )
    if not detection.max_ejected_percent:
        yield Finding(
            (*loc, "max_ejected_percent"),
            "is 0: no backend is ever ejected; write outlier_detection: null if that is meant",
            "advice",
        )


def _retries(pool: Pool, loc: Loc) -> Iterator[Finding]:
    retries = pool.retries
    given = retries.model_fields_set
    if not retries.attempts:
        for key in sorted(_changed(retries) - {"attempts"}):
            yield Finding((*loc, key), "has no effect with attempts: 0; leave it out", "advice")
    elif retries.max_backoff < retries.backoff:
        key = "max_backoff" if "max_backoff" in given else "backoff"
        yield Finding(
            (*loc, key), "backoff is longer than max_backoff, which bounds it; raise that", "advice"
        )
    elif not retries.budget_percent and not retries.min_per_second:
        yield Finding(
            (*loc, "budget_percent"),
            "is 0, and min_per_second too: nothing that a backend may have seen is retried",
            "advice",
        )


def _breaker(pool: Pool, loc: Loc) -> Iterator[Finding]:
    breaker = pool.circuit_breaker
    if breaker is None or breaker.error_percent:
        return
    for key in sorted(_changed(breaker) & _BY_FAILURES):
        yield Finding(
            (*loc, key), "has no effect without error_percent, such as 50; write that", "advice"
        )


def _changed(section: Section) -> set[str]:
    """Keys that ask for something: their defaults may be written anywhere, as in an example."""
    plain = type(section)()
    return {key for key in section.model_fields_set if getattr(section, key) != getattr(plain, key)}
