"""What the connections of one worker share: the snapshot in force, the clocks, the counts, the log.

A swap to another snapshot is one assignment to `table`; whoever is under way keeps what it has.
"""

from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall

from veloflux.core.policy.route import Table
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead
from veloflux.edge.access_log import AccessLog
from veloflux.edge.deadlines import Deadlines
from veloflux.edge.lane import Lane, Tally
from veloflux.edge.line import Entry, json_line
from veloflux.edge.pool import Pool

if TYPE_CHECKING:
    from veloflux.edge.bridge import Bridge
    from veloflux.edge.downstream import Downstream
    from veloflux.edge.relay import Relay

LOG_FLUSH_S = 0.5


class Plane:
    """Made once per worker. `wall` gives Unix time, `luck` a number in [0, 1), `prefix` begins
    every request id made here and is unique to this worker's life."""

    def __init__(
        self, reactor: Any, wall: Callable[[], float], luck: Callable[[], float], prefix: bytes
    ) -> None:
        self.reactor = reactor
        self.luck = luck
        self.deadlines = Deadlines(reactor)
        self.table: Table[Lane] = Table()
        self.pools: dict[str, Pool] = {}
        self.version = 0
        self.is_draining = False
        self.log: AccessLog | None = None
        self.format: Callable[[Entry], str] = json_line
        # What no route took: its requests are counted too.
        self.unrouted = Tally("")
        self._wall = wall
        self._prefix = prefix
        self._requests = 0
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

    def next_id(self) -> bytes:
        """A new request id."""
        self._requests += 1
        return b"%b%08x" % (self._prefix, self._requests)

    def record(self, bridge: "Bridge", now: float, termination: str) -> None:
        """Account for a request that went to a lane."""
        total = now - bridge.started
        tally = bridge.lane.tally
        head = bridge.head
        tally.count(head.method, bridge.status, total)
        tally.bytes_in += bridge.bytes_in
        tally.bytes_out += bridge.bytes_out
        if self.log is None:
            return
        downstream = bridge.downstream
        sent, answered = bridge.sent_at, bridge.answered_at
        self.log.append(
            self.format(
                Entry(
                    self._offset + now,
                    bridge.request_id,
                    downstream.listener.name,
                    downstream.client,
                    downstream.peer,
                    head.method,
                    downstream.listener.scheme,
                    head.host,
                    head.path,
                    len(head.query),
                    "HTTP/1.1" if head.fields.minor else "HTTP/1.0",
                    bridge.status,
                    bridge.bytes_in,
                    bridge.bytes_out,
                    tally.route,
                    bridge.pool.name,
                    bridge.backend_name,
                    bridge.attempts,
                    sent - bridge.started if sent else 0.0,
                    answered - sent if answered else 0.0,
                    total,
                    termination,
                    bridge.failure.reason if bridge.failure else "",
                    self.version,
                    *_for_combined(head, self.format),
                )
            )
        )

    def record_relayed(self, relay: "Relay", now: float, termination: str) -> None:
        """Account for a TCP connection."""
        listener, tunnel = relay.listener, relay.tunnel
        bytes_in, bytes_out = (tunnel.bytes_in, tunnel.bytes_out) if tunnel else (0, 0)
        listener.bytes_in += bytes_in
        listener.bytes_out += bytes_out
        if self.log is None:
            return
        attached = relay.attached_at
        self.log.append(
            self.format(
                Entry(
                    self._offset + now,
                    self.next_id(),
                    listener.name,
                    relay.peer,
                    relay.peer,
                    b"",
                    b"tcp",
                    b"",
                    b"",
                    0,
                    "TCP",
                    0,
                    bytes_in,
                    bytes_out,
                    "",
                    relay.pool.name,
                    relay.backend_name,
                    relay.attempts,
                    attached - relay.started if attached else 0.0,
                    0.0,
                    now - relay.started,
                    termination,
                    relay.failure.reason if relay.failure else "",
                    self.version,
                    b"",
                    b"",
                )
            )
        )

    def record_refused(
        self,
        downstream: "Downstream",
        head: RequestHead | None,
        problem: ProtocolError,
        request_id: bytes,
        lane: Lane | None,
    ) -> None:
        """Account for a request that was answered here; `head` None when it could not be read."""
        tally = self.unrouted if lane is None else lane.tally
        tally.count(head.method if head else b"other", problem.status, 0.0)
        if self.log is None:
            return
        self.log.append(
            self.format(
                Entry(
                    self._offset + self.deadlines.now(),
                    request_id,
                    downstream.listener.name,
                    downstream.client,
                    downstream.peer,
                    head.method if head else b"-",
                    downstream.listener.scheme,
                    head.host if head else b"",
                    head.path if head else b"-",
                    len(head.query) if head else 0,
                    "HTTP/1.1" if head is None or head.fields.minor else "HTTP/1.0",
                    problem.status,
                    0,
                    0,
                    tally.route,
                    "",
                    "",
                    0,
                    0.0,
                    0.0,
                    0.0,
                    "LR" if problem.status < 400 else "PR",
                    problem.kind,
                    self.version,
                    *_for_combined(head, self.format),
                )
            )
        )

    def _second(self) -> None:
        wall = self._wall()
        self._offset = wall - self.deadlines.now()
        self.date = formatdate(wall, usegmt=True).encode("ascii")

    def _flush_log(self) -> None:
        if self.log is not None:
            self.log.flush()


def _for_combined(head: RequestHead | None, line: Callable[[Entry], str]) -> tuple[bytes, bytes]:
    """Referer and User-Agent, which only the combined format has; finding them costs a search."""
    if head is None or line is json_line:
        return b"", b""
    return head.fields.value(b"referer") or b"", head.fields.value(b"user-agent") or b""
