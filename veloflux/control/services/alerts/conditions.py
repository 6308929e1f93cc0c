"""What is wrong at the moment? Facts in, conditions out; nothing is remembered.

Some conditions turn on at one bound and off at another, so that what hovers at one is not told
again and again: whoever asks says which are on.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from veloflux.control.services.certificates import Certificate
from veloflux.control.services.status import BackendState
from veloflux.core.policy.burn import BUDGET, Counts, Rule, burning

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

DAY_S = 24 * 3600.0
# Days before a certificate's end.
SOON_DAYS, VERY_SOON_DAYS = 14, 3
# Seconds that 99 % of a loop's samples are not over: from where it is told, and to where it is not.
LAG_S, LAG_OVER_S = 0.25, 0.1
# Workers that died lately, from which on it is grave.
MANY_DEATHS = 5
# Alerts of one kind that are told one by one; of more only how many.
MAX_EACH = 50


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong; the same `key` is the same thing.

    `holds_s` is for how long it must last until it is told, `clears_s` for how long it must be gone
    until it is over.
    """

    key: str
    severity: Severity
    title: str
    message: str
    source: str
    holds_s: float = 0.0
    clears_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Facts:
    """How things are.

    `backends` are pool, address and state; `empty` are the pools that nothing can be sent to.
    `windows` are the requests of each rule's long and short window. `lags` are the seconds that
    99 % of a loop's samples were not over, by its name. `deaths` are the workers that died in the
    last minutes. `refused` is why the last configuration was not taken, empty if it was, and
    `drift` how the file differs from what is in force. `now` is Unix time.
    """

    now: float
    backends: Sequence[tuple[str, str, BackendState]] = ()
    empty: Sequence[str] = ()
    windows: Sequence[tuple[Rule, Counts, Counts]] = ()
    certificates: Sequence[Certificate] = ()
    lags: Sequence[tuple[str, float]] = ()
    store_fault: str = ""
    deaths: int = 0
    refused: str = ""
    drift: str = ""


def conditions(facts: Facts, are_on: Collection[str] = ()) -> Iterator[Condition]:
    """Everything that is wrong; `are_on` are the keys of what was before."""
    yield from _backends(facts)
    yield from _pools(facts)
    yield from _burn(facts)
    yield from _certificates(facts)
    yield from _lags(facts, are_on)
    yield from _daemon(facts)


def _backends(facts: Facts) -> Iterator[Condition]:
    down = [each for each in facts.backends if each[2] in ("unhealthy", "ejected")]
    for pool, address, state in down[:MAX_EACH]:
        if state == "unhealthy":
            title = f"Backend {address} is down"
            message = f"Its health checks fail, and pool {pool} sends it nothing."
        else:
            title = f"Backend {address} is ejected"
            message = f"Too many requests failed on it; pool {pool} leaves it out for a while."
        # By one key for both: a backend that fails is often found by one and then by the other.
        key = f"backend/{pool}/{address}"
        yield Condition(key, "warning", title, message, f"pool {pool}", clears_s=30.0)
    if len(down) > MAX_EACH:
        more = len(down) - MAX_EACH
        title = f"{more} more backends are down or ejected"
        yield Condition("backends", "critical", title, "The status lists them.", "pools")


def _pools(facts: Facts) -> Iterator[Condition]:
    for pool in facts.empty[:MAX_EACH]:
        message = "None of its backends can be used; requests for it fail with 503."
        title = f"Pool {pool} has no backend"
        yield Condition(f"pool/{pool}", "critical", title, message, f"pool {pool}")


def _burn(facts: Facts) -> Iterator[Condition]:
    found = burning(facts.windows)
    if found is not None:
        rule, rate = found
        message = (
            f"Requests fail {rate:.1f} times as often as an objective of {1 - BUDGET:.1%} allows, "
            f"for {_words(rule.short_s)} and over {_words(rule.long_s)}."
        )
        title = "Too many requests fail"
        yield Condition("burn", rule.severity, title, message, "traffic", clears_s=60.0)


def _certificates(facts: Facts) -> Iterator[Condition]:
    ends = sorted(facts.certificates, key=lambda each: each.not_after)
    for each in [each for each in ends if each.not_after - facts.now < SOON_DAYS * DAY_S][
        :MAX_EACH
    ]:
        left = each.not_after - facts.now
        until = datetime.fromtimestamp(each.not_after, UTC).strftime("%Y-%m-%d %H:%M UTC")
        where = f"listener {', '.join(each.listeners)}"
        if left <= 0:
            title, verb = f"The certificate of {each.name} has expired", "expired"
        else:
            title, verb = f"The certificate of {each.name} expires soon", "expires"
        severity: Severity = "critical" if left < VERY_SOON_DAYS * DAY_S else "warning"
        message = f"{each.path} {verb} on {until}; renew it."
        yield Condition(f"certificate/{each.path}", severity, title, message, where)


def _lags(facts: Facts, are_on: Collection[str]) -> Iterator[Condition]:
    for name, seconds in facts.lags:
        key = f"lag/{name}"
        if seconds >= (LAG_OVER_S if key in are_on else LAG_S):
            message = f"One timer in a hundred is {seconds * 1e3:.0f} ms late or later."
            title = f"The loop of {name} comes late"
            yield Condition(key, "warning", title, message, name, holds_s=30.0, clears_s=30.0)


def _daemon(facts: Facts) -> Iterator[Condition]:
    if facts.store_fault:
        title = "The store does not work"
        yield Condition("store", "critical", title, facts.store_fault, "store")
    if facts.deaths:
        severity: Severity = "critical" if facts.deaths >= MANY_DEATHS else "warning"
        title = "Workers died"
        message = f"In the last ten minutes, workers that died and were replaced: {facts.deaths}."
        yield Condition("deaths", severity, title, message, "workers")
    if facts.refused:
        title = "A configuration was refused"
        message = f"What was in force before stays: {facts.refused}"
        yield Condition("refused", "warning", title, message, "configuration", clears_s=0.0)
    if facts.drift:
        title = "The file differs from the configuration in force"
        yield Condition("drift", "info", title, facts.drift, "configuration", clears_s=0.0)


def _words(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"
