"""From a changed file to a configuration in force, or not."""

from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.fakes import LOCAL, FakeSpawner, snapshot
from veloflux.config.load import Loaded
from veloflux.config.problem import ConfigError, Problem
from veloflux.core.model.address import Address
from veloflux.core.model.node import Admin, Node
from veloflux.fleet.messages import Refused
from veloflux.fleet.reload import Last, Reloader, ReloadError
from veloflux.fleet.sockets import Sockets
from veloflux.fleet.supervisor import Supervisor

SECRET = "correct horse battery staple"


def node(version: int, backend: str = "127.0.0.1:9001", **fields: object) -> Node:
    usual: dict[str, object] = {
        "workers": 1,
        "data_dir": "/var/lib/veloflux",
        "admin": Admin(password=SECRET),
        "metrics_address": None,
        "log_level": "info",
        "snapshot": snapshot(version, LOCAL, backend=backend),
    }
    return Node(**{**usual, **fields})


class ReloadTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.spawner = FakeSpawner()
        sockets = Sockets()
        self.addCleanup(sockets.close)
        self.supervisor = Supervisor(self.clock, self.spawner, sockets)
        self.reads: list[tuple[int, Deferred[Loaded]]] = []
        self.reloader = Reloader(node(1), self.supervisor, self.read, self.clock.seconds)
        self.applied: list[Node] = []
        self.reloader.on_applied.append(self.applied.append)
        self.refused: list[bool] = []
        self.reloader.on_refused.append(lambda: self.refused.append(True))
        started = Deferred.fromCoroutine(self.reloader.start())
        self.answer()
        self.successResultOf(started)

    def read(self, version: int) -> Deferred[Loaded]:
        reading: Deferred[Loaded] = Deferred()
        self.reads.append((version, reading))
        return reading

    def answer(self) -> None:
        """Let the worker prepare and apply what it has been given."""
        self.spawner.processes[0].prepare()
        self.spawner.processes[0].apply()

    def reads_as(self, *found: Node) -> None:
        """End the running read: the file says this."""
        _, reading = self.reads[-1]
        reading.callback(Loaded(found[0], ()))

    def refusal(self, asked: Deferred[object]) -> tuple[str, ...]:
        error = self.failureResultOf(asked, ReloadError).value
        self.assertEqual(self.reloader.last, Last(self.clock.seconds(), False, error.problems))
        self.assertEqual(self.reloader.node, self.applied[0])
        self.assertEqual(self.supervisor.version, 1)
        self.assertEqual(self.refused.pop(), True)
        return error.problems


