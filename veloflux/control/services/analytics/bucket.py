"""What was counted in a stretch of time: in all, and by route, pool, backend and status.

Buckets are sums, so any two can be merged into one, and merging loses nothing but which was which.
Their names are bounded: of very many, those that had the most requests keep theirs, and the others
are added up as `other`.
"""

from collections.abc import Collection, Mapping
from heapq import nlargest
from itertools import compress
from typing import Literal

import msgspec

OTHER = "other"
Kind = Literal["route", "pool", "backend", "status"]
KINDS: tuple[Kind, ...] = ("route", "pool", "backend", "status")
# Names of a kind that one bucket has while it is filled; ten thousand routes are never all busy.
MAX_NAMES = 2000

# Where the counts by code class are in a cell; `none` is for no answer.
CODE_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")

_CLASSES = range(len(CODE_CLASSES))

# No cycle can go through a cell or a bucket, of which there are many thousands: collections need
# not look at them (gc=False).


class Cell(msgspec.Struct, array_like=True, gc=False):
    """One name's counts.

    `answers` are by code class; `latency` has the requests of each bucket of LATENCY_BOUNDS that
    has any (the last is over the last bound), and `seconds` their sum. Sizes are bytes of bodies.
    """

    answers: list[int] = msgspec.field(default_factory=lambda: [0] * len(CODE_CLASSES))
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    latency: dict[int, int] = {}  # msgspec copies it

    @property
    def requests(self) -> int:
        return sum(self.answers)

    @property
    def errors(self) -> int:
        """Those that failed by no fault of the client: 5xx, or no answer at all."""
        return self.answers[0] + self.answers[5]

    def add(self, other: "Cell") -> None:
        mine = self.answers
        for place in compress(_CLASSES, other.answers):
            mine[place] += other.answers[place]
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.observe(other.latency, other.seconds)

    def add_all(self, others: Collection["Cell"]) -> None:
        """As `add` of each, of very many in a fraction of the time."""
        self.answers = list(map(sum, zip(self.answers, *[o.answers for o in others], strict=True)))
        self.bytes_in += sum([other.bytes_in for other in others])
        self.bytes_out += sum([other.bytes_out for other in others])
        self.seconds += sum([other.seconds for other in others])
        latency = self.latency
        for other in others:
            for place, count in other.latency.items():
                latency[place] = latency.get(place, 0) + count

    def copied(self) -> "Cell":
        """One with the same counts, that changes alone."""
        return Cell(
            self.answers[:], self.bytes_in, self.bytes_out, self.seconds, self.latency.copy()
        )

    def observe(self, counts: Mapping[int, int], seconds: float) -> None:
        """Add a histogram's counts by places of LATENCY_BOUNDS, and their sum."""
        latency = self.latency
        for place, count in counts.items():
            latency[place] = latency.get(place, 0) + count
        self.seconds += seconds


class Bucket(msgspec.Struct, gc=False):
    """A stretch of time that began at `at`, in Unix time, and lasted `length_s` on a steady clock.

    `open_s` is the sum over its seconds of the connections that were open, `peak` the most.
    """

    at: int
    length_s: float = 0.0
    total: Cell = msgspec.field(default_factory=Cell)
    open_s: float = 0.0
    peak: int = 0
    groups: dict[Kind, dict[str, Cell]] = msgspec.field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )

    def cell(self, kind: Kind, name: str) -> Cell:
        """The cell to count in, which is that of `other` when there are too many."""
        group = self.groups[kind]
        found = group.get(name)
        if found is None:
            if len(group) >= MAX_NAMES and OTHER in group:
                return group[OTHER]
            found = group[name if len(group) < MAX_NAMES else OTHER] = Cell()
        return found

    def add(self, other: "Bucket") -> None:
        """Merge what another stretch had; this one's beginning stays."""
        self.length_s += other.length_s
        self.open_s += other.open_s
        self.peak = max(self.peak, other.peak)
        self.total.add(other.total)
        for kind, group in other.groups.items():
            mine = self.groups[kind]
            rest = []
            for name, cell in group.items():
                if name in mine:
                    mine[name].add(cell)
                elif len(mine) < MAX_NAMES:
                    mine[name] = cell.copied()
                else:
                    rest.append(cell)
            if rest:
                self.cell(kind, OTHER).add_all(rest)

    def cap(self, most: int) -> None:
        """Keep the names of the `most` busiest of each kind."""
        for kind, group in self.groups.items():
            if len(group) <= most:
                continue
            rest = group.pop(OTHER, Cell())
            requests = {name: sum(cell.answers) for name, cell in group.items()}
            kept = nlargest(most - 1, requests, key=requests.__getitem__)
            busiest = {name: group.pop(name) for name in kept}
            rest.add_all(group.values())
            self.groups[kind] = busiest | {OTHER: rest}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Bucket)


def encode(bucket: Bucket) -> bytes:
    """Write a bucket's JSON."""
    return _encoder.encode(bucket)


def decode(body: bytes) -> Bucket:
    """Read it again; raises msgspec.MsgspecError when it is none."""
    return _decoder.decode(body)
