"""What the keys of TLS session tickets are made of: the same in all workers of a node, so that a
session which one has begun is resumed by any.

It is never written down, and made anew on a schedule: who gets hold of it later cannot open what
was said before (RFC 9325 section 4.3).
"""

import secrets
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from veloflux.fleet.messages import Tickets

ROTATION_S = 12 * 3600.0
_BYTES = 32


class Rotation:
    """Has `present` for workers that start, and tells `tell` of each later one from `start` on."""

    def __init__(self, clock: IReactorTime, tell: Callable[[Tickets], None]) -> None:
        self._tell = tell
        self._loop = LoopingCall(self._turn)
        self._loop.clock = clock
        self.present = _made()

    def start(self) -> None:
        """Rotate from now on; again is no more."""
        if not self._loop.running:
            self._loop.start(ROTATION_S, now=False)

    def stop(self) -> None:
        """Rotate no more."""
        if self._loop.running:
            self._loop.stop()

    def _turn(self) -> None:
        self.present = _made()
        self._tell(self.present)


def _made() -> Tickets:
    return Tickets(secrets.token_bytes(_BYTES))
