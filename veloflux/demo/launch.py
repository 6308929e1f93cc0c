"""Two backends and the daemon before them, until Ctrl-C; then nothing is left behind."""

import argparse
import errno
import http.client
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from veloflux.demo.child import Child
from veloflux.demo.plan import Plan, PlanError, read, split

STOP = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
SIGNALS = STOP | {signal.SIGCHLD}
DRAIN_S = 15.0  # for the daemon to finish what is under way
HARD_S = 3.0  # after a second, harder word
LOOK_S = 0.2  # between looks at whether the daemon answers


def is_taken(address: str) -> bool:
    """Whether another program listens at `address`."""
    host, port = split(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as refused:
            return refused.errno == errno.EADDRINUSE
    return False


def is_up(plan: Plan) -> bool:
    """Whether the backends listen and the daemon says that it takes traffic."""
    if not all(is_taken(address) for address in plan.backends):
        return False
    host, port = split(plan.admin)
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def greeting(plan: Plan, backends: Iterable[Child]) -> str:
    """What to try, and how to sign in."""
    lines = ["", "VeloFlux is up. Ctrl-C stops all of it.", ""]
    for address in plan.http:
        lines.append(f"  HTTP     http://{address}/")
    for address in plan.https:
        lines.append(f"  HTTPS    https://{address}/   (curl -k: its certificate is self-signed)")
    for address in plan.tcp:
        lines.append(f"  TCP      {address}")
    lines.append(f"  admin    http://{plan.admin}/   user {plan.username}, {_password(plan)}")
    for child in backends:
        lines.append(f"  backend  {child.name}   (process {child.pid})")
    if plan.http:
        lines += ["", f"  try      curl -i http://{plan.http[0]}/hello", ""]
    return "\n".join(lines)


def _password(plan: Plan) -> str:
    if plan.password:
        return "password as configured"
    try:
        return f"password {plan.password_file.read_text().strip()}"
    except OSError:
        return "password as set at its first start"


def _wait(seconds: float | None) -> int:
    """The next signal's number, or 0 after `seconds`."""
    if seconds is None:
        return signal.sigwaitinfo(SIGNALS).si_signo
    got = signal.sigtimedwait(SIGNALS, max(seconds, 0))
    return got.si_signo if got else 0


def _end(child: Child, patience_s: float) -> int:
    """End `child` gently; hurry when asked to stop once more or when patience ends."""
    child.signal(signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while not child.has_ended and (left := deadline - time.monotonic()) > 0:
        if _wait(left) in STOP:
            break
    if not child.has_ended:
        child.signal(signal.SIGTERM)
        deadline = time.monotonic() + HARD_S
        while not child.has_ended and (left := deadline - time.monotonic()) > 0:
            _wait(left)
    return child.sweep()


def _watch(plan: Plan, daemon: Child, backends: list[Child]) -> None:
    """Return when somebody asks to stop, or when the daemon has ended."""
    running = list(backends)
    is_greeted = False
    while not daemon.has_ended:
        if not is_greeted and is_up(plan):
            print(greeting(plan, backends), flush=True)
            is_greeted = True
        if _wait(None if is_greeted else LOOK_S) in STOP:
            return
        for child in [child for child in running if child.has_ended]:
            running.remove(child)
            print(f"backend {child.name} has ended; the others go on", flush=True)


def run(plan: Plan, command: list[str]) -> int:
    """Run `command` as the daemon, with a backend at each of the plan's; return its status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    backends = []
    for address in plan.backends:
        host, port = split(address)
        server = [sys.executable, "-m", "veloflux.demo.backend"]
        options = ["--host", host, "--port", str(port), "--name", f"backend-{port}"]
        backends.append(Child(address, [*server, *options], quiet=True))
    daemon = Child("veloflux", command)
    status = 0
    try:
        _watch(plan, daemon, backends)
    finally:
        if daemon.has_ended:
            status = daemon.sweep()
            print(f"the daemon has ended by itself, with {status}", flush=True)
        else:
            _end(daemon, DRAIN_S)
        for child in backends:
            _end(child, HARD_S)
    return 1 if status else 0


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m veloflux.demo", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("etc/veloflux.yaml"))
    chosen = parser.parse_args(argv)
    try:
        plan = read(chosen.config)
    except PlanError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    taken = [address for address in plan.addresses if is_taken(address)]
    if taken:
        print(
            f"Another program listens at {', '.join(taken)}. Stop it (`ss -ltnp` shows which), or"
            f" choose other addresses in {chosen.config}.",
            file=sys.stderr,
        )
        return 1
    # twistd stands beside the interpreter; a pidfile would only forbid a second demonstration.
    twistd = str(Path(sys.executable).with_name("twistd"))
    return run(plan, [twistd, "-n", "--pidfile=", "veloflux", "--config", str(chosen.config)])
