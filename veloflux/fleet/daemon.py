"""The daemon's life: it starts, reloads when asked, drains and stops.

Reading configuration, checking backends and answering on the admin listener go on until the last
worker is gone; only then is there nothing more to say.
"""

import signal
from collections.abc import Callable
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from veloflux import __version__, logs
from veloflux.core.model.node import Node
from veloflux.edge.direct import is_compiled
from veloflux.fleet.bind import ListenError
from veloflux.fleet.garbage import Garbage
from veloflux.fleet.messages import DRAIN_DEADLINE_S
from veloflux.fleet.notify import Notify
from veloflux.fleet.rollout import Rollout
from veloflux.fleet.signals import Signals
from veloflux.fleet.supervisor import RolloutError, Supervisor

# timeout(1) and others signal a process and then its group: that is one request, seen twice.
SAME_SIGNAL_S = 0.1


class StartError(Exception):
    """Something beside the workers cannot start."""


class Source(Protocol):
    """Where configurations come from."""

    async def start(self) -> None:
        """Bring the first into force; raises ListenError or RolloutError."""

    def reload(self) -> Deferred[None]:
        """Bring what the file says now into force, or say in the log why not."""


class Company(Protocol):
    """What runs beside the workers: the checks, the admin listener."""

    def start(self) -> None:
        """Begin, before the workers do; raises OSError or ValueError with the reason."""

    async def stop(self) -> None:
        """End, once the workers are gone."""


class Daemon(Service):
    """The service that twistd runs.

    `fail` is called when the start fails, and makes the process end with exit code 1.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        supervisor: Supervisor,
        rollout: Rollout,
        source: Source,
        company: Company,
        notify: Notify,
        fail: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._supervisor = supervisor
        self._rollout = rollout
        self._source = source
        self._company = company
        self._notify = notify
        self._fail = fail
        self._signals = Signals(
            reactor, stop=self._asked_to_stop, reload=self._reload, reopen=self._reopen
        )
        self._garbage = Garbage()
        self._asked_at: float | None = None
        self._has_started = False
        self._is_stopping = False
        rollout.on_applied.append(self._applied)

    def startService(self) -> None:
        """Start the workers; the log says when they serve."""
        super().startService()
        logs.limit(self._rollout.node.log_level)
        # When the loop runs, Twisted has installed its handlers, and ours replace them.
        self._reactor.callWhenRunning(self._signals.install)
        self._reactor.callWhenRunning(self._start)

    def stopService(self) -> Deferred[None]:
        """Drain: accept nothing more, let what is in flight finish, then end everything else."""
        super().stopService()
        self._is_stopping = True
        self._notify.stopping("draining")
        if self._has_started:
            self._log.info(
                "draining: what is in flight has {deadline:.0f} s to finish; "
                "a second signal ends it at once",
                deadline=DRAIN_DEADLINE_S,
            )
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._supervisor.drain(DRAIN_DEADLINE_S)
        try:
            await self._company.stop()
        except Exception:
            # A fault of theirs must not keep the process from ending.
            self._log.failure("stopping failed")
        self._log.info("all workers are gone")
        self._signals.deafen()

    def _start(self) -> None:
        if not self._is_stopping:
            Deferred.fromCoroutine(self._serve()).addErrback(self._failed)

    async def _serve(self) -> None:
        try:
            self._company.start()
        except (OSError, ValueError) as error:
            raise StartError(str(error)) from error
        await self._source.start()
        self._has_started = True
        node, status = self._rollout.node, self._supervisor.status()
        for listener in node.snapshot.listeners:
            self._log.info(
                "listening on {address} ({protocol})",
                address=self._supervisor.addresses[str(listener.address)],
                protocol=listener.protocol,
            )
        summary = (
            f"VeloFlux {__version__} serving: {_count(len(status), 'worker')}, "
            f"{_count(len(node.snapshot.listeners), 'listener')}, configuration "
            f"{node.snapshot.revision}"
        )
        self._log.info("{summary}", summary=summary)
        if not is_compiled:
            self._log.info(
                "connections are served by Python alone, which takes more of the processor: with a "
                "C compiler and Python's headers, installing VeloFlux compiles that part; "
                "VELOFLUX_PURE in the environment leaves it out"
            )
        self._notify.ready(summary)

    def _failed(self, failure: Failure) -> None:
        if self._is_stopping:
            return
        if failure.check(StartError, ListenError, RolloutError):
            self._log.critical("cannot start: {why}", why=failure.getErrorMessage())
        else:
            self._log.failure("cannot start", failure)
        self._fail()
        self._is_stopping = True
        self._reactor.stop()

    def _applied(self, node: Node) -> None:
        logs.set_level(node.log_level)
        self._supervisor.set_level(node.log_level)
        # A configuration can be a hundred thousand objects, and every second's tallies are a reason
        # for a collection.
        self._garbage.set_aside()

    def _asked_to_stop(self) -> None:
        now = self._reactor.seconds()
        if self._asked_at is None:
            self._asked_at = now
            if not self._is_stopping:
                self._reactor.stop()
                return
        elif now - self._asked_at < SAME_SIGNAL_S:
            # The loop may not have come to the first yet.
            return
        self._log.warn("told a second time to stop, so nothing more is waited for")
        self._supervisor.kill()

    def _reload(self) -> None:
        if self._is_stopping:
            return
        self._log.info("{signal}: reading the configuration again", signal=signal.SIGHUP.name)
        self._notify.reloading(self._reactor.seconds())
        self._reopen()
        self._source.reload().addBoth(self._reloaded)

    def _reloaded(self, result: object) -> None:
        if isinstance(result, Failure):
            self._log.failure("the reload failed", result)
        self._notify.ready(f"serving configuration {self._rollout.node.snapshot.revision}")

    def _reopen(self) -> None:
        self._log.info("log files are opened anew")
        self._supervisor.reopen()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
