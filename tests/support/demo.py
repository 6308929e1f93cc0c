"""The demonstration's backend, in a process of its own."""

import subprocess
import sys


class Demo:
    """Serves on a port that the system chose, until closed."""

    def __init__(self, name: str = "demo") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "veloflux.demo.backend", "--port", "0", "--name", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().split()[-1]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
