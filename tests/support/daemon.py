"""The daemon as an operator runs it: `twistd -n veloflux`, in a process of its own."""

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

TWISTD = str(Path(sys.executable).with_name("twistd"))
# Long enough for a machine that does much else; nothing waits so long that works.
PATIENCE_S = 30.0


def wait_for(what: str, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds; raises AssertionError, naming what did not happen."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {patience_s:.0f} s")
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Say whether there is such a process that has not ended; a zombie has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def session(leader: int) -> list[int]:
    """The processes that run in the session of this leader, which may have ended itself."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            # The command in parentheses may hold spaces, so fields are counted after it.
            state, _, _, owner = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if owner == str(leader) and state not in "ZX":
            found.append(int(entry.name))
    return found


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def has_connection(pid: int, port: int) -> bool:
    """Whether a process has the end of a connection whose other end is that port of 127.0.0.1."""
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {line.split()[9] for line in table if line.split()[2] == f"0100007F:{port:04X}"}
    found = (os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())
    return any(name == f"socket:[{inode}]" for name in found for inode in inodes)


def leave_descriptors(pid: int, count: int) -> None:
    """Let a process open so many descriptors more than it has, and no others."""
    # The lowest free number is always taken, so the limit is on numbers, not on how many there are.
    taken = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
    free = (number for number in range(1 << 20) if number not in taken)
    limit = [next(free) for _ in range(count + 1)][count]
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def memory(pid: int, field: str = "VmRSS") -> int:
    """A process's resident memory in bytes; the most it ever was with `VmHWM`."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024


def cpu_s(pid: int) -> float:
    """The seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Daemon:
    """One daemon, in a temporary directory that goes with it.

    Give the whole text of a configuration file. Its addresses may have port 0; `port` tells which
    it became. Use it as a context, or call `close`: nothing it started is left behind, and it is an
    error when its log has a traceback, or when it ended and left a process.

    So it is when a worker died, unless `deaths` is set to how many may.

    Its output is `output`, unless `stdout` is a descriptor: then that is its log alone.
    `descriptors` is how many it and each worker may have open.
    """

    def __init__(
        self,
        configuration: str,
        *,
        arguments: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        directory: str | None = None,
        stdout: int | None = None,
        descriptors: int | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="veloflux-")
        self.directory = Path(self._temporary.name)
        self.file = self.directory / "veloflux.yaml"
        self.file.write_text(configuration)
        self._log = self.directory / "output"
        self._mark = 0
        self.deaths = 0
        if stdout is not None:
            arguments = (f"--logfile={self._log}", *arguments)
        command = [TWISTD, "-n", "--pidfile=", *arguments, "veloflux", "-c", str(self.file)]
        if descriptors is not None:
            command = ["prlimit", f"--nofile={descriptors}", *command]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                cwd=directory or self.directory,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )

    def __enter__(self) -> "Daemon":
        return self.ready()

    def __exit__(self, *_: object) -> None:
        self.close()

    def ready(self) -> "Daemon":
        """Wait until it serves."""
        try:
            self.wait_for_log(" serving: ")
        except BaseException:
            self.close()
            raise
        return self

    @property
    def output(self) -> str:
        """All that it has printed: its log, and the access log where that has no file."""
        return self._log.read_text(errors="replace")

    @property
    def access_log(self) -> str:
        """What its access log has, where that is the file `access.log`."""
        return (self.directory / "access.log").read_text(errors="replace")

    @property
    def workers(self) -> list[int]:
        """The worker processes, in the order of their start."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def port(self, listener: int = 0) -> int:
        """Return the port of the listener at this place in the configuration."""
        ports = re.findall(r"listening on \S+:(\d+) \(", self.output)
        return int(ports[listener])

    @property
    def admin(self) -> str:
        """Where the admin API is, as host:port."""
        found = re.search(r"the admin API is on https?://(\S+)", self.output)
        assert found is not None, self.output
        return found[1]

    @property
    def password(self) -> str:
        """The password that was made for the operator, if the configuration has none."""
        return (self.directory / "var" / "admin-password").read_text().strip()

    def wait_for_log(self, text: str) -> None:
        """Wait until it has printed this text, since the last such wait."""

        def has_printed() -> bool:
            at = self.output.find(text, self._mark)
            if at < 0:
                if self.process.poll() is not None and text not in self.output[self._mark :]:
                    raise AssertionError(f"{text!r} cannot come, for the daemon has ended")
                return False
            self._mark = at + len(text)
            return True

        try:
            wait_for(f"{text!r} in the log", has_printed)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log is:\n{self.output}") from None

    def wait_for_any_log(self, text: str) -> None:
        """Wait until it has printed this text, be it while it started."""
        self._mark = 0
        self.wait_for_log(text)

    def signal(self, number: signal.Signals) -> None:
        """Send the daemon, not its workers, a signal."""
        self.process.send_signal(number)

    def reload(self, configuration: str) -> None:
        """Write another configuration and have it read; waits for nothing."""
        self.file.write_text(configuration)
        self.signal(signal.SIGHUP)

    def wait(self) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not end; the log is:\n{self.output}") from None

    def close(self) -> None:
        """End it and its workers, whatever state they are in; raises AssertionError, see above."""
        if not self.directory.exists():
            return
        left = session(self.process.pid) if self.process.poll() is not None else []
        if not left:
            self.process.kill()
            self.process.wait()
        for pid in session(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        output = self.output
        self._temporary.cleanup()
        if left:
            raise AssertionError(f"the daemon ended and left {left}; the log is:\n{output}")
        if "Traceback" in output or "Unhandled" in output:
            raise AssertionError(f"there is a traceback in the log:\n{output}")
        if output.count(") died: ") > self.deaths:
            raise AssertionError(f"a worker died; the log is:\n{output}")
