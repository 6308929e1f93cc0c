"""The composition root: builds every object of the daemon and gives each what it needs.

It is called before twistd leaves the terminal, the working directory and its privileges. So the
configuration's errors and an occupied port are told where the operator looks, and ports below
1024 can be bound for a daemon that will run as somebody else.
"""

import atexit
import os
import resource
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from veloflux import logs
from veloflux.config.reader import Reader
from veloflux.config.written import Document, open_file
from veloflux.control.api.allowance import Allowance
from veloflux.control.api.app import admin_site, metrics_site
from veloflux.control.api.call import Frame
from veloflux.control.api.endpoint import Services
from veloflux.control.api.guard import Guard
from veloflux.control.api.idempotency import Idempotency
from veloflux.control.api.site import AdminSite
from veloflux.control.api.upgrade import Streams
from veloflux.control.daemon import own_families
from veloflux.control.metrics import Families, Metrics
from veloflux.control.observatory import Observatory, store_observer
from veloflux.control.services.audit_log import AuditLog
from veloflux.control.services.backup import Backup
from veloflux.control.services.configuration.burn import Counts
from veloflux.control.services.configuration.configuration import Configuration
from veloflux.control.services.configuration.drift import Drift
from veloflux.control.services.configuration.proposal import Proposer
from veloflux.control.services.configuration.transactions import Transactions
from veloflux.control.services.drains import Drains
from veloflux.control.services.explaining import Explainer
from veloflux.control.services.feed import Feed
from veloflux.control.services.identity.people import people
from veloflux.control.services.identity.upkeep import Upkeep
from veloflux.control.services.principal import Principal
from veloflux.control.services.rest import Rest
from veloflux.control.services.status import Status
from veloflux.control.services.tickets import Tickets
from veloflux.control.source import Source, open_store
from veloflux.control.store.measured import Measured
from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.thread import Thread
from veloflux.control.streams.credentials import StreamCredentials
from veloflux.control.streams.server import Watchers
from veloflux.control.streams.topics import topics
from veloflux.core.model.address import Address
from veloflux.core.model.metrics import HEALTH_CHECK_DURATION
from veloflux.core.model.node import Admin, Node
from veloflux.core.model.tls import ListenerTls
from veloflux.core.policy.reach import Reach
from veloflux.edge import names
from veloflux.edge.cover import Cover
from veloflux.edge.terms import Terms
from veloflux.fleet.bind import ListenError
from veloflux.fleet.daemon import Daemon
from veloflux.fleet.notify import Notify
from veloflux.fleet.probes import Probes
from veloflux.fleet.process import Processes
from veloflux.fleet.renewal import Renewal
from veloflux.fleet.rollout import Rollout
from veloflux.fleet.secret import node_secret
from veloflux.fleet.sockets import Sockets
from veloflux.fleet.supervisor import Supervisor

# More would only make descriptor tables large.
_DESCRIPTORS = 1_048_576
# For the log's last lines, when its destination stands still.
_LAST_LINES_S = 1.0
# For the store to close, when its disk stands still.
_CLOSING_S = 5.0

# A quarter of a processor that a worker wants as well (sched(7), on niceness).
_NICENESS = 5

_log = Logger()
_Result = TypeVar("_Result")


