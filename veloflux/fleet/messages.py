"""What the supervisor and a worker say to each other, and its form on the channel.

Each message is a msgpack map with a `type` field, checked against its type when it is read: what
does not match raises, nothing is guessed. Down means from the supervisor to a worker, up the other
way. A snapshot goes in two steps, `Prepare` and `Commit`, so that either every worker has it or
none.
"""

from typing import Literal, TypeAlias

import msgspec

from veloflux.core.model.metrics import Tally
from veloflux.core.model.report import PoolReport, ProcessReport
from veloflux.core.model.traffic import Pool, Route, Snapshot

# How long a worker that drains may take to finish what is in flight.
DRAIN_DEADLINE_S = 30.0


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Anything that travels on the channel."""


class Listen(Message, frozen=True, tag=True):
    """A listening descriptor for `address` travels with this message and now is the worker's."""

    address: str


class Door(Message, frozen=True, tag=True):
    """The descriptor that travels with this leads to the worker with that row of the board; when it
    is the worker's own row, it is where others come from."""

    row: int


class Routes(Message, frozen=True, tag=True):
    """The next routes of the snapshot that is about to be prepared.

    They travel apart, some at a time: reading ten thousand at once would hold up the traffic.
    """

    routes: tuple[Route, ...]


class Pools(Message, frozen=True, tag=True):
    """The next pools of it, likewise."""

    pools: tuple[Pool, ...]


class Same(Message, frozen=True, tag=True):
    """The next of `what` are `count` of those that the worker serves by, from the `first` on."""

    what: Literal["pools", "routes"]
    first: int
    count: int


class Prepare(Message, frozen=True, tag=True):
    """Build everything that `snapshot` asks for, with the routes and pools that came before,
    without using it; answer Prepared or Refused."""

    snapshot: Snapshot


class Commit(Message, frozen=True, tag=True):
    """Serve by the prepared snapshot of this version; answer Applied.

    `cells` are the backends' on the board, by pool and by address, of pools for which they are not
    as in the commit before.
    """

    version: int
    cells: dict[str, dict[str, int]] = {}  # msgspec copies it


class Mark(Message, frozen=True, tag=True):
    """What active checks found about a backend, which is named by its address's text."""

    pool: str
    backend: str
    healthy: bool


class Eject(Message, frozen=True, tag=True):
    """Another worker's traffic has found a backend bad: avoid it for so long."""

    pool: str
    backend: str
    seconds: float


class Ask(Message, frozen=True, tag=True):
    """Say how things are; answer Told with the same number."""

    number: int


class Watch(Message, frozen=True, tag=True):
    """Send so many of the access log's lines a second, and no more; none at all with 0."""

    lines_per_s: int


class Tickets(Message, frozen=True, tag=True):
    """Make the keys of TLS session tickets of this secret from now on."""

    secret: bytes

    def __repr__(self) -> str:
        return "Tickets()"


class Reopen(Message, frozen=True, tag=True):
    """Open the log files anew, because they may have been moved away."""


class Level(Message, frozen=True, tag=True):
    """Log from this level up: debug, info, warn, error or critical."""

    name: str


class Drain(Message, frozen=True, tag=True):
    """Accept nothing more, finish what is in flight, answer Drained and exit."""

    deadline_s: float


class Hello(Message, frozen=True, tag=True):
    """The worker runs and listens to its channel."""

    pid: int


class Prepared(Message, frozen=True, tag=True):
    """The snapshot of this version can be committed."""

    version: int


class Refused(Message, frozen=True, tag=True):
    """The snapshot of this version cannot be served, and why; nothing changed."""

    version: int
    why: str


class Applied(Message, frozen=True, tag=True):
    """The worker serves by the snapshot of this version."""

    version: int


class Counted(Message, frozen=True, tag=True):
    """What was counted since the last such message."""

    tally: Tally
    connections: int


class Ejected(Message, frozen=True, tag=True):
    """The worker's traffic has found a backend bad, which it avoids for so long; the reason is that
    of the metric."""

    pool: str
    backend: str
    seconds: float
    reason: str


class Told(Message, frozen=True, tag=True):
    """How the worker is, for whoever asked with this number."""

    number: int
    process: ProcessReport
    pools: tuple[PoolReport, ...]


class Lines(Message, frozen=True, tag=True):
    """Lines of the access log for whoever watches, and how many more there were."""

    lines: tuple[str, ...]
    dropped: int


class Leaving(Message, frozen=True, tag=True):
    """The worker was told by a signal to drain: it needs a successor now."""


class Drained(Message, frozen=True, tag=True):
    """Nothing is in flight any more, or the deadline passed with `left` connections open."""

    left: int


Down: TypeAlias = (
    Listen
    | Door
    | Routes
    | Pools
    | Same
    | Prepare
    | Commit
    | Mark
    | Eject
    | Ask
    | Watch
    | Tickets
    | Reopen
    | Level
    | Drain
)
Up: TypeAlias = (
    Hello | Prepared | Refused | Applied | Counted | Ejected | Told | Lines | Leaving | Drained
)

_encoder = msgspec.msgpack.Encoder()
_down: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)
_up: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)


def encode(message: Down | Up) -> bytes:
    """Write a message's bytes, without their length."""
    return _encoder.encode(message)


def read_down(body: bytes) -> Down:
    """Read what the supervisor said; raises msgspec.MsgspecError when it is no such message."""
    return _down.decode(body)


def read_up(body: bytes) -> Up:
    """Read what a worker said; raises msgspec.MsgspecError when it is no such message."""
    return _up.decode(body)
