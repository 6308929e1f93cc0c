"""What the daemon does when it is sent a signal.

Twisted's own answer to SIGTERM and SIGINT ends the process with that signal, also when it has
stopped in good order; ours leaves exit code 0 for that.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class Signals:
    """Installs handlers, each of which runs its function in the loop of `reactor`."""

    def __init__(
        self,
        reactor: Any,
        *,
        stop: Callable[[], object],
        reload: Callable[[], object],
        reopen: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._actions = {
            signal.SIGTERM: stop,
            signal.SIGINT: stop,
            signal.SIGHUP: reload,
            signal.SIGUSR1: reopen,
        }
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Take over from the handlers there are."""
        for number in self._actions:
            self._before[number] = signal.signal(number, self._caught)

    def deafen(self) -> None:
        """Let no request to stop in any more: we are as good as gone, with a good exit code.

        Blocked, not ignored, because Twisted puts the default handlers back at its end.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

    def _caught(self, number: int, frame: FrameType | None) -> None:
        caught = signal.Signals(number)
        before = self._before.get(caught)
        if caught is signal.SIGUSR1 and callable(before):
            before(number, frame)  # twistd rotates its own log by it
        self._reactor.callFromThread(self._actions[caught])
