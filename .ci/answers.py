"""Starts the installed `twistd veloflux` before a demo backend, and asks both ports something.

answers.py FOLDER: with the interpreter of the virtual environment that is tried; writes in FOLDER.
"""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

DEADLINE_S = 30.0
CONFIG = """
workers: 1
data_dir: {folder}/var
admin: {{address: "127.0.0.1:{admin}"}}
listeners: [{{address: "127.0.0.1:{web}"}}]
pools: [{{name: app, backends: [{{address: "127.0.0.1:{backend}"}}]}}]
routes: [{{pool: app}}]
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def answer(url: str, daemon: subprocess.Popen[bytes]) -> str:
    """The first 200 from `url`; waits for it, and fails when the daemon ends before."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and daemon.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as got:  # noqa: S310  our own http: URL
                return got.read().decode()
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise SystemExit(f"no answer from {url}; the daemon's status is {daemon.poll()}")


def main() -> None:
    """Exit 0 when everything answered and ended as it should."""
    folder = Path(sys.argv[1])
    web, admin, port = free_ports(3)
    config = folder / "veloflux.yaml"
    config.write_text(CONFIG.format(folder=folder, web=web, admin=admin, backend=port))
    server = [sys.executable, "-m", "veloflux.demo.backend", "--port", str(port), "--name", "one"]
    twistd = str(Path(sys.executable).with_name("twistd"))
    command = [twistd, "-n", "--pidfile=", "veloflux", "--config", str(config)]
    with subprocess.Popen(server) as backend:  # noqa: S603  our own commands
        try:
            with subprocess.Popen(command) as daemon:  # noqa: S603  our own commands
                try:
                    answer(f"http://127.0.0.1:{admin}/readyz", daemon)
                    told = answer(f"http://127.0.0.1:{web}/smoke", daemon)
                    if '"backend": "one"' not in told:
                        raise SystemExit(f"not the backend's answer: {told}")
                    daemon.send_signal(signal.SIGTERM)
                    status = daemon.wait(DEADLINE_S)
                finally:
                    daemon.kill()
        finally:
            backend.terminate()
    if status:
        raise SystemExit(f"the daemon ended with {status}")
    print("twistd veloflux: started, answered, ended")


if __name__ == "__main__":
    main()
