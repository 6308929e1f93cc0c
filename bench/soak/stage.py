"""Where visits are played, and the tables of those there are."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from bench.soak.client import Client

MIB = 1 << 20
# Bytes of a body.
LIGHT, HEAVY = MIB, 20 * MIB


@dataclass(frozen=True, slots=True)
class Stage:
    """Where scenes are played: the ports of the HTTP listener and of the two TCP listeners."""

    http: int
    tcp: int
    refusing: int
    luck: random.Random

    def client(self, window: int = 0) -> Client:
        """A connection to the HTTP listener."""
        return Client(self.http, window)

    def chance(self, share: float) -> bool:
        """True for this share of calls."""
        return self.luck.random() < share


Play = Callable[[Stage], Awaitable[None]]


class Scene(NamedTuple):
    """One kind of visit, and how often it is played beside the others; a heavy one is played by
    few clients at a time."""

    play: Play
    weight: int
    is_heavy: bool


class Scenes(dict[str, Scene]):
    """A table of scenes, by their names."""

    def enter(self, weight: int, *, is_heavy: bool = False) -> Callable[[Play], Play]:
        """Enter a visit in the table."""

        def enter(play: Play) -> Play:
            self[play.__name__] = Scene(play, weight, is_heavy)
            return play

        return enter
