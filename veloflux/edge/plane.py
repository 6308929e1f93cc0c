"""What the connections of one worker share: the snapshot in force, the clocks, the counts, the log.

A swap to another snapshot is one assignment to `table`; whoever is under way keeps what it has.
"""

from collections.abc import Callable, Iterator
from email.utils import formatdate
from itertools import count
from typing import Any

from twisted.internet.task import LoopingCall

from veloflux.core.model import metrics
from veloflux.core.model.metrics import Sample
from veloflux.core.policy.limit import Memory
from veloflux.core.policy.route import Table
from veloflux.edge import ledger
from veloflux.edge.accept import share_of_clients
from veloflux.edge.access_log import AccessLog
from veloflux.edge.backend import Backend
from veloflux.edge.board import Board
from veloflux.edge.deadlines import Deadlines
from veloflux.edge.lane import Lane, Tally
from veloflux.edge.line import Line, json_line
from veloflux.edge.mirror import Copy
from veloflux.edge.outcome import Outcome
from veloflux.edge.pool import Pool
from veloflux.edge.tail import Log, Tail
from veloflux.edge.tally import Counted, gauge, increase
from veloflux.edge.trust import Trusts

LOG_FLUSH_S = 0.5
# Routes and pools whose counts are taken in one go: some two milliseconds' worth of each.
_ROUTES_AT_ONCE = 250
_POOLS_AT_ONCE = 150
# A status has three digits and begins with 5 at the most.
_STATUSES = 600
_TAILS = [b"%02x" % number for number in range(256)]


