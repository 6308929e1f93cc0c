"""A process that is started, watched, and ended with everything that it started."""

import os
import signal
import subprocess
import sys


class Child:
    """One process on a leash, leading a process group of its own.

    The group keeps a terminal's Ctrl-C from it, so that whoever started it can end things in
    order. It is reaped only by `sweep`: until then its id, and so its group's, is not reused.
    """

    def __init__(self, name: str, command: list[str], quiet: bool = False) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603  the commands are ours
            [sys.executable, "-m", "veloflux.demo.leash", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            process_group=0,
        )
        self.pid = self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has exited or was killed."""
        seen = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        return seen is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; it need not run any more."""
        os.kill(self.pid, number)

    def sweep(self) -> int:
        """Kill what is left of its group, and return how it ended, negative for a signal."""
        os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()
