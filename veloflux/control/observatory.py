"""All by which the daemon knows itself, put together: analytics, journal, alerts, tail, figures."""

import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from veloflux import logs
from veloflux.config.written import Document
from veloflux.control.metrics import Metrics
from veloflux.control.services import tail
from veloflux.control.services.alerts.alerts import Alerts
from veloflux.control.services.alerts.watch import Sources, Watch
from veloflux.control.services.analytics.analytics import Analytics
from veloflux.control.services.analytics.series import MINUTE_S
from veloflux.control.services.backends import Backends
from veloflux.control.services.certificates import Certificates
from veloflux.control.services.host import Description, Host, describe, node_id
from veloflux.control.services.journal import Journal
from veloflux.control.services.lag import Lags
from veloflux.control.services.status import Status
from veloflux.control.store.measured import Measured
from veloflux.core.model import metrics as families
from veloflux.core.model.metrics import Sample, Tally
from veloflux.core.model.traffic import Snapshot
from veloflux.fleet.inquiry import Answers

SAMPLE_S = 5.0
# For the last of what was counted to be stored, when the disk stands still.
_STOP_S = 5.0


class Fleet(tail.Fleet, Protocol):
    """The worker processes."""

    on_tally: list[Callable[[int, Tally], None]]
    on_worker_gone: list[Callable[[int], None]]
    on_lines: list[Callable[[int, tuple[str, ...], int], None]]

    def ask(self) -> Deferred[Answers]:
        """Fires with what the workers say of themselves."""


class Observatory:
    """Observes from `start` to `stop`. `wall` gives Unix time.

    `refused` says why the last configuration was not taken, and `drift` how the file differs from
    what is in force; both are empty when all is well.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        store: Measured,
        data_dir: str,
        fleet: Fleet,
        status: Status,
        metrics: Metrics,
        wall: Callable[[], float],
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        refused: Callable[[], Sequence[str]] = tuple,
        drift: Callable[[], str] = str,
    ) -> None:
        self.status = status
        self.store = store
        self.fleet = fleet
        self.wall = wall
        self.analytics = Analytics(reactor, store, wall, in_thread)
        self.journal = Journal(reactor, store, wall)
        self.lags = Lags(reactor, lambda late: metrics.observe(families.CONTROL_LAG, (), late))
        self.certificates = Certificates(in_thread)
        self.alerts = Alerts(store, reactor.seconds, wall, lambda: secrets.token_hex(8))
        self.tail = tail.Tail(fleet)
        self.host = Host(data_dir)
        sources = Sources(
            status,
            self.analytics,
            self.certificates,
            self.lags,
            store,
            refused,
            drift,
            wall,
        )
        self.watch = Watch(reactor, self.alerts, sources)
        self.in_thread = in_thread
        self.address = ""
        self.description: Description | None = None
        self._reactor = reactor
        self._metrics = metrics
        self._data_dir = data_dir
        self._sample = LoopingCall(self._look)
        self._sample.clock = reactor
        self._hear_no_more: Callable[[], None] = lambda: None
        fleet.on_tally += [self.analytics.series.merge, self.lags.merge]
        fleet.on_worker_gone += [self.analytics.series.forget, self.lags.forget]
        fleet.on_lines.append(self.tail.heard)

    def configure(self, snapshot: Snapshot) -> None:
        """Take the configuration in force."""
        self.certificates.configure(snapshot)

    def start(self, address: str) -> None:
        """Observe from now on; `address` is where the admin API is. Raises OSError or ValueError
        for a node's id that cannot be read."""
        self.address = address
        self.status.node_id = node_id(self._data_dir, lambda: secrets.token_hex(16))
        self.description = describe(self.status.node_id, self._data_dir)
        self._hear_no_more = logs.listen(self.journal)
        self.journal.start()
        self.analytics.start()
        self.lags.start()
        self.watch.start()
        self._sample.start(SAMPLE_S, now=True)

    async def stop(self) -> None:
        """Observe no more, and store the rest, but not for ever."""
        if self._sample.running:
            self._sample.stop()
        self.lags.stop()
        rest = Deferred.fromCoroutine(self._store_rest()).addTimeout(_STOP_S, self._reactor)
        try:
            await rest
        except Exception:
            # The disk's fault must not keep the daemon from ending.
            self._log.failure("what was observed last could not be stored")
        self._hear_no_more()

    async def _store_rest(self) -> None:
        await self.watch.stop()
        await self.analytics.stop()
        await self.journal.stop()

    async def backends(self, document: Document) -> Backends:
        """What is known of all backends now; `document` is the configuration in force."""
        return Backends(
            document,
            self.status,
            self._metrics,
            await self.fleet.ask(),
            self.analytics.last(MINUTE_S),
            self.wall(),
        )

    def pids(self) -> tuple[int, ...]:
        """The daemon's, and those of its workers."""
        return (os.getpid(), *(worker.pid for worker in self.status.fleet.status() if worker.pid))

    def _look(self) -> Deferred[None]:
        """The next look waits for this one: a disk that hangs holds one thread, not all."""
        return ensureDeferred(self._ask_host(self.pids()))

    async def _ask_host(self, pids: tuple[int, ...]) -> None:
        try:
            await self.in_thread(lambda: self.host.sample(pids))
        except OSError as error:
            self._log.debug("the machine cannot be measured: {error}", error=error)


def store_observer(metrics: Callable[[], Metrics]) -> Callable[[str, float, bool], None]:
    """What tells the metrics of the store's operations."""

    def observe(operation: str, seconds: float, is_good: bool) -> None:
        metrics().observe(families.STORE_DURATION, (operation,), seconds)
        if not is_good:
            metrics().add(Sample(families.STORE_ERRORS.name, (operation,), 1.0))

    return observe
