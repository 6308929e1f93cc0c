"""The demonstration's processes: started in order, and none of them left behind."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

DEADLINE_S = 30.0

# Stands in for the daemon: says it is ready, and has a child of its own, as workers are.
DAEMON = """
import http.server, signal, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""

LAUNCH = """
import sys
from pathlib import Path
from veloflux.demo import launch
from veloflux.demo.plan import read
launch.DRAIN_S = launch.HARD_S = 0.5
sys.exit(launch.run(read(Path(sys.argv[1])), sys.argv[2:]))
"""


def free_port() -> int:
    """A port that nobody listens at, now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def session(leader: int) -> set[int]:
    """The processes of the session that `leader` leads; zombies are not counted."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command in parentheses may hold spaces, so fields are counted after it.
            state, _, _, owner = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(owner) == leader and state != "Z":
            found.add(int(entry.name))
    return found


class Running(SynchronousTestCase):
    """A demonstration with a daemon of the test's own."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.web, self.admin, self.one, self.two = (free_port() for _ in range(4))
        self.config = folder / "veloflux.yaml"
        self.config.write_text(
            textwrap.dedent(
                f"""
                data_dir: .
                admin: {{address: "127.0.0.1:{self.admin}"}}
                listeners: [{{address: "127.0.0.1:{self.web}"}}]
                pools:
                  - name: app
                    backends:
                      - address: 127.0.0.1:{self.one}
                      - address: 127.0.0.1:{self.two}
                """
            )
        )
        (folder / "admin-password").write_text("made-at-first-start\n")
        self.log = folder / "log"

    def start(self, how: str = "plain") -> subprocess.Popen[bytes]:
        """Start a demonstration in a session of its own, and wait until it has greeted."""
        daemon = [sys.executable, "-c", DAEMON, str(self.admin), how]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(self.config), *daemon],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.addCleanup(process.wait, DEADLINE_S)
        self.addCleanup(self.end, process)
        self.wait(lambda: "VeloFlux is up" in self.log.read_text())
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill whatever a failed test has left, each by its id."""
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)

    def wait(self, is_so) -> None:
        """Wait until `is_so()`; fails with the log when it does not come."""
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            if time.monotonic() > deadline:
                self.fail(f"waited in vain; the log says:\n{self.log.read_text()}")
            time.sleep(0.05)

    def test_says_where_to_look_and_how_to_sign_in(self) -> None:
        self.start()
        greeting = self.log.read_text()
        self.assertIn(f"curl -i http://127.0.0.1:{self.web}/hello", greeting)
        self.assertIn("user admin, password made-at-first-start", greeting)

    def test_starts_a_backend_at_each_address(self) -> None:
        self.start()
        for port in (self.one, self.two):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                self.assertEqual(answer.headers["X-Backend"], f"backend-{port}")

    def test_leaves_nothing_behind(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                process = self.start()
                self.assertEqual(len(session(process.pid)), 5)
                process.send_signal(number)
                self.assertEqual(process.wait(DEADLINE_S), 0)
                self.assertEqual(session(process.pid), set())

    def test_leaves_nothing_behind_when_the_daemon_is_deaf(self) -> None:
        process = self.start("deaf")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE_S), 0)
        self.assertEqual(session(process.pid), set())

    def test_ends_with_the_daemon(self) -> None:
        process = self.start()
        daemon = next(pid for pid in session(process.pid) if self.is_daemon(pid))
        os.kill(daemon, signal.SIGKILL)
        self.assertEqual(process.wait(DEADLINE_S), 1)
        self.assertEqual(session(process.pid), set())

    def test_goes_on_without_a_backend(self) -> None:
        process = self.start()
        backend = next(
            pid for pid in session(process.pid) if f"backend-{self.one}" in self.command(pid)
        )
        os.kill(backend, signal.SIGTERM)
        self.wait(lambda: "the others go on" in self.log.read_text())
        self.assertIsNone(process.poll())

    def test_tells_its_children_when_it_is_killed(self) -> None:
        process = self.start()
        children = {pid for pid in session(process.pid) if "sleep" not in self.command(pid)}
        process.kill()
        process.wait(DEADLINE_S)
        self.wait(lambda: not session(process.pid) & children)

    def test_refuses_a_taken_port_by_name(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", self.web))
            other.listen()
            ran = subprocess.run(
                [sys.executable, "-m", "veloflux.demo", "--config", str(self.config)],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
            )
        self.assertEqual(ran.returncode, 1)
        self.assertIn(f"Another program listens at 127.0.0.1:{self.web}", ran.stderr)

    def command(self, pid: int) -> str:
        """The command line of a process."""
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")

    def is_daemon(self, pid: int) -> bool:
        """Whether `pid` is the stand-in itself, not the launcher that has it as an argument."""
        return "HTTPServer" in self.command(pid) and "launch" not in self.command(pid)