class ReloadTests(ReloadTestCase):
    def test_the_first_configuration_is_told(self) -> None:
        self.assertEqual(self.applied, [node(1)])
        self.assertEqual(self.reloader.last, Last(1000.0))

    def test_a_change_is_applied_and_described(self) -> None:
        self.clock.advance(5)
        asked = self.reloader.reload()
        version, _ = self.reads[-1]
        self.assertEqual(version, 2)
        self.reads_as(node(2, backend="127.0.0.1:9002"))
        self.assertNoResult(asked)
        self.answer()
        result = self.successResultOf(asked)
        self.assertEqual(result.version, 2)
        self.assertIn("backend 127.0.0.1:9002 of pool app added", result.changes)
        self.assertEqual(self.reloader.node.snapshot.version, 2)
        self.assertEqual(self.applied[-1], self.reloader.node)
        self.assertEqual((self.reloader.last, self.reloader.applied_at), (Last(1005.0), 1005.0))

    def test_the_same_again_changes_nothing(self) -> None:
        self.clock.advance(5)
        asked = self.reloader.reload()
        self.reads_as(node(2))
        self.assertEqual(self.successResultOf(asked).changes, ())
        self.assertEqual(self.supervisor.version, 1)
        self.assertEqual((self.reloader.last, self.reloader.applied_at), (Last(1005.0), 1005.0))
        self.assertEqual(self.applied, [node(1), node(1)])

    def test_a_bad_file_changes_nothing_and_warnings_are_no_reasons(self) -> None:
        asked = self.reloader.reload()
        self.reads[-1][1].errback(
            ConfigError(
                [
                    Problem("a.yaml", 3, "pools", "is missing", code="key"),
                    Problem("a.yaml", 4, "admin", "is odd", code="advice"),
                    Problem("a.yaml", 9, "", "is no YAML", code="syntax"),
                ]
            )
        )
        self.assertEqual(
            self.refusal(asked), ("a.yaml:3: pools: is missing", "a.yaml:9: is no YAML")
        )

    def test_a_refusing_worker_changes_nothing(self) -> None:
        asked = self.reloader.reload()
        self.reads_as(node(2, backend="127.0.0.1:9002"))
        self.spawner.processes[0].say(Refused(2, "no"))
        self.assertEqual(self.refusal(asked), ("worker 0 refused it: no",))

    def test_a_version_that_was_refused_is_not_used_again(self) -> None:
        asked = self.reloader.reload()
        self.reads_as(node(2, backend="127.0.0.1:9002"))
        self.spawner.processes[0].say(Refused(2, "no"))
        self.refusal(asked)
        self.reloader.reload()
        self.assertEqual(self.reads[-1][0], 3)

    def test_what_is_read_at_the_start_only_is_refused_by_name_without_secrets(self) -> None:
        for key, fields in {
            "data_dir": {"data_dir": "/elsewhere"},
            "metrics.address": {"metrics_address": Address("127.0.0.1", 9100)},
            "admin.address": {"admin": Admin(Address("127.0.0.1", 1), password=SECRET)},
            "admin.auth_enabled": {"admin": Admin(auth_enabled=False, password=SECRET)},
            "admin.password": {"admin": Admin(password=SECRET + "!")},
        }.items():
            asked = self.reloader.reload()
            self.reads_as(node(2, backend="127.0.0.1:9002", **fields))
            [problem] = self.refusal(asked)
            self.assertIn(key, problem)
            self.assertIn("restart", problem)
            self.assertNotIn(SECRET, problem)

    def test_the_number_of_workers_and_the_level_change_live(self) -> None:
        asked = self.reloader.reload()
        self.reads_as(node(2, workers=2, log_level="debug"))
        self.answer()
        result = self.successResultOf(asked)
        self.assertEqual(len(self.spawner.processes), 2)
        self.assertEqual(len(result.changes), 2)
        self.assertEqual(self.applied[-1].log_level, "debug")

    def test_who_asks_meanwhile_gets_the_next_result_and_the_rest_is_one(self) -> None:
        """C4: a storm of reloads."""
        first = self.reloader.reload()
        others = [self.reloader.reload() for _ in range(100)]
        self.assertEqual(len(self.reads), 1)
        self.reads_as(node(2, backend="127.0.0.1:9002"))
        self.answer()
        self.assertEqual(self.successResultOf(first).version, 2)
        self.assertEqual(len(self.reads), 2)
        for other in others:
            self.assertNoResult(other)
        self.reads_as(node(3, backend="127.0.0.1:9003"))
        self.answer()
        self.assertEqual({self.successResultOf(other).version for other in others}, {3})
        self.assertEqual(len(self.reads), 2)

    def test_a_failure_is_told_to_all_who_asked_and_the_next_still_runs(self) -> None:
        first = self.reloader.reload()
        second, third = self.reloader.reload(), self.reloader.reload()
        self.reads_as(node(2, data_dir="/elsewhere"))
        self.failureResultOf(first, ReloadError)
        self.reads_as(node(3, data_dir="/elsewhere"))
        self.failureResultOf(second, ReloadError)
        self.failureResultOf(third, ReloadError)
        last = self.reloader.reload()
        self.reads_as(node(4))
        self.successResultOf(last)

    def test_a_fault_of_ours_is_told_as_well(self) -> None:
        asked = self.reloader.reload()
        self.reads[-1][1].errback(KeyError("surprise"))
        self.failureResultOf(asked, KeyError)
        self.assertFalse(self.reloader.last.is_success)
        self.assertEqual(self.refused, [True])
        self.assertIn("surprise", self.reloader.last.problems[0])

    def test_a_reload_during_the_start_waits_for_it(self) -> None:
        spawner = FakeSpawner()
        sockets = Sockets()
        self.addCleanup(sockets.close)
        supervisor = Supervisor(self.clock, spawner, sockets)
        reloader = Reloader(node(1), supervisor, self.read, self.clock.seconds)
        started = Deferred.fromCoroutine(reloader.start())
        asked = reloader.reload()
        self.assertEqual(self.reads, [])
        spawner.processes[0].prepare()
        spawner.processes[0].apply()
        self.successResultOf(started)
        self.reads_as(node(2))
        self.assertEqual(self.successResultOf(asked).version, 1)

    def test_a_snapshot_that_differs_only_in_its_version_is_the_same(self) -> None:
        asked = self.reloader.reload()
        same = self.applied[0]
        self.reads_as(replace(same, snapshot=replace(same.snapshot, version=2)))
        self.assertEqual(self.successResultOf(asked).version, 1)


class RenewalTests(ReloadTestCase):
    """X12: the same configuration with other files"""

    def renewed(self, changed: Node) -> Deferred[None]:
        async def find(before: Node) -> Node:
            self.assertEqual(before, self.reloader.node)
            return changed

        return Deferred.fromCoroutine(self.reloader.renew(find))

    def test_what_is_new_comes_into_force(self) -> None:
        renewing = self.renewed(node(1, backend="127.0.0.1:9009"))
        self.answer()
        self.successResultOf(renewing)
        self.assertEqual(self.supervisor.version, 2)
        self.assertEqual(self.reloader.node.snapshot.version, 2)

    def test_what_is_the_same_changes_nothing(self) -> None:
        self.successResultOf(self.renewed(self.reloader.node))
        self.assertEqual(self.supervisor.version, 1)

    def test_a_reload_goes_first(self) -> None:
        self.reloader.reload()
        self.successResultOf(self.renewed(node(1, backend="127.0.0.1:9009")))
        self.assertEqual(self.supervisor.version, 1)

    def test_what_workers_refuse_changes_nothing(self) -> None:
        before = self.reloader.node
        renewing = self.renewed(node(1, backend="127.0.0.1:9009"))
        self.spawner.processes[0].say(Refused(2, "OpenSSL does not take it"))
        self.successResultOf(renewing)
        self.assertEqual(self.reloader.node, before)
        self.assertFalse(self.reloader.last.is_success)

    def test_a_reload_waits_for_it(self) -> None:
        renewing = self.renewed(node(1, backend="127.0.0.1:9009"))
        self.reloader.reload()
        self.assertEqual(self.reads, [])
        self.answer()
        self.successResultOf(renewing)
        self.assertEqual(len(self.reads), 1)
