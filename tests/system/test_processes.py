"""The daemon and its workers as real processes: started, killed, reloaded, drained."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.backend import Backend
from tests.support.daemon import PATIENCE_S, TWISTD, Daemon, is_running, wait_for

# An address of its own: two listeners may not be configured alike, port 0 or not.
ADMIN = "127.0.0.9:0"


def configuration(
    *backends: str, workers: int = 2, more: str = "", port: int = 0, admin: str = ADMIN
) -> str:
    """Write a file with one HTTP listener and one pool."""
    listed = "".join(f"      - address: {backend}\n" for backend in backends)
    return (
        f"workers: {workers}\nadmin: {{address: {admin}}}\n"
        f"listeners:\n  - address: 127.0.0.1:{port}\n"
        f"pools:\n  - name: app\n    backends:\n{listed}routes:\n  - pool: app\n{more}"
    )


class Client:
    """One connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def get(self, path: str = "/") -> http.client.HTTPResponse:
        """Ask, and read the whole answer."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        self._connection.close()


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.backend = Backend("one")
        self.addCleanup(self.backend.close)

    def daemon(self, text: str, **options: object) -> Daemon:
        daemon = Daemon(text, **options)
        self.addCleanup(daemon.close)
        return daemon.ready()

    def client(self, port: int) -> Client:
        client = Client(port)
        self.addCleanup(client.close)
        return client

    def get(self, port: int, path: str = "/") -> str:
        """Ask once, on a connection of its own."""
        client = Client(port)
        try:
            return client.get(path).text
        finally:
            client.close()

    def ask_held(self, port: int) -> tuple[threading.Thread, list[object]]:
        """Ask for something the backend holds back; returns when the backend has the request."""
        results: list[object] = []

        def ask() -> None:
            try:
                results.append(self.get(port, "/held"))
            except (OSError, http.client.HTTPException) as error:
                results.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        self.addCleanup(thread.join)
        self.assertTrue(self.backend.arrived.acquire(timeout=PATIENCE_S))
        return thread, results

    def is_refused(self, port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
        except ConnectionRefusedError:
            return True
        return False


class StartTests(Case):
    def test_serves_from_any_directory(self) -> None:
        daemon = self.daemon(configuration(self.backend.address), directory="/")
        self.assertEqual(self.get(daemon.port()), "one")
        self.assertEqual(len(daemon.workers), 2)
        self.assertIn("2 workers, 1 listener, configuration 1", daemon.output)

    def test_tells_workers_no_secrets(self) -> None:
        secret = {"VELOFLUX_ADMIN_PASSWORD": "open sesame", "STRIPE_KEY": "sk_1"}
        daemon = self.daemon(configuration(self.backend.address), environ=secret)
        for worker in daemon.workers:
            environ = Path(f"/proc/{worker}/environ").read_bytes()
            self.assertNotIn(b"open sesame", environ)
            self.assertNotIn(b"sk_1", environ)

    def test_leaves_workers_only_the_descriptors_they_need(self) -> None:
        """A worker that held others' sockets would keep their connections from ending."""
        daemon = self.daemon(configuration(self.backend.address))
        for worker in daemon.workers:
            listening = [
                os.readlink(link)
                for link in Path(f"/proc/{worker}/fd").iterdir()
                if "socket" in os.readlink(link)
            ]
            # The channel, its own listening socket, its own door and the other's.
            self.assertEqual(len(listening), 4)

    def test_serves_a_unix_socket(self) -> None:
        """One for all workers: it outlives each of them, and goes with its listener."""
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/app.sock"
            text = configuration(self.backend.address)
            daemon = self.daemon(text.replace("127.0.0.1:0\npools", f"unix:{path}\npools"))
            self.ask_by_path(path)
            leaving = daemon.workers[0]
            os.kill(leaving, signal.SIGTERM)
            wait_for("its end", lambda: not is_running(leaving))
            self.ask_by_path(path)
            daemon.reload(text)
            wait_for("the end of its name", lambda: not os.path.exists(path))
            daemon.wait_for_log("is in force")
            self.assertNotIn("Traceback", daemon.output)

    def ask_by_path(self, path: str) -> None:
        """Be answered often enough to meet every worker."""
        for _ in range(4):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
                caller.settimeout(PATIENCE_S)
                caller.connect(path)
                caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertIn(b"200 OK", caller.recv(4096))

    def test_logs_from_the_level_that_is_asked_for(self) -> None:
        news, plain = "worker 0 runs, pid", configuration(self.backend.address, workers=1)
        self.assertNotIn(news, self.daemon(plain).output)
        self.assertIn(news, self.daemon(plain + "logging: {level: debug}\n").output)

    def test_says_when_a_worker_cannot_serve_what_is_asked(self) -> None:
        text = configuration(
            self.backend.address, more="logging: {access: {path: /nonexistent/access.log}}\n"
        )
        daemon = Daemon(text)
        self.addCleanup(daemon.close)
        self.assertEqual(daemon.wait(), 1)
        self.assertIn("cannot start: worker", daemon.output)
        self.assertIn("/nonexistent/access.log", daemon.output)
        self.assertNotIn("Traceback", daemon.output)


