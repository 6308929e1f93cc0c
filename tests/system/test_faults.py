"""What surrounds the real daemon is wrong: its file, its ports, its directory, names."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.case import Running, SystemTestCase, ask, settings, text
from tests.support.daemon import PATIENCE_S, Daemon, is_running, leave_descriptors, wait_for
from tests.support.resolver import Resolver

VELOFLUX = str(Path(sys.executable).with_name("veloflux"))


class StartTests(SystemTestCase):
    """X14, C4: what cannot start says why and ends with 1."""

    def refused(self, configuration: str) -> str:
        """Have it refuse to start, and return what it says."""
        daemon = Daemon(configuration)
        self.addCleanup(daemon.close)
        self.assertEqual(daemon.wait(), 1, daemon.output)
        self.assertNotIn("Traceback", daemon.output)
        self.assertNotIn(" serving: ", daemon.output)
        return daemon.output

    def test_every_error_of_a_file_is_told(self) -> None:
        wrong = settings("127.0.0.1:1", pool={"algorithm": "leastcon"}, route={"pool": "ap"})
        said = self.refused(text(wrong | {"colour": "red"}))
        for part in ("algorithm", "least_conn", "routes[0].pool", "colour"):
            self.assertIn(part, said)

    def test_an_occupied_port_of_its_own(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            for part in ("admin", "metrics"):
                said = self.refused(text(settings("127.0.0.1:1") | {part: {"address": where}}))
                self.assertIn(f"cannot listen on {where}: another process", said)

    def test_a_directory_that_cannot_be_made(self) -> None:
        said = self.refused(text(settings("127.0.0.1:1", data_dir="veloflux.yaml/var")))
        self.assertIn("veloflux.yaml: data_dir: ", said)
        self.assertIn("Not a directory", said)

    def test_a_directory_that_cannot_be_written_to(self) -> None:
        """Nobody may make a file there, not even root, for whom modes mean nothing."""
        said = self.refused(text(settings("127.0.0.1:1", data_dir="/proc/self")))
        self.assertIn("veloflux.yaml: data_dir: /proc/self/store.lock: ", said)

    def test_a_directory_that_another_daemon_uses(self) -> None:
        first = self.daemon(settings("127.0.0.1:1"))
        said = self.refused(text(settings("127.0.0.1:1", data_dir=str(first.directory / "var"))))
        self.assertIn(f"is in use by another daemon (process {first.process.pid})", said)
        self.assertEqual(self.admin(first, "/healthz").status, 200)

    def test_a_store_that_is_damaged(self) -> None:
        first = self.daemon(settings("127.0.0.1:1"))
        first.signal(signal.SIGTERM)
        first.wait()
        (first.directory / "var" / "store.db").write_bytes(b"")
        said = self.refused(text(settings("127.0.0.1:1", data_dir=str(first.directory / "var"))))
        self.assertIn("store.db: it is empty; ", said)


class SecretTests(SystemTestCase):
    """F: secrets are written where they must be and nowhere else."""

    def told(self, daemon: Daemon) -> str:
        """All that others can read of it."""
        said = [daemon.output, self.metrics(daemon).page]
        for path in ("/", "/health", "/api/version", "/api/status"):
            said.append(self.admin(daemon, path).text)  # type: ignore[attr-defined]
        for pid in (daemon.process.pid, *daemon.workers):
            said.append(Path(f"/proc/{pid}/cmdline").read_text())
        for worker in daemon.workers:
            said.append(Path(f"/proc/{worker}/environ").read_text())
        for option in ("--json", "--strict"):
            checked = subprocess.run(
                [VELOFLUX, "check", option, str(daemon.file)],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                env=os.environ | {"SECRET": "only for those who ask"},
            )
            said += [checked.stdout, checked.stderr]
        return "\n".join(said)

    def test_a_password_that_is_made(self) -> None:
        daemon = self.daemon(settings(self.backend().address))
        var = daemon.directory / "var"
        self.assertEqual(var.stat().st_mode & 0o7777, 0o700)
        modes = {file.name: file.stat().st_mode & 0o7777 for file in var.iterdir()}
        self.assertEqual(set(modes.values()), {0o600})
        self.assertLessEqual({"admin-password", "admin-password.hash", "secret.key"}, set(modes))
        told = self.told(daemon)
        self.assertNotIn(daemon.password, told)
        self.assertNotIn("argon2id", told)
        self.assertEqual(self.admin(daemon, "/metrics").status, 200)

    def test_a_password_that_is_configured(self) -> None:
        admin = {"address": "127.0.0.9:0", "password": "${SECRET}"}
        daemon = self.daemon(
            settings(self.backend().address, admin=admin),
            environ={"SECRET": "only for those who ask"},
        )
        page = self.admin(daemon, "/metrics", "only for those who ask")
        self.assertEqual(page.status, 200)
        (daemon.directory / "var" / "admin-password").write_text("only for those who ask")
        self.assertNotIn("only for those who ask", self.told(daemon))


class ReloadTests(SystemTestCase):
    def test_a_reload_that_fails_and_one_that_does_not_show_in_the_metrics(self) -> None:
        good = settings(self.backend().address)
        daemon = self.daemon(good)
        name = "veloflux_config_last_reload_success"
        self.assertEqual(self.metrics(daemon).sum(name), 1)
        digest = self.version(daemon)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            another = {"address": f"127.0.0.1:{taken.getsockname()[1]}"}
            for bad in (
                "listeners: [",
                text(good | {"routes": [{"pool": "none"}]}),
                text(good | {"listeners": [*good["listeners"], another]}),
            ):
                daemon.reload(bad)
                daemon.wait_for_log("revision 1 stays in force")
                self.assertEqual(self.metrics(daemon).sum(name), 0)
                self.assertEqual(self.version(daemon), digest)
                self.assertEqual(self.get(daemon.port()), (200, "one"))
        daemon.reload(text(settings(self.backend("two").address)))
        daemon.wait_for_log(" is in force")
        self.assertEqual(self.metrics(daemon).sum(name), 1)
        self.assertNotEqual(self.version(daemon), digest)
        self.assertEqual(self.get(daemon.port()), (200, "two"))
        daemon.file.unlink()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("stays in force")
        self.assertEqual(self.get(daemon.port()), (200, "two"))

    def version(self, daemon: Daemon) -> str:
        [found] = [s for s in self.metrics(daemon).all if s.name == "veloflux_config_info"]
        return json.dumps(found.labels)


class NameTests(SystemTestCase):
    """X5: a backend's name does not resolve, or the resolver does not answer."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.resolver = Resolver(directory.name)

    def test_a_name_that_is_not_found_costs_only_its_own_routes(self) -> None:
        configuration = settings(self.backend().address)
        port = self.backend("two").port
        named, good = {"address": f"app.test:{port}"}, {"address": f"127.0.0.1:{port}"}
        configuration["pools"] += [
            {"name": "named", "backends": [named]},
            {"name": "both", "backends": [named, good]},
        ]
        configuration["routes"] += [
            {"path_prefix": "/named", "pool": "named"},
            {"path_prefix": "/both", "pool": "both"},
        ]
        daemon = self.daemon(configuration, environ=self.resolver.environ)
        client = self.client(daemon.port())
        for _ in range(10):
            self.assertEqual(ask(client, "/named")[0], 502)
            self.assertEqual(ask(client, "/both"), (200, "two"))
            self.assertEqual(ask(client), (200, "one"))
        daemon.wait_for_log("the name app.test cannot be resolved: ")
        self.assertEqual(daemon.output.count("cannot be resolved"), 1)
        wait_for("the line", lambda: '"error":"unresolved"' in daemon.access_log)
        self.resolver.names.write_text('{"app.test": "127.0.0.1"}')
        wait_for("its return", lambda: ask(client, "/named") == (200, "two"))
        daemon.wait_for_log("the name app.test can be resolved again")

    def test_a_resolver_that_does_not_answer_holds_up_nobody_else(self) -> None:
        """Lookups block their threads: requests, checks, pages of metrics and the end need none."""
        self.resolver.names.write_text('{"slow_s": 60}')
        many = [{"address": f"app-{number}.test:80"} for number in range(30)]
        pool = {"health_check": {"type": "tcp", "interval": "1s", "timeout": "500ms"}}
        configuration = settings(self.backend().address, pool=pool)
        configuration["pools"].append(
            {"name": "many", "backends": many, "timeouts": {"connect": "500ms"}, **pool}
        )
        configuration["routes"].append({"path_prefix": "/many", "pool": "many"})
        daemon = self.daemon(configuration, environ=self.resolver.environ)
        client = self.client(daemon.port())
        waiting = [Running(lambda: self.get(daemon.port(), "/many")) for _ in range(40)]
        for _ in range(20):
            self.assertEqual(ask(client), (200, "one"))
            self.assertEqual(self.admin(daemon, "/metrics").status, 200)
        for each in waiting:
            self.assertEqual(each.result()[0], 502)
        self.wait_for_metric(daemon, 1.0, "veloflux_upstream_state", pool="app", state="healthy")
        self.wait_for_metric(
            daemon, 30.0, "veloflux_upstream_state", pool="many", state="unhealthy"
        )
        daemon.reload(text(configuration | {"routes": configuration["routes"][:1]}))
        daemon.wait_for_log("configuration 2 is in force")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn("SIGKILL", daemon.output)


class ParentTests(SystemTestCase):
    """X11: the daemon's own process has no descriptor left."""

    def test_a_worker_that_dies_then_is_replaced_when_there_are_some(self) -> None:
        daemon = self.daemon(settings(self.backend().address))
        [worker] = daemon.workers
        leave_descriptors(daemon.process.pid, 2)
        daemon.deaths = 1
        os.kill(worker, signal.SIGKILL)
        daemon.wait_for_log("worker 0 cannot be started: ")
        self.assertTrue(is_running(daemon.process.pid))
        leave_descriptors(daemon.process.pid, 100)
        wait_for("its successor", lambda: daemon.workers)
        self.assertEqual(self.get(daemon.port()), (200, "one"))
