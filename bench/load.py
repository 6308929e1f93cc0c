"""What is done to a proxy, and what it says of it: the figures of wrk and of h2load, or idle
connections held open."""

import json
import re
import socket
import ssl
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.process import BenchError

# Exact figures as one line of JSON; wrk's own text rounds. Without a request function of its own
# it sends a request that was built once.
DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nFIGURES {"requests":%d,"bytes":%d,"duration_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"wrong":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""
# What wrk counts as wrong, in words; its timeout is of the whole answer, which it still reads.
KINDS = {
    "connect": "connection not opened",
    "read": "failed while reading",
    "write": "failed while writing",
    "status": "status not 2xx or 3xx",
    "timeout": "later than 2 s",
}
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
# A PROXY header before each request: for a connection that serves one. wrk asks for one request
# more than it sends, at the start, and insists that it is one.
PREFACED = """
local asked, sent
request = function()
  if not asked then
    asked = true
    return wrk.format()
  end
  sent = sent or "PROXY TCP4 192.0.2.1 127.0.0.1 50000 80\\r\\n" .. wrk.format()
  return sent
end
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of wrk."""

    requests: int
    bytes: int
    seconds: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Wrk:
    """A closed loop of `connections` that ask for `path`.

    With `is_returning` they bring the cookies that an answer set before; with `is_prefaced` each
    connection begins with a PROXY header, which needs `keepalive` to be false. With `is_secure`
    they speak TLS, and believe any certificate.
    """

    path: str = "/"
    connections: int = 64
    keepalive: bool = True
    many_routes: bool = False
    headers: tuple[str, ...] = ()
    is_returning: bool = False
    is_prefaced: bool = False
    is_secure: bool = False

    def run(self, port: int, seconds: int, cores: set[int], folder: Path) -> Figures:
        """Load 127.0.0.1:`port`; raises BenchError when any answer was wrong."""
        script = folder / "wrk.lua"
        script.write_text(
            DONE + (MANY if self.many_routes else "") + (PREFACED if self.is_prefaced else "")
        )
        pinned = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
        command = ["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "-s", str(script)]
        headers = list(self.headers)
        if not self.keepalive:
            headers.append("Connection: close")
        if self.is_returning:
            headers.append(f"Cookie: {cookie(port)}")
        for header in headers:
            command += ["-H", header]
        url = f"http{'s' if self.is_secure else ''}://127.0.0.1:{port}{self.path}"
        ran = subprocess.run([*pinned, *command, url], capture_output=True, text=True)
        lines = [line for line in ran.stdout.splitlines() if line.startswith("FIGURES ")]
        if ran.returncode or not lines:
            raise BenchError(f"wrk failed on {url}: {ran.stdout}{ran.stderr}")
        got = json.loads(lines[0].removeprefix("FIGURES "))
        if wrong := faults(got["wrong"]):
            raise BenchError(f"of {got['requests']} answers of {url} were wrong: {wrong}")
        if not got["bytes"]:
            raise BenchError(f"{url} answered nothing")
        return Figures(
            got["requests"],
            got["bytes"],
            got["duration_us"] / 1e6,
            got["p99_us"] / 1000,
            got["max_us"] / 1000,
        )


@dataclass(frozen=True, slots=True)
class H2load:
    """A closed loop of so many `streams` on each of `connections`, by HTTP/2 over TLS."""

    streams: int
    connections: int = 64
    path: str = "/"

    def run(self, port: int, seconds: int, cores: set[int], folder: Path) -> Figures:
        """Load 127.0.0.1:`port`; raises BenchError when any answer was wrong."""
        log = folder / "h2load.log"
        log.unlink(missing_ok=True)
        pinned = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
        command = ["h2load", "-t1", f"-c{self.connections}", f"-m{self.streams}"]
        command += [f"-D{seconds}", f"--log-file={log}"]
        url = f"https://127.0.0.1:{port}{self.path}"
        ran = subprocess.run([*pinned, *command, url], capture_output=True, text=True)
        carried = re.search(r"^traffic: .*?\((\d+)\) total", ran.stdout, re.M)
        if ran.returncode or carried is None or "Application protocol: h2" not in ran.stdout:
            raise BenchError(f"h2load failed on {url}: {ran.stdout}{ran.stderr}")
        # Each request's beginning, status and microseconds; what the end cut short is not there.
        requests = [line.split() for line in log.read_text().splitlines()]
        wrong = sum(status != "200" for _, status, _ in requests)
        if wrong or not requests:
            raise BenchError(f"of {len(requests)} answers of {url} were wrong: {wrong}")
        took_ms = sorted(int(took) / 1000 for _, _, took in requests)
        p99_ms = took_ms[len(took_ms) * 99 // 100]
        return Figures(len(requests), int(carried[1]), float(seconds), p99_ms, took_ms[-1])


Load = Wrk | H2load


def faults(wrong: dict[str, int]) -> str:
    """Wrong answers by KINDS in words, those that were; empty when none was."""
    return ", ".join(f"{count} {KINDS[kind]}" for kind, count in wrong.items() if count)


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


ASKED = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def answer(port: int, preface: bytes = b"", is_secure: bool = False) -> bytes:
    """The first part of what 127.0.0.1:`port` answers; empty when it does not."""
    try:
        with ExitStack() as stack:
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=2)
            )
            if is_secure:
                # It is our own proxy, and certificates cost the same whoever signed them.
                context = ssl._create_unverified_context()
                connection = stack.enter_context(context.wrap_socket(connection))
            connection.sendall(preface + ASKED)
            return connection.recv(65536)
    except OSError:
        return b""


def answers(port: int, preface: bytes = b"", is_secure: bool = False) -> bool:
    """Whether 127.0.0.1:`port` answers a request with 200."""
    return answer(port, preface, is_secure).startswith(b"HTTP/1.1 200")


def cookie(port: int) -> str:
    """The cookie that 127.0.0.1:`port` gives; raises BenchError when it gives none."""
    given = re.search(rb"\r\nset-cookie:[ \t]*([^;\r\n]+)", answer(port), re.I)
    if given is None:
        raise BenchError(f"127.0.0.1:{port} sets no cookie")
    return given[1].decode()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at, now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
