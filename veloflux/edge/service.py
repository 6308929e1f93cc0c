"""The data plane of one worker, as its process drives it.

A snapshot comes in two steps: `prepare` builds all that it needs beside what serves now, and may
refuse; `commit` swaps, and cannot fail. Pools, backends and listeners that both snapshots have are
kept, with their connections and counts.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from twisted.internet.task import LoopingCall

from veloflux.core.model import metrics
from veloflux.core.model.metrics import LAG_BUCKETS, Distribution, Sample, Tally
from veloflux.core.model.report import PoolReport
from veloflux.core.model.traffic import AccessLog as AccessLogModel
from veloflux.core.model.traffic import Listener as ListenerModel
from veloflux.core.model.traffic import Snapshot
from veloflux.core.policy.limit import Memory
from veloflux.core.policy.reach import Reach
from veloflux.core.policy.route import Table
from veloflux.edge import names
from veloflux.edge.access_log import AccessLog
from veloflux.edge.board import Board
from veloflux.edge.histogram import Histogram
from veloflux.edge.lane import Lane
from veloflux.edge.lane import Tally as RouteTally
from veloflux.edge.line import combined_line, json_line
from veloflux.edge.listener import Listener, networks
from veloflux.edge.plane import Plane
from veloflux.edge.pool import Pool, rehearsal
from veloflux.edge.report import reports
from veloflux.edge.spread import Spread
from veloflux.edge.tail import Tail
from veloflux.edge.tally import distribution
from veloflux.edge.terms import Terms, terms

LAG_SAMPLE_S = 0.25
# Rounds of accepting what already waits, before a port is closed.
_LAST_ACCEPTS = 100
# Routes built in one step, and lanes freed at a time; either takes about half a millisecond.
_STEP = 50
_WASTE_FREED = 500


def _kind(model: ListenerModel) -> tuple[str, bool]:
    """What its connections are; they cannot become anything else."""
    return model.protocol, model.tls is not None


NO_CELLS: Mapping[str, dict[str, int]] = MappingProxyType({})


def unix_time() -> float:
    return datetime.now(UTC).timestamp()


class Prepared(NamedTuple):
    """All that a snapshot needs, built and not yet in use; lanes by their routes' ids."""

    snapshot: Snapshot
    pools: dict[str, Pool]
    lanes: dict[str, Lane]
    table: Table[Lane]
    log: AccessLog | None
    terms: dict[str, Terms | None]


