"""Certificates that are replaced on disk come into force by themselves.

The configuration file itself is read only when somebody asks for it: an operator may be at work
on it. What it names is another matter; whoever renews certificates is a program, and done.
"""

from collections.abc import Callable
from datetime import datetime

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from veloflux.config.renew import Marks, Renewed, marks, renew
from veloflux.core.model.node import Node
from veloflux.fleet.rollout import Rollout

LOOK_S = 3.0
# What could not be brought into force is tried again after so long, for it may have been the
# workers' trouble.
AGAIN_S = 60.0
# What will expire is said again after so long.
_SAY_S = 24 * 3600.0


class Renewal:
    """Looks at the files of the configuration in force; `in_thread` runs what opens them."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        rollout: Rollout,
        in_thread: Callable[[Callable[[], Renewed | None]], "Deferred[Renewed | None]"],
        now: Callable[[], datetime],
    ) -> None:
        self._clock = clock
        self._rollout = rollout
        self._in_thread = in_thread
        self._now = now
        self._seen: Marks | None = None
        self._say_at = 0.0
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Look every LOOK_S from now on."""
        self._loop.start(LOOK_S, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._renew())

    async def _renew(self) -> None:
        try:
            has_failed = await self._rollout.renew(self._find)
        except Exception:
            # A fault of ours must not end the looking.
            self._log.failure("renewing failed")
            has_failed = True
        if has_failed:
            self._say_at = min(self._say_at, self._clock.seconds() + AGAIN_S)

    async def _find(self, node: Node) -> Node:
        """What `node` is by now."""
        must_say = self._clock.seconds() >= self._say_at
        found = await self._in_thread(lambda: self._read(node, must_say))
        if found is None:
            return node
        for problem in found.problems:
            self._log.error("{problem}; what was there before is used on", problem=problem)
        if must_say:
            self._say_at = self._clock.seconds() + _SAY_S
            for concern in found.concerns:
                self._log.warn("{concern}", concern=concern)
        return found.node

    def _read(self, node: Node, must_say: bool) -> Renewed | None:
        """In a thread: look whether there is anything to read, and read it."""
        seen = marks(node)
        if seen == self._seen and not must_say:
            return None
        self._seen = seen
        return renew(node, self._now()) if seen else None
