"""What the machine is like, by what the system says."""

import os
from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.host import Host, cores, describe, node_id


class NodeIdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()

    def test_is_made_once(self) -> None:
        ids = map(str, count(1))
        self.assertEqual([node_id(self.directory, lambda: next(ids)) for _ in range(3)], ["1"] * 3)
        mode = os.stat(os.path.join(self.directory, "node-id")).st_mode
        self.assertEqual(mode & 0o777, 0o600)

    def test_a_file_that_is_not_ours_is_refused(self) -> None:
        os.makedirs(self.directory)
        for text in ("", "a b\n", "../x"):
            Path(self.directory, "node-id").write_text(text)
            with self.assertRaisesRegex(ValueError, "remove it"):
                node_id(self.directory, lambda: "x")


class HostTests(SynchronousTestCase):
    def test_measures_the_machine(self) -> None:
        sample = Host(".").sample((os.getpid(),))
        kernel = dict(
            line.split(":")
            for line in Path("/proc/meminfo").read_text().splitlines()
            if ":" in line
        )
        self.assertEqual(sample.memory.total, int(kernel["MemTotal"].split()[0]) * 1024)
        self.assertLessEqual(sample.memory.available, sample.memory.total)
        self.assertGreater(sample.memory.process, 1_000_000)
        found = os.statvfs(".")
        self.assertEqual(sample.disk.total, found.f_blocks * found.f_frsize)
        self.assertTrue(0.0 <= sample.cpu.usage_percent <= 100.0)
        self.assertEqual(sample.cpu.cores, len(os.sched_getaffinity(0)))

    def test_rates_are_between_two_samples(self) -> None:
        now = iter((0.0, 2.0))
        host = Host(".", lambda: next(now))
        first, second = host.sample(()), host.sample(())
        self.assertEqual(first.network.sent_per_second, 0.0)
        sent = second.network.bytes_sent - first.network.bytes_sent
        self.assertEqual(second.network.sent_per_second, round(sent / 2.0, 1))

    def test_a_worker_that_has_just_ended_is_no_error(self) -> None:
        self.assertGreater(Host(".").sample((os.getpid(), 2**22 + 5)).memory.process, 0)

    def test_describes_what_does_not_change(self) -> None:
        found = describe("abc", "var")
        self.assertEqual((found.node_id, found.pid, found.cores), ("abc", os.getpid(), cores()))
        self.assertGreater(found.limits.open_files, 0)