def build(reactor: Any, path: str) -> Daemon:
    """Build the daemon that the file at `path` describes, with its sockets bound.

    Raises ConfigError, ListenError and StoreError.
    """
    path = os.path.abspath(path)
    database = Thread(reactor)
    environ = os.environ.copy()
    reader = Reader(os.path.dirname(path), environ, keeps=True)
    opening, store = open_store(path, reader, environ, database, time.time())  # noqa: TID251  # the root knows it
    for warning in opening.loaded.warnings:
        _log.warn("{warning}", warning=warning)
    node = opening.loaded.node
    _raise_descriptor_limit()

    def in_thread(work: Callable[[], _Result]) -> Deferred[_Result]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    def aside(work: Callable[[], _Result]) -> Deferred[_Result]:
        return in_thread(lambda: _yielding(work))

    remembered = names.install(reactor)
    sockets = Sockets()
    sockets.bind([listener.address for listener in node.snapshot.listeners], node.workers)
    processes = Processes(reactor, lambda: rollout.node.log_level)
    supervisor = Supervisor(reactor, processes, sockets, aside)
    rollout = Rollout(node, supervisor, time.time)  # noqa: TID251  # the root knows it
    measured = Measured(store, reactor.seconds, store_observer(lambda: metrics))
    configuration = Configuration(
        opening,
        measured,
        Proposer(reader, opening.bootstrap),
        rollout,
        lambda: open_file(path),
        aside,
        time.time,  # noqa: TID251  # as above
    )

    def checked(pool: str, backend: str, ok: bool, took_s: float) -> None:
        metrics.observe(HEALTH_CHECK_DURATION, (pool, backend), took_s)

    luck = Random().random  # noqa: S311  # it spreads load, and guards no secret
    probes = Probes(reactor, supervisor.mark, checked, luck)
    status = Status(supervisor, probes, reactor.seconds, time.time)  # noqa: TID251  # as above

    def own() -> Callable[[], Families]:
        return own_families(status, observatory.certificates.found, observatory.alerts.open)

    metrics = Metrics(own, in_thread)
    observatory = Observatory(
        reactor,
        measured,
        node.data_dir,
        supervisor,
        status,
        metrics,
        time.time,  # noqa: TID251  # as above
        in_thread,
        refused=lambda: rollout.last.problems,
        drift=configuration.drift,
    )
    supervisor.on_tally.append(metrics.merge)
    supervisor.on_worker_gone.append(metrics.forget)

    def applied(node: Node) -> None:
        snapshot = replace(node.snapshot, version=supervisor.version)
        remembered.reach = Reach(snapshot.backend_networks, snapshot.own_addresses)
        probes.configure(snapshot)
        metrics.configure(snapshot)
        observatory.configure(snapshot)
        status.applied(snapshot, node.workers, configuration.current().entry.digest)
        console.renew(node.admin)

    rollout.on_applied.append(applied)
    rollout.on_refused.append(status.refused)

    known = people(measured, in_thread, time.time, reactor.seconds)  # noqa: TID251  # as above
    audit = AuditLog(measured, time.time, reactor.seconds)  # noqa: TID251  # as above

    def document() -> Document:
        return configuration.current().document

    feed = Feed(topics(observatory, document), reactor, time.time)  # noqa: TID251  # as above
    tickets: Tickets[Principal] = Tickets(reactor.seconds)
    drains = Drains(configuration, measured, reactor, time.time)  # noqa: TID251  # as above
    transactions = Transactions(
        configuration,
        measured,
        reactor,
        time.time,  # noqa: TID251  # as above
        lambda: Counts.of(observatory.analytics.series.since_start().total),
        lambda: Counts.of(observatory.analytics.last(60).total),
    )
    services = Services(
        status,
        metrics,
        observatory,
        known,
        audit,
        feed,
        tickets,
        configuration,
        drains,
        transactions,
        Explainer(in_thread, luck, reactor.seconds),
        Rest(rollout, supervisor, time.time),  # noqa: TID251  # as above
        Backup(configuration, [known.saved], measured, in_thread, time.time),  # noqa: TID251  # as above
    )

    def unlock() -> None:
        supervisor.secret = node_secret(node.data_dir)
        known.operator.configure(node.admin, node.data_dir, supervisor.secret)

    renewal = Renewal(reactor, rollout, in_thread, lambda: datetime.now(UTC))
    upkeep = Upkeep(
        reactor, known.signing.rotate, known.sweep_sessions, known.sweep_keys, audit.sweep
    )
    credentials = StreamCredentials(known.identity)
    watchers = Watchers(feed, credentials, reactor, time.time)  # noqa: TID251  # as above
    drift = Drift(reactor, path, configuration.look, in_thread)
    console = _Console(
        reactor,
        probes,
        unlock,
        renewal,
        observatory,
        store,
        database,
        upkeep,
        watchers,
        drains,
        drift,
        transactions,
    )
    frame = Frame(
        services,
        Guard(known.identity),
        Allowance(reactor.seconds),
        in_thread,
        Idempotency(measured, time.time),  # noqa: TID251  # as above
        audit,
    )
    streams = Streams(feed.topics, watchers, tickets)
    site = admin_site(reactor, node.admin, frame, socket.gethostname(), streams)
    console.serve("the admin API is on", node.admin.address, site, node.admin.tls)
    if node.metrics_address is not None:
        console.serve("metrics are on", node.metrics_address, metrics_site(reactor, frame))
    atexit.register(_end)
    source = Source(configuration, drains, transactions)
    return Daemon(reactor, supervisor, rollout, source, console, Notify(os.environ), _fail)


