"""One backend at run time: what is configured, what is going on, what was counted."""

import json
from typing import TYPE_CHECKING, Any

from veloflux.core.model import metrics
from veloflux.core.model.metrics import LATENCY_BOUNDS
from veloflux.core.model.traffic import Backend as BackendModel
from veloflux.core.policy.balance.latency import PeakEwma
from veloflux.core.policy.outlier import Outlier
from veloflux.core.policy.peers import Row
from veloflux.edge.board import Cell
from veloflux.edge.deadlines import Deadlines
from veloflux.edge.ejection import Ejection
from veloflux.edge.histogram import Histogram
from veloflux.edge.http2.multiplex import Multiplex
from veloflux.edge.tally import CODE_CLASSES, Counted, by_class, distribution
from veloflux.edge.trust import Trust

if TYPE_CHECKING:
    from veloflux.edge.pool import Pool
    from veloflux.edge.upstream import Upstream


class Backend:
    """A member of a pool, and a candidate for its picker.

    `text` is what the log says of it. `idle` holds kept connections, the last used at the end;
    `answers` counts by the first digit of the status, with failures at 0. `durations` is for the
    metrics, `latency` for the picker. `weight` is the one in force, which slow start changes;
    `since` is when it came to the pool or came back. `trust` is for TLS, None in clear text. `cell`
    is where other workers see its `inflight`, None while nobody asks.
    """

    def __init__(
        self, pool: "Pool", model: BackendModel, since: float, deadlines: Deadlines
    ) -> None:
        self.pool = pool
        self._deadlines = deadlines
        self.model = model
        self.name = str(model.address)
        self.text = f'"pool":{pool.text},"backend":{json.dumps(self.name)}'
        # What it is called in a Host field when the client's own is not passed on.
        self.authority = b"localhost" if model.address.path else self.name.encode("ascii")
        self.inflight = 0
        self.connections = 0
        self.is_unhealthy = False
        self.ejection = Ejection(self, deadlines)
        self.is_retired = False
        self.since = since
        self.cell: Cell | None = None
        self.idle: dict[Upstream, None] = {}
        # For HTTP/2, whose connections are shared; None for HTTP/1.1.
        self.multiplex: Multiplex | None = None
        self.answers = [0] * len(CODE_CLASSES)
        self.durations = Histogram(LATENCY_BOUNDS)
        self.latency = PeakEwma()
        self.trust: Trust | None = None
        # Whether its last request failed.
        self.is_failing = False
        # None where real traffic's verdict is not asked for.
        self.outlier: Outlier | None = None
        self.row = Row()
        # Requests until the last second, and those of them that went well until now and until they
        # were last compared.
        self.asked = 0
        self.good = 0
        self.good_before = 0
        self.configure(model)

    def configure(self, model: BackendModel) -> None:
        before, self.model = self.model, model
        self.address = model.address
        self.trust = self.pool.trust_of(model)
        if before.tls != model.tls or self.pool.is_multiplexed != (self.multiplex is not None):
            # Those kept are with who was trusted before, or speak another version.
            self.close_idle()
        if not self.pool.is_multiplexed:
            self.multiplex = None
        elif self.multiplex is None:
            self.multiplex = Multiplex(self, self.pool.reactor, self._deadlines)
        self.weight = model.weight
        self.backup = model.backup
        self.enabled = model.enabled
        self.max_connections = model.max_connections

    @property
    def load(self) -> int:
        """What it works on, for all workers where they share it."""
        cell = self.cell
        return self.inflight if cell is None else cell.total()

    @property
    def is_ejected(self) -> bool:
        return self.ejection.is_on

    def begin_again(self, since: float) -> None:
        """It was away, and what it was like before says little."""
        self.since = since
        self.latency.forget()
        if self.outlier is not None:
            self.outlier.forget()

    @property
    def is_full(self) -> bool:
        return 0 < self.max_connections <= self.load

    def share(self, cell: Cell | None) -> None:
        """Show its `inflight` in `cell` from now on."""
        if self.cell is not None:
            self.cell.put(0)
        self.cell = cell
        self.show()

    def show(self) -> None:
        """Show the other workers an `inflight` that has changed, where it has a `cell`."""
        if self.cell is not None:
            self.cell.put(self.inflight)

    def tune(self, transport: Any) -> None:
        """Have a new connection to it send at once, and find out when the other end is gone."""
        if not self.address.path:
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)

    def connected(self, more: int) -> None:
        """It has one more connection, or with -1 one less."""
        self.connections += more
        self.pool.connected(more)

    def time(self, is_good: bool, seconds: float, now: float) -> None:
        """Take note of how long an answer took; a failure never looks fast."""
        if is_good:
            self.latency.observe(seconds, now)
        else:
            self.latency.observe_failure(seconds, now)

    def take(self) -> Counted:
        """What was counted since the last time."""
        labels = (self.pool.name, self.name)
        answers, self.answers = self.answers, [0] * len(CODE_CLASSES)
        self.asked += sum(answers)
        self.good += sum(answers[1:5])
        yield from by_class(metrics.UPSTREAM_REQUESTS, labels, answers)
        yield from distribution(metrics.UPSTREAM_DURATION, labels, self.durations)

    def retire(self) -> None:
        """Leave the pool: what is in flight finishes, nothing is kept."""
        self.is_retired = True
        self.share(None)
        self.ejection.end()
        self.close_idle()

    def close_idle(self) -> None:
        """Keep none of the connections that are kept; those that are shared end with their last
        request."""
        for upstream in list(self.idle):
            upstream.close()
        if self.multiplex is not None:
            self.multiplex.close_idle()
