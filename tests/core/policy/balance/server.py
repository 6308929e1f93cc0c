"""A backend without a network, and luck that can be had again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random

from veloflux.core.policy.balance.latency import PeakEwma

_names = count(1)


def _name() -> str:
    return f"10.0.{next(_names)}:80"


@dataclass(eq=False)
class Server:
    """All that a picker and a pool ask of a backend; each is equal to itself alone."""

    name: str = field(default_factory=_name)
    weight: int = 1
    load: int = 0
    enabled: bool = True
    backup: bool = False
    is_unhealthy: bool = False
    is_ejected: bool = False
    latency: PeakEwma = field(default_factory=PeakEwma, repr=False)


def no_luck() -> float:
    """Always the first."""
    return 0.0


class Lucky:
    """Luck from a seed; `again` brings back what was drawn since `mark`."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.mark()

    def __call__(self) -> float:
        return self._random.random()

    def mark(self) -> None:
        self._state = self._random.getstate()

    def again(self) -> None:
        self._random.setstate(self._state)


def keys(number: int) -> Iterator[bytes]:
    """So many keys that differ, and look like addresses."""
    for i in range(number):
        yield b"10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255)