class _Console:
    """What runs beside the workers: the admin listener, which comes first, that for metrics, the
    checks, the store, what is observed and who watches it, and looking for certificates that were
    replaced."""

    def __init__(
        self,
        reactor: Any,
        probes: Probes,
        unlock: Callable[[], None],
        renewal: Renewal,
        observatory: Observatory,
        store: SqliteStore,
        database: Thread,
        upkeep: Upkeep,
        watchers: Watchers,
        drains: Drains,
        drift: Drift,
        transactions: Transactions,
    ) -> None:
        self._reactor = reactor
        self._renewal = renewal
        self._drift = drift
        self._probes = probes
        self._unlock = unlock
        self._observatory = observatory
        self._store = store
        self._database = database
        self._upkeep = upkeep
        self._watchers = watchers
        self._drains = drains
        self._transactions = transactions
        self._sockets = Sockets()
        self._served: list[tuple[str, Address, AdminSite | Cover]] = []
        self._secured: Cover | None = None
        self._ports: list[Any] = []

    def serve(
        self, words: str, address: Address, site: AdminSite, tls: ListenerTls | None = None
    ) -> None:
        """Bind an address for a site, which `start` serves; raises ListenError."""
        self._sockets.bind([*(served for _, served, _ in self._served), address], 1)
        if tls is None:
            self._served.append((words, address, site))
            return
        try:
            self._secured = Cover(self._reactor, site, _terms(tls))
        except ValueError as error:
            raise ListenError(f"admin.tls: {error}") from error
        self._served.append((words, address, self._secured))

    def renew(self, admin: Admin) -> None:
        """Take the admin listener's files as they are by now."""
        secured = self._secured
        if secured is None or admin.tls is None or secured.terms.model == admin.tls:
            return
        try:
            secured.take(_terms(admin.tls))
        except ValueError as error:
            _log.error("admin.tls: {error}; what was there before is used on", error=error)

    def start(self) -> None:
        self._database.start()
        self._unlock()
        self._sockets.listen()
        self._renewal.start()
        self._observatory.start(str(self._sockets.actual(self._served[0][1])))
        self._upkeep.start()
        self._drift.start()
        for words, address, site in self._served:
            sock = self._sockets.of(address, 0)
            self._ports.append(self._reactor.adoptStreamPort(sock.fileno(), sock.family, site))
            scheme = "https" if site is self._secured else "http"
            actual = self._sockets.actual(address)
            _log.info("{words} {scheme}://{at}", words=words, scheme=scheme, at=actual)

    async def stop(self) -> None:
        self._probes.stop()
        self._renewal.stop()
        self._drift.stop()
        self._upkeep.stop()
        for port in self._ports:
            await port.stopListening()
        self._watchers.stop()
        self._sockets.close()
        await self._observatory.stop()
        # Not for ever: what was promised is on the disk, and what was not may go.
        closing = Deferred.fromCoroutine(self._store.close())
        await closing.addTimeout(_CLOSING_S, self._reactor)
        self._database.stop()


def _terms(tls: ListenerTls) -> Terms:
    """The admin listener's; raises ValueError for what OpenSSL refuses."""
    made = Terms(tls, "admin", is_http=True)
    deque(made.build(), maxlen=0)
    return made


def _yielding(work: Callable[[], _Result]) -> _Result:
    """Do it at a low priority: the workers may have no other processor, and a large configuration
    takes seconds. In a thread of its own, for none may take its priority back."""
    with ThreadPoolExecutor(1, initializer=_yield_to_workers) as thread:
        return thread.submit(work).result()


def _yield_to_workers() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _raise_descriptor_limit() -> None:
    """Use as many descriptors as the system grants; workers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _log.info(
            "raised the limit of open files from {soft} to {wanted}", soft=soft, wanted=wanted
        )


def _fail() -> None:
    """Make the process end with exit code 1, which twistd has no way to ask for.

    Registered last, it runs first; what other functions would do at exit is not missed.
    """
    atexit.register(_end, 1)


def _end(code: int | None = None) -> None:
    """Let the log be written. The interpreter's own end would wait for its thread for ever."""
    is_written = logs.flush(_LAST_LINES_S)
    if code is not None or not is_written:
        os._exit(code or 0)
