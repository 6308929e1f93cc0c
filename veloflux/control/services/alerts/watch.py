"""Looks every few seconds at how things are, and has the alerts follow."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from veloflux.control.services.alerts.alerts import Alerts
from veloflux.control.services.alerts.conditions import Facts, conditions
from veloflux.control.services.analytics.analytics import Analytics
from veloflux.control.services.certificates import Certificates
from veloflux.control.services.lag import Lags
from veloflux.control.services.status import Status
from veloflux.control.store.measured import Measured
from veloflux.core.policy.burn import RULES, Counts

LOOK_S = 5.0
# Workers that died so long ago are no news.
DEATHS_S = 600.0
# Samples of a loop's lag: of fewer, 99 % are all of them, and the start is always slow.
_ENOUGH = 100
# Of why a configuration was refused.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Sources:
    """Where facts come from; `refused` says why the last configuration was not taken, empty when it
    was, and `drift` how the file differs from what is in force. `wall` gives Unix time."""

    status: Status
    analytics: Analytics
    certificates: Certificates
    lags: Lags
    store: Measured
    refused: Callable[[], Sequence[str]]
    drift: Callable[[], str]
    wall: Callable[[], float]


class Watch:
    """Looks from `start` to `stop`."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, alerts: Alerts, sources: Sources) -> None:
        self._clock = clock
        self._alerts = alerts
        self._sources = sources
        self._deaths: deque[tuple[float, int]] = deque()
        self._look = LoopingCall(self.look)
        self._look.clock = clock

    def start(self) -> None:
        """Look from now on."""
        self._recent_deaths()  # who dies from here on is news
        self._look.start(LOOK_S, now=False)

    async def stop(self) -> None:
        """Look no more, and store the rest."""
        if self._look.running:
            self._look.stop()
        await self._alerts.save()

    def look(self) -> None:
        """Look once."""
        try:
            self._alerts.look(conditions(self.facts(), self._alerts.keys))
        except Exception:
            # A fault in looking must not end it: what is wrong later is told all the same.
            self._log.failure("looking for what is wrong failed")

    def facts(self) -> Facts:
        """How things are now."""
        sources = self._sources
        status = sources.status
        indices = {worker.pid: worker.index for worker in status.fleet.status()}
        lags = [("the daemon", sources.lags.own())]
        for pid, lag in sources.lags.workers().items():
            if pid in indices:
                lags.append((f"worker {indices[pid]}", lag))
        return Facts(
            now=sources.wall(),
            backends=status.backends(),
            empty=status.empty_pools(),
            windows=[
                (rule, self._counts(rule.long_s), self._counts(rule.short_s)) for rule in RULES
            ],
            certificates=sources.certificates.found,
            lags=[(name, lag.p99) for name, lag in lags if lag.samples >= _ENOUGH],
            store_fault=sources.store.fault,
            deaths=self._recent_deaths(),
            refused=_first(sources.refused()),
            drift=sources.drift(),
        )

    def _counts(self, seconds: int) -> Counts:
        total = self._sources.analytics.total(seconds)
        return Counts(total.requests, total.errors)

    def _recent_deaths(self) -> int:
        now, died = self._clock.seconds(), self._sources.status.fleet.restarts
        self._deaths.append((now, died))
        while self._deaths[0][0] < now - DEATHS_S:
            self._deaths.popleft()
        return died - self._deaths[0][1]


def _first(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more
