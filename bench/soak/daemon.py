"""The daemon under soak: its configuration, its reloads, and what its logs say."""

import json
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from string import Template

from bench.load import free_port
from bench.process import Process

# What tells of a fault in a daemon's log.
FAULTS = re.compile(r"Traceback|Unhandled|critical|Error:")

CONFIGURATION = """
workers: 2
data_dir: $folder/var
admin: {address: "127.0.0.1:$admin"}
metrics: {address: "127.0.0.1:$metrics"}
listeners:
  - name: web
    address: 127.0.0.1:$port
    limits: &limits
      max_body_bytes: 64MiB
      header_timeout: 3s
      body_timeout: 3s
      keepalive_timeout: 3s
      write_timeout: 3s
  - {name: relay, address: "127.0.0.1:$relay", protocol: tcp, pool: echo, limits: *limits}
  - {name: nowhere, address: "127.0.0.1:$nowhere", protocol: tcp, pool: refused}
  $listener
pools:
  - name: app
    backends: [{address: "127.0.0.1:$http"}]
    health_check: {path: /health, interval: 1s}
    timeouts: &timeouts {connect: 500ms, first_byte: 3s, idle: 3s}
    keepalive: &keepalive {max_idle: 32, idle_timeout: 3s}
  - name: mixed
    backends: [{address: "127.0.0.1:$http"}, {address: "127.0.0.1:$refusing"} $backend]
    timeouts: *timeouts
    keepalive: *keepalive
  - name: faulty
    backends: [{address: "127.0.0.1:$faulty"}, {address: "127.0.0.1:$deaf"}]
    health_check: {path: /health, interval: 500ms, timeout: 300ms, rise: 1, fall: 1}
    timeouts: *timeouts
    keepalive: *keepalive
  - name: bad
    backends: [{address: "127.0.0.1:$http"}]
    timeouts: *timeouts
    keepalive: *keepalive
  - name: named
    backends: [{address: "localhost:$http"}]
    timeouts: *timeouts
    keepalive: *keepalive
  - name: socket
    backends: [{address: "unix:$socket"}]
    timeouts: *timeouts
    keepalive: *keepalive
  - {name: refused, backends: [{address: "127.0.0.1:$refusing"}], timeouts: *timeouts}
  - {name: deaf, backends: [{address: "127.0.0.1:$deaf"}], timeouts: *timeouts}
  - {name: echo, backends: [{address: "127.0.0.1:$tcp"}], timeouts: *timeouts}
  $pool
routes:
  - {host: app, pool: app}
  - {host: mixed, pool: mixed}
  - {host: faulty, pool: faulty}
  - {host: bad, pool: bad}
  - {host: named, pool: named}
  - {host: socket, pool: socket}
  - {host: refused, pool: refused}
  - {host: deaf, pool: deaf}
  $route
logging:
  access: {path: $log, format: $format}
"""
# Two configurations that are reloaded in turn: what comes and goes with one of them.
TURNS = (
    {"listener": "", "pool": "", "backend": "", "route": "", "format": "json"},
    {
        "listener": "- {name: extra, address: 'unix:$folder/extra.sock'}",
        "pool": "- {name: extra, backends: [{address: '127.0.0.1:$http'}]}",
        "backend": ", {address: 'unix:$socket'}",
        "route": "- {host: extra, pool: extra}",
        "format": "combined",
    },
)


class Daemon:
    """One daemon in `folder`, before an origin at `places`."""

    def __init__(self, folder: Path, places: dict[str, str]) -> None:
        own = ("port", "relay", "nowhere", "admin", "metrics")
        self._words = places | {name: str(free_port()) for name in own}
        self._words |= {"folder": str(folder), "log": str(folder / "access.log")}
        self._file = folder / "veloflux.yaml"
        self._output = folder / "daemon.log"
        self._access = folder / "access.log"
        self._turn = 0
        self._configure()
        twistd = str(Path(sys.executable).with_name("twistd"))
        command = [twistd, "-n", "--pidfile=", "veloflux", "-c", str(self._file)]
        self.process = Process("daemon", command, os.sched_getaffinity(0), folder)
        self.metrics = int(self._words["metrics"])
        self.ports = [self._words[name] for name in ("port", "relay", "nowhere")]

    def wait(self) -> None:
        """Until it serves. Raises BenchError when it does not come up."""
        self.process.wait(lambda: " serving: " in self._output.read_text())

    def _configure(self) -> None:
        turn = {
            key: Template(text).substitute(self._words) for key, text in TURNS[self._turn].items()
        }
        self._file.write_text(Template(CONFIGURATION).substitute(self._words | turn))

    def reload(self, turn: int | None = None) -> None:
        """Have it serve by the other configuration, or by this one."""
        self._turn = 1 - self._turn if turn is None else turn
        self._configure()
        self.process.signal(signal.SIGHUP)

    def terminations(self) -> Counter[str]:
        """How the requests that were logged as JSON ended since the last call; empties the log."""
        with self._access.open() as log:
            found = Counter(
                f"{entry['status']} {entry['termination']}"
                for line in log
                if line.startswith("{")
                for entry in [json.loads(line)]
            )
        os.truncate(self._access, 0)
        return found

    def faults(self) -> list[str]:
        """Lines of its log that tell of a fault."""
        return [line for line in self._output.read_text().splitlines() if FAULTS.search(line)]