class Service:
    """Owns a worker's listening ports, connections and log."""

    def __init__(
        self,
        reactor: Any,
        worker: int,
        wall: Callable[[], float] = unix_time,
        board: Board | None = None,
        debts: Memory | None = None,
    ) -> None:
        self._reactor = reactor
        # Not for secrets: it spreads load.
        self._luck = Random(secrets.randbits(64))  # noqa: S311
        prefix = b"%x%b" % (worker, secrets.token_hex(6).encode("ascii"))
        self._plane = Plane(reactor, wall, self._luck.random, prefix, debts)
        self._plane.board = board
        self._spread = Spread(self._plane, board)
        self._prepared: Prepared | None = None
        self._tickets = b""
        self._descriptors: dict[str, int] = {}
        self._ports: dict[str, Any] = {}
        self._listeners: dict[str, Listener] = {}
        self._leaving: list[Listener] = []
        self._lanes: dict[str, Lane] = {}
        # What was replaced, lanes and where they were found, is let go of a few at a time: freeing
        # ten thousand holds up the loop.
        self._waste: list[object] = []
        # Counts of what is gone, until the next tally.
        self._gone: list[Sample | Distribution] = []
        self._lag = Histogram(LAG_BUCKETS)
        self._due = 0.0
        self._watch = LoopingCall(self._sample_lag)
        self._watch.clock = reactor
        self._plane.start()
        self._watch.start(LAG_SAMPLE_S, now=False)
        can_look_up = hasattr(reactor, "installNameResolver")
        self._names = names.install(reactor) if can_look_up else None

    @property
    def on_ejected(self) -> Callable[[str, str, float, str], None]:
        """Is told of a backend that our traffic has found bad: pool, backend, seconds, reason."""
        return self._plane.on_ejected

    @on_ejected.setter
    def on_ejected(self, tell: Callable[[str, str, float, str], None]) -> None:
        self._plane.on_ejected = tell

    @property
    def connections(self) -> int:
        """Open connections from clients."""
        listeners = chain(self._listeners.values(), self._leaving)
        return sum(len(listener.connections) for listener in listeners)

    def listen(self, address: str, fd: int) -> None:
        """Own `fd`, which listens on `address`, until a snapshot needs it or does not."""
        old = self._descriptors.pop(address, None)
        if old is not None:
            os.close(old)
        self._descriptors[address] = fd

    def prepare(self, snapshot: Snapshot) -> Iterator[None]:
        """Build what `snapshot` needs, in small steps: it is prepared when the iterator ends.

        Raises ValueError with the reason; nothing changes.
        """
        self._discard_prepared()
        plane = self._plane
        pools: dict[str, Pool] = {}
        for model in snapshot.pools:
            for backend in model.backends:
                if backend.tls is not None:
                    plane.trusts.prepare(backend.tls, model.protocol)
                    yield
            yield from rehearsal(model)
            pools[model.name] = plane.pools.get(model.name) or Pool(model, plane)
            yield
        secrecy: dict[str, Terms | None] = {}
        for listener in snapshot.listeners:
            self._check(listener, pools)
            address = str(listener.address)
            before = self._listeners.get(address)
            secrecy[address] = yield from terms(listener, before.terms if before else None)
        lanes: dict[str, Lane] = {}
        table: Table[Lane] = Table()
        for count, route in enumerate(snapshot.routes, 1):
            lane = self._lanes.get(route.id)
            if lane is None or not lane.serves(route, pools):
                counted = lane.tally if lane is not None else RouteTally(route.id)
                try:
                    lane = Lane(route, pools, counted)
                except KeyError as missing:
                    raise ValueError(f"route {route.id}: no pool called {missing}") from missing
            lanes[route.id] = lane
            table.add(route, lane)
            if count % _STEP == 0:
                yield
        log = self._open_log(snapshot.access_log)
        self._prepared = Prepared(snapshot, pools, lanes, table, log, secrecy)

    def commit(self, version: int, cells: Mapping[str, dict[str, int]] = NO_CELLS) -> None:
        """Serve by the prepared snapshot. Raises ValueError when it is another version.

        `cells` are the backends' on the board, by pool and by address, of pools for which they are
        not as before.
        """
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared.snapshot.version != version:
            raise ValueError(f"version {version} was not prepared")
        plane, snapshot = self._plane, prepared.snapshot
        plane.workers = snapshot.workers
        plane.secret = snapshot.secret
        for model in snapshot.pools:
            pool = prepared.pools[model.name]
            plane.retired.extend(pool.renew(model, cells.get(model.name, pool.cells)))
        for name, pool in plane.pools.items():
            if name not in prepared.pools:
                plane.retired.extend(pool.retire())
                self._gone.extend(pool.take())
        plane.pools = prepared.pools
        plane.trusts.retain(
            (each.tls, pool.protocol) for pool in snapshot.pools for each in pool.backends
        )
        self._waste.extend(plane.table.hosts())
        plane.table = prepared.table
        if self._names is not None:
            self._names.reach = Reach(snapshot.backend_networks, snapshot.own_addresses)
        plane.version, plane.revision = version, snapshot.revision
        plane.tracing = self._trace_bits if snapshot.tracing else None
        self._waste.extend(self._lanes.values())
        self._lanes = prepared.lanes
        self._swap_log(prepared.log, snapshot.access_log)
        self._listen_as(snapshot, prepared.terms)

    def mark(self, pool: str, backend: str, healthy: bool) -> None:
        """Take a health check's word on a backend."""
        if pool in self._plane.pools:
            self._plane.pools[pool].mark(backend, healthy)

    def eject(self, pool: str, backend: str, seconds: float) -> None:
        """Take another worker's word that a backend is bad."""
        if pool in self._plane.pools:
            self._plane.pools[pool].eject(backend, seconds)

    def share_tickets(self, secret: bytes) -> None:
        """Make the keys of session tickets of this, which all workers have, and of no other."""
        self._tickets = secret
        for listener in self._listeners.values():
            if listener.terms is not None:
                listener.terms.share_tickets(secret)

    def meet(self, row: int, door: int) -> None:
        """Own a descriptor by which connections go to another worker, or come here."""
        self._spread.meet(row, door)

    def reopen(self) -> None:
        """Open the log file anew."""
        if self._plane.log is not None:
            self._plane.log.reopen()

    def watch(self, lines: int) -> None:
        """Keep so many of the access log's lines until they are taken; 0 to keep none any more."""
        self._plane.tail = Tail(lines) if lines else None
        self._plane.aim()

    def take_lines(self) -> tuple[list[str], int]:
        """The lines since the last call, and how many more there were."""
        tail = self._plane.tail
        return tail.take() if tail is not None else ([], 0)

    def report(self) -> tuple[PoolReport, ...]:
        """How the pools are now."""
        return tuple(reports(self._plane.pools.values(), self._plane.deadlines.now()))

    def drain(self) -> None:
        """Take who already waits, accept nobody more, let go of idle connections; the others get
        `Connection: close` with their answer."""
        self._plane.is_draining = True
        self._spread.retire()
        for address in list(self._ports):
            self._stop_port(address)
        for listener in chain(self._listeners.values(), self._leaving):
            listener.drain()

    @property
    def is_behind(self) -> bool:
        """Whether there is more to tell than one tally takes."""
        return self._plane.is_behind

    def tally(self) -> Tally:
        """Increases since the last call, of some hundred routes and pools at most, and gauges."""
        taken = [*self._gone, *self._plane.take()]
        for listener in chain(self._listeners.values(), self._leaving):
            taken.extend(listener.take())
        taken.extend(distribution(metrics.REACTOR_LAG, (), self._lag))
        self._leaving = [listener for listener in self._leaving if listener.connections]
        self._gone = []
        return Tally(
            tuple(each for each in taken if isinstance(each, Sample)),
            tuple(each for each in taken if isinstance(each, Distribution)),
        )

    def cut(self) -> None:
        """End the connections that have not ended by themselves; their lines are still written."""
        for listener in chain(self._listeners.values(), self._leaving):
            for connection in list(listener.connections):
                connection.abandon()
        for copy in list(self._plane.copies):
            copy.abandon()

    def close(self) -> None:
        """Abort every connection and release what is owned."""
        for address in list(self._ports):
            self._ports.pop(address).stopListening()
        self._spread.close()
        for fd in self._descriptors.values():
            os.close(fd)
        self._descriptors.clear()
        self._discard_prepared()
        self.cut()
        for pool in self._plane.pools.values():
            pool.retire()
        if self._watch.running:
            self._watch.stop()
        self._plane.stop()

    def _check(self, model: ListenerModel, pools: dict[str, Pool]) -> None:
        """Raise ValueError for what could not be listened with."""
        address = str(model.address)
        if address not in self._ports and address not in self._descriptors:
            raise ValueError(f"no listening socket for {address}")
        wanted = [rule.pool for rule in model.sni]
        if model.protocol == "tcp" and (model.pool is not None or not wanted):
            wanted.append(model.pool or "")
        for pool in wanted:
            if pool not in pools:
                raise ValueError(f"listener {model.name}: no pool called {pool!r}")
        networks(model)

    def _listen_as(self, snapshot: Snapshot, secrecy: dict[str, Terms | None]) -> None:
        """Open the ports that are new, close those that are gone."""
        self._spread.retire()
        before, self._listeners = self._listeners, {}
        for model in snapshot.listeners:
            address = str(model.address)
            listener = before.pop(address, None)
            if listener is None:
                listener = Listener(model, self._plane)
            elif _kind(listener.model) != _kind(model):
                # Its connections go on as what they are, for as long as they must.
                listener.remove()
                self._leaving.append(listener)
                listener = self._ports[address].factory = Listener(model, self._plane)
            listener.configure(model, snapshot.workers, secrecy[address])
            if listener.terms is not None:
                listener.terms.share_tickets(self._tickets)
            self._listeners[address] = listener
            if address not in self._ports:
                self._ports[address] = self._open_port(address, listener)
        for address, listener in before.items():
            self._stop_port(address)
            listener.remove()
            self._leaving.append(listener)
        for address in list(self._descriptors):
            os.close(self._descriptors.pop(address))
        self._spread.configure(self._ports)

    def _open_port(self, address: str, listener: Listener) -> Any:
        fd = self._descriptors.pop(address)
        with socket.socket(fileno=fd) as listening:
            listening.setblocking(False)
            # The port has a descriptor of its own from here on.
            port = self._reactor.adoptStreamPort(fd, listening.family, listener)
        port.name = address.encode()
        return port

    def _stop_port(self, address: str) -> None:
        port = self._ports.pop(address)
        listener = port.factory
        for _ in range(_LAST_ACCEPTS):
            accepted = listener.accepted
            port.doRead()
            if listener.accepted == accepted:
                break
        port.stopListening()

    def _open_log(self, wanted: AccessLogModel | None) -> AccessLog | None:
        """The log for a snapshot: the one there is when it goes to the same place."""
        log = self._plane.log
        if wanted is None or (log is not None and log.path == wanted.path):
            return log if wanted is not None else None
        try:
            return AccessLog(wanted.path)
        except OSError as error:
            raise ValueError(f"logging.access.path: {error}") from error

    def _swap_log(self, log: AccessLog | None, wanted: AccessLogModel | None) -> None:
        plane = self._plane
        if plane.log is not log and plane.log is not None:
            # A destination that stands still must not hold up the loop.
            plane.log.close(0)
            plane.old_logs.append(plane.log)
        plane.log = log
        is_combined = wanted is not None and wanted.format == "combined"
        plane.form = combined_line if is_combined else json_line
        plane.aim()

    def _trace_bits(self) -> int:
        return self._luck.getrandbits(192)

    def _discard_prepared(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared.log not in (None, self._plane.log):
            prepared.log.close()

    def _sample_lag(self) -> None:
        now = self._reactor.seconds()
        if self._due:
            self._lag.observe(max(0.0, now - self._due))
        self._due = now + LAG_SAMPLE_S
        self._spread.look(LAG_SAMPLE_S)
        del self._waste[-_WASTE_FREED:]
