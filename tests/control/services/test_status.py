from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from tests.control.fakes import FakeChecks, FakeFleet
from veloflux import __version__
from veloflux.control.services.status import Health, Status, Summary, WorkerSummary
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, Pool, Route, Snapshot
from veloflux.fleet.probes import Counts
from veloflux.fleet.worker import State

A, B = Backend(Address("a", 1)), Backend(Address("b", 1))


class StatusTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.fleet = FakeFleet(State.SERVING, State.SERVING)
        self.checks = FakeChecks()
        self.time = 100.0
        self.status = Status(self.fleet, self.checks, lambda: self.time, lambda: 1e9)

    def apply(self, *pools: Pool, workers: int = 2) -> None:
        self.status.applied(Snapshot(9, (), pools, (Route("app"),), revision=7), workers, "abc")


class ConditionTests(StatusTestCase):
    def test_is_unhealthy_without_a_worker_that_serves(self) -> None:
        self.apply()
        for states in ((), (State.STARTING,), (State.DRAINING, State.DRAINING)):
            self.fleet.workers = list(FakeFleet(*states).workers)
            self.assertEqual(self.status.condition(), "unhealthy", states)

    def test_is_degraded_when_a_worker_is_missing(self) -> None:
        self.apply(workers=3)
        self.assertEqual(self.status.condition(), "degraded")

    def test_backends_that_nobody_checked_are_usable(self) -> None:
        self.apply(Pool("x", (A,)), Pool("y", (B,)))
        self.assertEqual(self.status.condition(), "healthy")

    def test_one_backend_of_each_pool_is_enough(self) -> None:
        self.checks.found = {("x", "a:1"): "unhealthy", ("x", "b:1"): "healthy"}
        self.apply(Pool("x", (A, B)))
        self.assertEqual(self.status.condition(), "healthy")

    def test_is_degraded_when_some_pool_has_no_backend_to_use(self) -> None:
        self.checks.found = {("y", "b:1"): "unhealthy"}
        self.apply(Pool("x", (A,)), Pool("y", (B,)))
        self.assertEqual(self.status.condition(), "degraded")

    def test_is_unhealthy_when_no_pool_has_a_backend_to_use(self) -> None:
        self.checks.found = {("x", "a:1"): "unhealthy"}
        off = Backend(Address("c", 1), enabled=False)
        idle = Backend(Address("d", 1), weight=0)
        self.apply(Pool("x", (A, off, idle)), Pool("y", ()))
        self.assertEqual(self.status.condition(), "unhealthy")


class HealthTests(StatusTestCase):
    def test_counts_the_checks(self) -> None:
        self.checks.counts = Counts(total=3, successful=2)
        self.apply()
        at = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
        expected = Health("healthy", at, __version__, 3, 2, 1, 66.667)
        self.assertEqual(self.status.health(), expected)

    def test_no_check_is_no_failure(self) -> None:
        self.assertEqual(self.status.health().uptime_percentage, 100.0)


class SummaryTests(StatusTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.checks.found = {("x", "a:1"): "healthy", ("y", "b:1"): "unhealthy"}
        self.apply(Pool("x", (A, B)), Pool("y", (B,)))
        self.time = 112.5

    def test_tells_the_whole_in_numbers(self) -> None:
        self.assertEqual(
            self.status.summary(), Summary("degraded", __version__, "12.5s", 7, 2, 3, 2, 1, False)
        )

    def test_details_have_every_worker(self) -> None:
        details = self.status.details()
        self.assertEqual(details.backends, 3)
        self.assertEqual(
            details.workers,
            tuple(WorkerSummary(i, 1000 + i, "serving", 7, 1, 5, "62.5s") for i in (0, 1)),
        )

    def test_a_reload_that_failed_leaves_what_was_in_force(self) -> None:
        self.status.refused()
        self.assertFalse(self.status.is_last_reload_good)
        self.assertEqual(self.status.summary().config_revision, 7)
