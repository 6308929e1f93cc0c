import os
import subprocess
import sys

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.control.fakes import FakeChecks, FakeFleet
from tests.control.test_exposition import read
from veloflux import __version__
from veloflux.control.daemon import own_families
from veloflux.control.metrics import Metrics
from veloflux.control.procfs import usage
from veloflux.control.services.alerts.alerts import Alert
from veloflux.control.services.certificates import Certificate
from veloflux.control.services.status import Status
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, Pool, Snapshot
from veloflux.fleet.worker import State


class OwnFamiliesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.fleet = FakeFleet(State.SERVING, State.STARTING)
        self.checks = FakeChecks()
        self.status = Status(self.fleet, self.checks, lambda: 0.0, lambda: 1234.5)
        backends = (Backend(Address("a", 1)), Backend(Address("b", 1), enabled=False))
        self.status.applied(Snapshot(9, (), (Pool("web", backends),), (), revision=7), 2, "abc")

    def values(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        metrics = Metrics(lambda: own_families(self.status), lambda work: succeed(work()))
        return read(self.successResultOf(metrics.page()))

    def value(self, name: str, **labels: str) -> float:
        return self.values()[name, frozenset(labels.items())]

    def test_tells_of_certificates_and_alerts(self) -> None:
        """Of two certificates of one name, when the first of them ends."""
        shown = [
            Certificate(f"/{end}.pem", ("web",), ("a.example",), 0.0, end) for end in (70.0, 60.0)
        ]
        alert = Alert("1", "k", "t", "m", "critical", "s", 1.0, 1.0)
        metrics = Metrics(
            lambda: own_families(self.status, shown, [alert, alert]), lambda work: succeed(work())
        )
        values = read(self.successResultOf(metrics.page()))
        expiry = "veloflux_certificate_expiry_timestamp_seconds"
        self.assertEqual(values[expiry, frozenset({("sni", "a.example")})], 60.0)
        for severity, count in (("info", 0), ("warning", 0), ("critical", 2)):
            self.assertEqual(values["veloflux_alerts", frozenset({("severity", severity)})], count)

    def test_one_of_a_backends_states_is_1(self) -> None:
        self.checks.found = {("web", "a:1"): "unhealthy"}
        values = self.values()
        for backend, actual in (("a:1", "unhealthy"), ("b:1", "disabled")):
            for state in ("healthy", "unhealthy", "unknown", "disabled"):
                labels = {"pool": "web", "backend": backend, "state": state}
                value = values["veloflux_upstream_state", frozenset(labels.items())]
                self.assertEqual(value, float(state == actual), labels)

    def test_tells_the_configuration_in_force(self) -> None:
        self.assertEqual(self.value("veloflux_config_info", version="7", hash="abc"), 1.0)
        self.assertEqual(self.value("veloflux_config_last_reload_timestamp_seconds"), 1234.5)
        self.assertEqual(self.value("veloflux_config_last_reload_success"), 1.0)
        self.status.refused()
        self.assertEqual(self.value("veloflux_config_last_reload_success"), 0.0)

    def test_counts_workers(self) -> None:
        self.assertEqual(self.value("veloflux_workers"), 1.0)
        self.assertEqual(self.value("veloflux_worker_restarts_total"), 3.0)

    def test_tells_versions(self) -> None:
        ((labels, value),) = [
            (dict(labels), value)
            for (name, labels), value in self.values().items()
            if name == "veloflux_build_info"
        ]
        self.assertEqual((labels["version"], value), (__version__, 1.0))
        self.assertEqual(labels.keys(), {"version", "python", "twisted", "openssl"})

    def test_tells_what_the_processes_use(self) -> None:
        # The fake workers' numbers are not those of our children; what has ended counts nothing.
        for name in (
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
        ):
            self.assertGreater(self.value(name), 0.0, name)


class UsageTests(SynchronousTestCase):
    def test_adds_up_this_process_and_its_workers(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()  # a process that has just begun has no memory of its own
            alone, both = usage([]), usage([child.pid])
            assert child.stdin is not None
            child.stdin.close()
        self.assertGreater(both.descriptors, alone.descriptors)
        self.assertGreater(both.memory_bytes, alone.memory_bytes)
        self.assertEqual(both.started, alone.started)

    def test_time_of_a_worker_that_ended_still_counts(self) -> None:
        before = usage([])
        burn = "import time\nwhile time.process_time() < 0.05: pass"
        subprocess.run([sys.executable, "-c", burn], check=True)
        self.assertGreaterEqual(usage([]).cpu_s, before.cpu_s + 0.05)

    def test_passes_over_a_worker_that_is_gone(self) -> None:
        child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                               check=True, capture_output=True)  # fmt: skip
        gone = int(child.stdout)
        self.assertEqual(usage([gone]).descriptors, usage([]).descriptors)

    def test_the_start_is_before_now(self) -> None:
        self.assertLess(usage([]).started, os.stat(self.mktemp_file()).st_mtime + 1)

    def mktemp_file(self) -> str:
        path: str = self.mktemp()
        with open(path, "w"):
            return path
