"""What remains of a request or a relayed connection: for the log and for the counts."""

from typing import Any

from veloflux.core.wire.fields import RequestFields
from veloflux.core.wire.http1 import RequestHead
from veloflux.edge.backend import Backend
from veloflux.edge.lane import Tally
from veloflux.edge.pool import NO_POOL, Pool

NO_TALLY = Tally("")
# Stands where no head could be read.
NO_HEAD = RequestHead(b"-", b"-", b"", RequestFields(b"\n\r\n", 0), b"")


class Outcome:
    """Mixed into whatever ends with a line in the log; the defaults are for what never came.

    Moments are on the clock of intervals, sizes are bytes of bodies. `downstream` is the client's
    side, with its `listener`, `client` and `peer`; `last_backend` outlives being at work with it.
    """

    downstream: Any
    head = NO_HEAD
    tally = NO_TALLY
    pool: Pool = NO_POOL
    last_backend: Backend | None = None
    request_id = b""
    trace_id = ""
    status = 0
    bytes_in = 0
    bytes_out = 0
    # By what the backend was chosen, when not by the pool's way.
    pick_reason = ""
    # What the route's limit said, and the lines by which the client is told.
    ratelimit = ""
    told = b""
    attempts = 0
    queued_s = 0.0
    started = 0.0
    sent_at = 0.0
    answered_at = 0.0
    error = ""


class Refusal(Outcome):
    """A request that was answered here and went to no backend."""

    def __init__(self, downstream: Any, head: RequestHead | None, tally: Tally) -> None:
        self.downstream = downstream
        self.tally = tally
        if head is not None:
            self.head = head
