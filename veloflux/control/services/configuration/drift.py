"""Looks every few seconds whether the configuration's file was changed, and what it says by now."""

import os
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from veloflux.config.problem import ConfigError
from veloflux.config.written import Written, open_file

LOOK_S = 5.0

Found: TypeAlias = Written | None


class Drift:
    """Has `look` told of the file at `path` whenever it was changed, and once at the start.

    One that cannot be read says nothing: whoever reloads it is told why. `in_thread` runs what
    opens it.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        path: str,
        look: Callable[[Written], None],
        in_thread: Callable[[Callable[[], Found]], Awaitable[Found]],
    ) -> None:
        self._path = path
        self._look = look
        self._in_thread = in_thread
        self._seen: tuple[int, ...] = ()
        self._loop = LoopingCall(self._turn)
        self._loop.clock = clock

    def start(self) -> None:
        """Look every LOOK_S from now on."""
        self._loop.start(LOOK_S, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _turn(self) -> Deferred[None]:
        """The next look waits for this one."""
        return Deferred.fromCoroutine(self._once()).addErrback(
            lambda failure: self._log.failure("looking at the configuration file failed", failure)
        )

    async def _once(self) -> None:
        written = await self._in_thread(self._read)
        if written is not None:
            self._look(written)

    def _read(self) -> Found:
        """In a thread: the file, if it is another one than at the last look."""
        try:
            found = os.stat(self._path)
            seen = found.st_ino, found.st_mtime_ns, found.st_size
            if seen == self._seen:
                return None
            self._seen = seen
            return open_file(self._path)
        except (OSError, ConfigError):
            return None
