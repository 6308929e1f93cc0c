"""A proxy or an origin under measurement: started, pinned, asked what it used, and ended."""

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

READY_S = 20.0
END_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The measurement cannot be made; the text says why."""


def allow_many_files() -> None:
    """Raise the limit on open files as far as it goes; processes inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_in_order() -> None:
    """Have SIGTERM, which `timeout` sends, end what was started as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class Process:
    """A program and all that it starts, on some processors, in a session of its own."""

    def __init__(self, name: str, command: list[str], cores: set[int], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name.replace('/', '-')}.log"
        pinned = ["taskset", "-c", ",".join(map(str, sorted(cores))), *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                pinned,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )

    def pids(self) -> list[int]:
        """The ids of its processes: those of its session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # gone since the listing
                if int(fields[3]) == self._process.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return found

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its first process has not ended."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send its first process a signal."""
        self._process.send_signal(number)

    def cpu_s(self) -> float:
        """Seconds of processor time used so far, user and system, by all its processes."""
        return sum(self.cpu_by_pid().values())

    def cpu_by_pid(self) -> dict[int, float]:
        """The same for each of its processes."""
        return {pid: _cpu_s(Path("/proc") / str(pid)) for pid in self.pids()}

    def memory(self) -> int:
        """Bytes of memory held by all its processes, shared pages counted once (PSS)."""
        total = 0
        for pid in self.pids():
            for line in (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def wait(self, is_up) -> None:
        """Wait until `is_up()`; raises BenchError when it ends before, or takes too long."""
        deadline = time.monotonic() + READY_S
        while not is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name} does not answer; it said:\n{self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """The end of what it printed."""
        return self.printed()[-3000:]

    def printed(self) -> str:
        """All that it printed."""
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        """End it, and kill by id what is left of its session."""
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _cpu_s(process: Path) -> float:
    """One process's time: to the nanosecond where the kernel keeps it, else in clock ticks."""
    try:
        return (
            sum(
                int((thread / "schedstat").read_text().split()[0])
                for thread in (process / "task").iterdir()
            )
            / 1e9
        )
    except OSError:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
