"""The demonstration's processes: started in order, and none of them left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
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


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever a failed test has left, each by its id."""
    for pid in session(process.pid):
        os.kill(pid, signal.SIGKILL)


def wait(test: SynchronousTestCase, log: Path, is_so: Callable[[], bool]) -> None:
    """Wait until `is_so()`; fails with the log when it does not come."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            test.fail(f"waited in vain; the log says:\n{log.read_text()}")
        time.sleep(0.05)


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
        self.addCleanup(end_session, process)
        wait(self, self.log, lambda: "VeloFlux is up" in self.log.read_text())
        return process

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
        wait(self, self.log, lambda: "the others go on" in self.log.read_text())
        self.assertIsNone(process.poll())

    def test_tells_its_children_when_it_is_killed(self) -> None:
        process = self.start()
        children = {pid for pid in session(process.pid) if "sleep" not in self.command(pid)}
        process.kill()
        process.wait(DEADLINE_S)
        wait(self, self.log, lambda: not session(process.pid) & children)

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


class Make(SynchronousTestCase):
    """`make run` as a newcomer types it, but on ports of its own."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        (folder / "etc").mkdir(parents=True)
        self.log = folder / "log"
        self.config = folder / "etc" / "veloflux.yaml"
        text = (ROOT / "etc" / "veloflux.yaml").read_text()
        self.ports = {}
        for port in ("8080", "8443", "8081", "9090", "9001", "9002"):
            self.ports[port] = free_port()
            self.assertIn(f"127.0.0.1:{port}", text)
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[port]}")
        self.config.write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        """Type it, in a session of its own, and wait for the greeting."""
        # Not as a part of the `make test` that runs this.
        environ = {name: v for name, v in os.environ.items() if not name.startswith("MAKE")}
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                ["make", "--no-print-directory", "run", f"CONFIG={self.config}"],
                cwd=ROOT,
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.addCleanup(process.wait, DEADLINE_S)
        self.addCleanup(end_session, process)
        wait(self, self.log, lambda: "VeloFlux is up" in self.log.read_text())
        return process

    def get(self, port: str, path: str, user: str = "", scheme: str = "http") -> str:
        """What curl gets, as a user would."""
        command = ["curl", "-sSk", "--fail", "--max-time", "20", *(["-u", user] if user else [])]
        url = f"{scheme}://127.0.0.1:{self.ports[port]}{path}"
        ran = subprocess.run([*command, url], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout

    def test_serves_what_it_says(self) -> None:
        process = self.start()
        greeting = self.log.read_text()
        told = [json.loads(self.get("8080", "/hello")) for _ in range(4)]
        self.assertEqual({answer["target"] for answer in told}, {"/hello"})
        self.assertEqual(len({answer["backend"] for answer in told}), 2)
        self.assertIn('"/safe"', self.get("8443", "/safe", scheme="https"))
        self.assertIn(f"https://127.0.0.1:{self.ports['8443']}/", greeting)
        self.assertIn("backend-", self.get("8081", "/over-tcp"))
        self.assertEqual(len(self.get("8080", "/bytes?n=300000")), 300000)
        self.assertEqual(self.get("8080", "/stream?n=3&ms=10").count("\n"), 3)
        password = re.search(r"user admin, password (\S+)", greeting)
        assert password is not None, greeting
        self.assertIn("veloflux_", self.get("9090", "/metrics", f"admin:{password[1]}"))
        self.leaves_nothing(process, signal.SIGTERM)

    def test_carries_websockets(self) -> None:
        process = self.start()
        with connect(f"ws://127.0.0.1:{self.ports['8080']}/ws") as socket_:
            socket_.send("hello")
            self.assertEqual(socket_.recv(DEADLINE_S), "hello")
        self.leaves_nothing(process, signal.SIGTERM)

    def test_ends_with_ctrl_c(self) -> None:
        self.leaves_nothing(self.start(), signal.SIGINT)

    def leaves_nothing(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Stop it: Ctrl-C goes to make's whole group as a terminal does it, others to make."""
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait(DEADLINE_S)
        # On SIGTERM make passes the word on, but does not wait for the launcher.
        wait(self, self.log, lambda: not session(process.pid))
