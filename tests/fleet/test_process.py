"""What is said of a worker process that has ended."""

import signal

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.process import describe


class DescribeTests(SynchronousTestCase):
    def test_names_a_signal(self) -> None:
        status = ProcessTerminated(signal=signal.SIGKILL)
        self.assertEqual(describe(status), "killed by signal 9 (SIGKILL)")

    def test_knows_that_not_every_signal_has_a_name(self) -> None:
        """Or the worker's end would be an error, and nobody would replace it."""
        status = ProcessTerminated(signal=signal.SIGRTMIN + 1)
        self.assertEqual(describe(status), f"killed by signal {signal.SIGRTMIN + 1} (real-time)")

    def test_gives_an_exit_code(self) -> None:
        self.assertEqual(describe(ProcessTerminated(exitCode=3)), "exit code 3")
        self.assertEqual(describe(ProcessDone(0)), "exit code 0")
