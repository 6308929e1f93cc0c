"""What is read of processes while they come and go."""

import subprocess
import sys
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.procfs import usage

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(600)"


class UsageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.child = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
        self.addCleanup(self.child.communicate)
        self.addCleanup(self.child.kill)
        assert self.child.stdout is not None
        self.child.stdout.readline()

    def test_counts_others_too(self) -> None:
        alone, both = usage([]), usage([self.child.pid])
        self.assertGreaterEqual(both.cpu_s - alone.cpu_s, 0.25)
        self.assertGreater(both.memory_bytes, alone.memory_bytes)
        self.assertGreater(both.descriptors, alone.descriptors)
        self.assertEqual(both.started, alone.started)

    def test_the_time_of_one_that_ends_just_now_is_not_lost(self) -> None:
        """A counter must not fall."""
        child = self.child

        class Ending(list[int]):
            def __iter__(self) -> Iterator[int]:
                child.kill()
                child.wait()
                return super().__iter__()

        before = usage([child.pid])
        self.assertGreaterEqual(usage(Ending([child.pid])).cpu_s, before.cpu_s)
        self.assertGreaterEqual(usage([child.pid]).cpu_s, before.cpu_s)