class Plane:
    """Made once per worker. `wall` gives Unix time, `luck` a number in [0, 1), `prefix` begins
    every request id made here and is unique to this worker's life. `debts` are those to all
    workers; None when this is the only one."""

    def __init__(
        self,
        reactor: Any,
        wall: Callable[[], float],
        luck: Callable[[], float],
        prefix: bytes,
        debts: Memory | None = None,
    ) -> None:
        self.reactor = reactor
        self.luck = luck
        self.deadlines = Deadlines(reactor)
        self.table: Table[Lane] = Table()
        self.pools: dict[str, Pool] = {}
        self.trusts = Trusts()
        self.version = self.revision = 0
        # Is told of a backend that our traffic has found bad: pool, backend, seconds, reason.
        self.on_ejected: Callable[[str, str, float, str], None] = lambda *_: None
        # How many workers there are, and what they see of each other.
        self.workers = 1
        self.board: Board | None = None
        # What clients owe the limits of routes.
        self.debts: Memory = ledger.alone() if debts is None else debts
        self.is_draining = False
        # Descriptors that clients have, and how many they may have.
        self.descriptors = 0
        self.max_descriptors = share_of_clients()
        self.log: AccessLog | None = None
        # Replaced, and perhaps still writing.
        self.old_logs: list[AccessLog] = []
        # The form of the log's lines; and what is done with them, which is more while somebody
        # watches.
        self.form: Line = json_line
        self.tail: Tail | None = None
        self.lines: Log | None = None
        self.line: Line = json_line
        # Gives 192 random bits for a trace; None when none begins here.
        self.tracing: Callable[[], int] | None = None
        # What no route took: its requests are counted too.
        self.unrouted = Tally("")
        # Answers by their status; none has a higher one than what fits.
        self.statuses = [0] * _STATUSES
        # The tallies with something new.
        self.counted: list[Tally] = []
        # Copies of requests that nobody waits for.
        self.copies: set[Copy] = set()
        # Pools that had something new when they were last looked through, and are to be asked.
        self._asked: list[Pool] = []
        # Connections to backends.
        self.upstream = 0
        # Backends of no pool any more, while they have something to tell.
        self.retired: list[Backend] = []
        self.wall = wall
        # The node's, for what clients bring back.
        self.secret = b""
        # Gives a new request id.
        self.next_id = _ids(prefix).__next__
        self._tick = LoopingCall(self._second)
        self._tick.clock = reactor
        self._flush = LoopingCall(self._flush_log)
        self._flush.clock = reactor
        self._second()

    def start(self) -> None:
        self.deadlines.start()
        self._tick.start(1.0)
        self._flush.start(LOG_FLUSH_S)

    def stop(self) -> None:
        self.deadlines.stop()
        for call in (self._tick, self._flush):
            if call.running:
                call.stop()
        if self.log is not None:
            self.log.close()

    def aim(self) -> None:
        """Send lines where they are to go by now."""
        if self.tail is None:
            self.lines, self.line = self.log, self.form
        else:
            self.tail.before(self.log, self.form)
            self.lines, self.line = self.tail, self.tail.line

    def record(self, outcome: Outcome, now: float, termination: str) -> None:
        """Account for a request: count it on its route, write its line."""
        total = now - outcome.started
        tally = outcome.tally
        tally.count(outcome.head.method, outcome.status, total)
        self.statuses[outcome.status] += 1
        if outcome.bytes_in:
            tally.bytes_in += outcome.bytes_in
        tally.bytes_out += outcome.bytes_out
        if not tally.is_new:
            tally.is_new = True
            self.counted.append(tally)
        if self.lines is not None:
            self.lines.append(
                self.line(outcome, self._offset + now, total, termination, self.revision)
            )

    def record_relayed(self, outcome: Outcome, now: float, termination: str) -> None:
        """Account for a relayed connection."""
        listener = outcome.downstream.listener
        listener.bytes_in += outcome.bytes_in
        listener.bytes_out += outcome.bytes_out
        if self.lines is not None:
            total = now - outcome.started
            self.lines.append(
                self.line(outcome, self._offset + now, total, termination, self.revision)
            )

    @property
    def is_behind(self) -> bool:
        """Whether there is more to take than was taken the last time."""
        return bool(self.counted or self._asked)

    def take(self) -> Counted:
        """What was counted since the last time, and what is under way, listeners apart."""
        counted, self.counted = self.counted[:_ROUTES_AT_ONCE], self.counted[_ROUTES_AT_ONCE:]
        for tally in counted:
            yield from tally.take()
        statuses, self.statuses = self.statuses, [0] * _STATUSES
        for status in filter(statuses.__getitem__, range(_STATUSES)):
            yield Sample(metrics.HTTP_RESPONSES.name, (str(status),), statuses[status])
        stirring = [pool for pool in self.pools.values() if pool.is_stirring]
        for pool in stirring:
            yield from pool.gauges()
        asked = self._asked or stirring
        asked, self._asked = asked[:_POOLS_AT_ONCE], asked[_POOLS_AT_ONCE:]
        for pool in asked:
            yield from pool.take()
            pool.look()
        yield gauge(metrics.CONNECTIONS, ("upstream", ""), self.upstream)
        for backend in self.retired:
            yield from backend.take()
        self.retired = [backend for backend in self.retired if backend.inflight]
        if self.log is not None:
            yield from increase(metrics.ACCESS_LOG_DROPPED, (), self.log.take_dropped())
        if self.old_logs:
            # What ends between the two questions is asked once more.
            waiting = [log for log in self.old_logs if not log.is_over]
            for log in self.old_logs:
                yield from increase(metrics.ACCESS_LOG_DROPPED, (), log.take_dropped())
            self.old_logs = waiting

    def _second(self) -> None:
        wall = self.wall()
        self._offset = wall - self.deadlines.now()
        self.date = formatdate(wall, usegmt=True).encode("ascii")

    def _flush_log(self) -> None:
        if self.log is not None:
            self.log.flush()


def _ids(prefix: bytes) -> Iterator[bytes]:
    """Request ids: the prefix and eight digits at least, that count. The last two are written once
    for all."""
    for number in count():
        head = b"%b%06x" % (prefix, number)
        for tail in _TAILS:
            yield head + tail
