"""What is said of a worker process that has ended."""

import errno
import os
import signal
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.process import Processes, describe


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


class Starved:
    """A reactor that cannot start a process so many times; `rows` are those of the ones started."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self.rows: list[str] = []
        self.children: list[Any] = []
        self.environ: dict[str, str] = {}

    def spawnProcess(
        self, child: object, program: str, argv: list[str], env: dict[str, str], **_: object
    ) -> None:
        if self._failures:
            self._failures -= 1
            raise OSError(errno.EAGAIN, "no process left")
        self.rows.append(argv[-1])
        self.environ = env
        self.children.append(child)

    def adoptStreamConnection(self, *_: object) -> None:
        """The channel is of no interest here."""


class Rows(SynchronousTestCase):
    def test_one_that_cannot_be_started_gives_its_row_back(self) -> None:
        """Or a machine short of processes would use them up, and workers share the last."""
        reactor = Starved(3)
        processes = Processes(reactor, lambda: "info")
        for _ in range(3):
            self.assertRaises(OSError, processes.spawn, 0, lambda _: None, lambda _: None)
        for _ in range(2):
            processes.spawn(0, lambda _: None, lambda _: None)
        for child in reactor.children:
            self.addCleanup(child._on_exit, "")
        self.assertEqual(reactor.rows, ["0", "1"])

    def test_a_worker_is_told_to_do_without_what_is_compiled(self) -> None:
        self.patch(os, "environ", {"VELOFLUX_PURE": "1", "VELOFLUX_ADMIN_PASSWORD": "secret"})
        reactor = Starved(0)
        Processes(reactor, lambda: "info").spawn(0, lambda _: None, lambda _: None)
        self.addCleanup(reactor.children[0]._on_exit, "")
        self.assertEqual(reactor.environ.get("VELOFLUX_PURE"), "1")
        self.assertNotIn("VELOFLUX_ADMIN_PASSWORD", reactor.environ)
