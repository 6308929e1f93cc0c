"""What is done to a proxy, and what it says of it: wrk's figures, or idle connections held open."""

import json
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.process import BenchError

# Exact figures as one line of JSON; wrk's own text rounds. Without a request function of its own
# it sends a request that was built once.
DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nFIGURES {"requests":%d,"bytes":%d,"duration_us":%d,"p99_us":%d,"wrong":%d}\\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
# A host and a path of many, the same sequence each time.
MANY = """
local n = 0
request = function()
  n = (n * 1103515245 + 12345) % 2147483648
  local route = math.floor(n / 65536) % 10000
  return "GET /p" .. (route % 10) .. "/x HTTP/1.1\\r\\nHost: h" .. math.floor(route / 10)
    .. ".example.org\\r\\n\\r\\n"
end
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of wrk."""

    requests: int
    bytes: int
    seconds: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Wrk:
    """A closed loop of `connections` that ask for `path`."""

    path: str = "/"
    connections: int = 64
    keepalive: bool = True
    many_routes: bool = False

    def run(self, port: int, seconds: int, cores: set[int], folder: Path) -> Figures:
        """Load 127.0.0.1:`port`; raises BenchError when any answer was wrong."""
        script = folder / f"wrk{'-many' if self.many_routes else ''}.lua"
        script.write_text(DONE + (MANY if self.many_routes else ""))
        pinned = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
        command = ["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "-s", str(script)]
        if not self.keepalive:
            command += ["-H", "Connection: close"]
        url = f"http://127.0.0.1:{port}{self.path}"
        ran = subprocess.run([*pinned, *command, url], capture_output=True, text=True)
        lines = [line for line in ran.stdout.splitlines() if line.startswith("FIGURES ")]
        if ran.returncode or not lines:
            raise BenchError(f"wrk failed on {url}: {ran.stdout}{ran.stderr}")
        got = json.loads(lines[0].removeprefix("FIGURES "))
        if got["wrong"] or not got["bytes"]:
            raise BenchError(f"{got['wrong']} of {got['requests']} answers of {url} were wrong")
        return Figures(
            got["requests"], got["bytes"], got["duration_us"] / 1e6, got["p99_us"] / 1000
        )


class Idle:
    """Connections that asked once and are kept open."""

    def __init__(self, port: int, count: int) -> None:
        self._sockets = [self._asked(port) for _ in range(count)]

    def _asked(self, port: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
            raise BenchError(f"127.0.0.1:{port} does not answer an idle connection's one request")
        return connection

    def close(self) -> None:
        """Let go of all."""
        for connection in self._sockets:
            connection.close()


def answers(port: int) -> bool:
    """Whether 127.0.0.1:`port` answers a request with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            return connection.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at, now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