class OccupiedPortTests(Case):
    """X14: a clear error and exit code, not a traceback."""

    def setUp(self) -> None:
        super().setUp()
        self.taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.taken.close)
        self.port = self.taken.getsockname()[1]
        self.text = configuration(self.backend.address, port=self.port)

    def run_twistd(self, *options: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "veloflux.yaml")
            file.write_text(self.text)
            return subprocess.run(
                [TWISTD, *options, "veloflux", "-c", str(file)],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                cwd=directory,
            )

    def test_in_the_foreground(self) -> None:
        ended = self.run_twistd("-n", "--pidfile=")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"veloflux.yaml: cannot listen on 127.0.0.1:{self.port}", ended.stderr)
        self.assertIn("another process listens there; stop it", ended.stderr)
        self.assertNotIn("Traceback", ended.stdout + ended.stderr)

    def test_as_a_daemon(self) -> None:
        ended = self.run_twistd()
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"cannot listen on 127.0.0.1:{self.port}", ended.stderr)
        self.assertNotIn("Traceback", ended.stdout + ended.stderr)

    def test_of_the_admin_api(self) -> None:
        self.text = configuration(self.backend.address, admin=f"127.0.0.1:{self.port}")
        ended = self.run_twistd("-n", "--pidfile=")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"cannot listen on 127.0.0.1:{self.port}", ended.stderr)

    def test_beside_another_daemon_of_the_same_user(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        self.text = configuration(self.backend.address, port=daemon.port())
        self.assertEqual(self.run_twistd("-n", "--pidfile=").returncode, 1)


class DeathTests(Case):
    """X8: a worker dies, or the daemon itself."""

    def test_a_killed_worker_is_replaced_and_the_other_never_notices(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        victim, other = daemon.workers
        by_worker = self.spread(daemon)
        daemon.deaths = 1
        os.kill(victim, signal.SIGKILL)
        for _ in range(50):
            for client in by_worker[other]:
                self.assertEqual(client.get().text, "one")
        # Whoever comes to the dead worker's socket waits for the successor, and is served.
        for _ in range(30):
            self.assertEqual(self.get(daemon.port()), "one")
        daemon.wait_for_log("died: killed by signal 9 (SIGKILL); its successor starts in 0.00 s")
        wait_for("a successor", lambda: len(daemon.workers) == 2 and victim not in daemon.workers)
        self.assertIn(other, daemon.workers)

    def spread(self, daemon: Daemon) -> dict[int, list[Client]]:
        """Open connections until each worker has some; returns them by worker."""
        found: dict[int, list[Client]] = {pid: [] for pid in daemon.workers}
        for _ in range(200):
            before = {pid: self.sockets_of(pid) for pid in found}
            client = self.client(daemon.port())
            client.get("/")
            for pid in found:
                if self.sockets_of(pid) > before[pid]:
                    found[pid].append(client)
                    break
            if all(len(clients) >= 3 for clients in found.values()):
                return found
        raise AssertionError("one worker got no connections")

    def sockets_of(self, pid: int) -> int:
        return sum("socket" in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())

    def test_a_worker_told_to_leave_finishes_beside_its_successor(self) -> None:
        daemon = self.daemon(configuration(self.backend.address, workers=1))
        [leaving] = daemon.workers
        thread, results = self.ask_held(daemon.port())
        os.kill(leaving, signal.SIGTERM)
        daemon.wait_for_log("was told to leave; its successor starts")
        self.assertEqual(self.get(daemon.port()), "one")
        self.assertTrue(is_running(leaving))
        self.backend.release.set()
        thread.join()
        self.assertEqual(results, ["one"])
        wait_for("its end", lambda: not is_running(leaving))
        self.assertEqual(self.get(daemon.port()), "one")

    def test_a_dead_daemon_leaves_no_workers(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        workers, port = daemon.workers, daemon.port()
        self.assertEqual(len(workers), 2)
        daemon.process.kill()
        daemon.process.wait()
        wait_for("their end", lambda: not any(map(is_running, workers)))
        self.assertTrue(self.is_refused(port))


class ReloadTests(Case):
    """C4 and the life of a configuration."""

    def test_a_change_comes_into_force_and_connections_stay(self) -> None:
        two = Backend("two")
        self.addCleanup(two.close)
        daemon = self.daemon(configuration(self.backend.address))
        client, workers = self.client(daemon.port()), daemon.workers
        self.assertEqual(client.get().text, "one")
        daemon.reload(configuration(two.address))
        daemon.wait_for_log("configuration 2 is in force")
        self.assertEqual(client.get().text, "two")
        self.assertEqual(daemon.workers, workers)
        self.assertIn(f"backend {two.address} of pool app added", daemon.output)

    def test_a_request_under_way_ends_as_it_began(self) -> None:
        two = Backend("two")
        self.addCleanup(two.close)
        daemon = self.daemon(configuration(self.backend.address))
        thread, results = self.ask_held(daemon.port())
        daemon.reload(configuration(two.address))
        daemon.wait_for_log("configuration 2 is in force")
        self.backend.release.set()
        thread.join()
        self.assertEqual(results, ["one"])

    def test_a_bad_file_changes_nothing_and_every_problem_is_told(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        text = configuration(self.backend.address, more="colour: red\n")
        daemon.reload(text.replace("    backends", "    algorithm: best\n    backends"))
        daemon.wait_for_log("the configuration was not reloaded; revision 1 stays in force")
        self.assertIn("veloflux.yaml:7: pools[0].algorithm:", daemon.output)
        self.assertIn("veloflux.yaml:12: colour:", daemon.output)
        self.assertEqual(self.get(daemon.port()), "one")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("the configuration was not reloaded; revision 1 stays in force")

    def test_listeners_come_and_go(self) -> None:
        text = configuration(self.backend.address)
        daemon = self.daemon(text)
        old = daemon.port()
        with socket.create_server(("127.0.0.1", 0)) as free:
            new = free.getsockname()[1]
        daemon.reload(
            text.replace("  - address: 127.0.0.1:0\npools", f"  - address: 127.0.0.1:{new}\npools")
        )
        daemon.wait_for_log("configuration 2 is in force")
        self.assertEqual(self.get(new), "one")
        self.assertTrue(self.is_refused(old))

    def test_a_port_that_is_taken_changes_nothing(self) -> None:
        text = configuration(self.backend.address)
        daemon = self.daemon(text)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            daemon.reload(text.replace("pools", f"  - address: 127.0.0.1:{port}\npools"))
            daemon.wait_for_log("revision 1 stays in force")
        self.assertIn(f"cannot listen on 127.0.0.1:{port}: another process", daemon.output)
        self.assertEqual(self.get(daemon.port()), "one")

    def test_what_needs_a_restart_is_refused_by_name(self) -> None:
        text = configuration(self.backend.address)
        daemon = self.daemon(text)
        daemon.reload(text + "data_dir: elsewhere\n")
        daemon.wait_for_log("revision 1 stays in force")
        self.assertIn("data_dir", daemon.output)
        self.assertIn("restart the daemon, or undo the change", daemon.output)

    def test_more_and_fewer_workers(self) -> None:
        daemon = self.daemon(configuration(self.backend.address, workers=1))
        [first] = daemon.workers
        daemon.reload(configuration(self.backend.address, workers=3))
        wait_for("three workers", lambda: len(daemon.workers) == 3)
        for _ in range(20):
            self.assertEqual(self.get(daemon.port()), "one")
        daemon.reload(configuration(self.backend.address, workers=1))
        wait_for("one worker", lambda: daemon.workers == [first])
        for _ in range(20):
            self.assertEqual(self.get(daemon.port()), "one")

    def test_a_storm_of_reloads_under_traffic_loses_no_request(self) -> None:
        """C4."""
        two = Backend("two")
        self.addCleanup(two.close)
        daemon = self.daemon(configuration(self.backend.address))
        client, answers = self.client(daemon.port()), []
        for number in range(100):
            backend = two if number % 2 else self.backend
            daemon.reload(configuration(backend.address))
            answers.append(client.get().text)
            answers.append(self.get(daemon.port()))
        self.assertEqual(len(answers), 200)
        self.assertLessEqual(set(answers), {"one", "two"})
        wait_for("the last change", lambda: client.get().text == "two")
        self.assertTrue(all(map(is_running, daemon.workers)))
        self.assertNotIn("Traceback", daemon.output)

    def test_reopens_log_files(self) -> None:
        text = configuration(self.backend.address, more="logging: {access: {path: access.log}}\n")
        daemon = self.daemon(text)
        self.get(daemon.port(), "/before")
        log, moved = daemon.directory / "access.log", daemon.directory / "access.log.1"
        wait_for("the line", lambda: "/before" in log.read_text())
        log.rename(moved)
        daemon.signal(signal.SIGUSR1)
        # Both workers have heard when each has written to it.
        daemon.wait_for_log("log files are opened anew")
        wait_for("the new file", lambda: self.get(daemon.port(), "/after") and log.exists())
        wait_for("the line", lambda: "/after" in log.read_text())


class StopTests(Case):
    """X8: SIGTERM, twice SIGTERM, Ctrl-C."""

    def test_finishes_what_is_in_flight_and_ends_with_0(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        port = daemon.port()
        idle = self.client(port)
        idle.get()
        thread, results = self.ask_held(port)
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("draining")
        wait_for("refusing", lambda: self.is_refused(port))
        self.assertEqual(results, [])
        self.backend.release.set()
        thread.join()
        self.assertEqual(results, ["one"])
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn("Traceback", daemon.output)

    def test_is_not_ready_while_it_drains(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        self.assertEqual(self.is_ready(daemon), 200)
        thread, results = self.ask_held(daemon.port())
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("draining")
        self.assertEqual(self.is_ready(daemon), 503)
        self.backend.release.set()
        self.assertEqual(daemon.wait(), 0)
        thread.join()
        self.assertEqual(results, ["one"])

    def is_ready(self, daemon: Daemon) -> int:
        connection = http.client.HTTPConnection(daemon.admin, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status
        finally:
            connection.close()

    def test_a_second_signal_ends_it_at_once(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        workers = daemon.workers
        thread, results = self.ask_held(daemon.port())
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("draining")
        self.assertIsNone(daemon.process.poll())
        # One that comes right after the first is taken for the same.
        told = "told a second time to stop"
        wait_for("it", lambda: daemon.signal(signal.SIGTERM) or told in daemon.output)
        self.assertEqual(daemon.wait(), 0)
        self.assertFalse(any(map(is_running, workers)))
        thread.join()
        self.assertIsInstance(results[0], Exception)

    def test_a_signal_that_comes_twice_at_once_is_one(self) -> None:
        """As from timeout(1), which signals the process and then its group."""
        daemon = self.daemon(configuration(self.backend.address))
        thread, results = self.ask_held(daemon.port())
        daemon.signal(signal.SIGTERM)
        os.killpg(daemon.process.pid, signal.SIGTERM)
        daemon.wait_for_log("draining")
        self.backend.release.set()
        thread.join()
        self.assertEqual(results, ["one"])
        self.assertEqual(daemon.wait(), 0)

    def test_ctrl_c_drains_although_workers_get_it_too(self) -> None:
        daemon = self.daemon(configuration(self.backend.address))
        thread, results = self.ask_held(daemon.port())
        os.killpg(daemon.process.pid, signal.SIGINT)
        daemon.wait_for_log("draining")
        self.backend.release.set()
        thread.join()
        self.assertEqual(results, ["one"])
        self.assertEqual(daemon.wait(), 0)

    def test_ends_while_it_still_starts(self) -> None:
        daemon = Daemon(configuration(self.backend.address))
        self.addCleanup(daemon.close)
        wait_for("the first worker", lambda: daemon.workers or daemon.process.poll() is not None)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn("Traceback", daemon.output)


class BackgroundTests(Case):
    """As an init script runs it."""

    def test_runs_in_the_background_and_logs_to_its_file(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            file, log, pidfile = place / "a.yaml", place / "twistd.log", place / "pid"
            file.write_text(configuration(self.backend.address))
            # Relative, and then twistd goes elsewhere.
            subprocess.run(
                [
                    TWISTD,
                    f"--logfile={log}",
                    f"--pidfile={pidfile}",
                    "--rundir=/",
                    "veloflux",
                    "-c",
                    "a.yaml",
                ],
                cwd=place,
                check=True,
                timeout=PATIENCE_S,
            )
            pid = int(pidfile.read_text())
            self.addCleanup(lambda: is_running(pid) and os.kill(pid, signal.SIGKILL))
            wait_for("serving", lambda: log.exists() and " serving: " in log.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_for("its end", lambda: not is_running(pid))
            self.assertIn("worker 0 has drained", log.read_text())
            self.assertFalse(pidfile.exists())

    def test_tells_systemd_how_it_is(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/notify"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.bind(path)
                systemd.settimeout(PATIENCE_S)
                text = configuration(self.backend.address)
                daemon = self.daemon(text, environ={"NOTIFY_SOCKET": path})
                self.assertTrue(systemd.recv(4096).startswith(b"READY=1\nSTATUS=VeloFlux"))
                daemon.reload(text)
                self.assertTrue(systemd.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC="))
                self.assertTrue(systemd.recv(4096).startswith(b"READY=1"))
                daemon.signal(signal.SIGTERM)
                self.assertTrue(systemd.recv(4096).startswith(b"STOPPING=1"))
                self.assertEqual(daemon.wait(), 0)
