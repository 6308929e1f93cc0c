"""From one configuration in force to the next, or not."""

import socket
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.fakes import LOCAL, FakeSpawner, at_once, snapshot
from veloflux.config.diff import diff
from veloflux.core.model.address import Address
from veloflux.core.model.node import Admin, Node
from veloflux.fleet.messages import Commit, Prepare, Refused
from veloflux.fleet.rollout import Decide, Last, NotAppliedError, Rollout
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


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.spawner = FakeSpawner()
        self.sockets = Sockets()
        self.addCleanup(self.sockets.close)
        self.supervisor = Supervisor(self.clock, self.spawner, self.sockets, at_once)
        self.rollout = Rollout(node(1), self.supervisor, self.clock.seconds)
        self.applied: list[Node] = []
        self.rollout.on_applied.append(self.applied.append)
        self.refused: list[bool] = []
        self.rollout.on_refused.append(lambda: self.refused.append(True))
        started = Deferred.fromCoroutine(self.rollout.start())
        self.answer()
        self.successResultOf(started)

    def answer(self) -> None:
        """Let the worker prepare and apply what it has been given."""
        self.spawner.processes[0].prepare()
        self.spawner.processes[0].apply()

    def bring(self, new: Node, decide: Decide | None = None) -> Deferred[None]:
        async def work() -> None:
            async with self.rollout.turn:
                await self.rollout.bring(new, diff(self.rollout.node, new), decide)

        return Deferred.fromCoroutine(work())

    def refusal(self, asked: Deferred[None]) -> tuple[str, ...]:
        error = self.failureResultOf(asked, NotAppliedError).value
        self.assertEqual(self.rollout.last, Last(self.clock.seconds(), False, error.problems))
        self.assertEqual(self.rollout.node, self.applied[0])
        self.assertEqual(self.supervisor.version, 1)
        self.assertEqual(self.refused.pop(), True)
        return error.problems


class RolloutTests(Case):
    def test_the_first_configuration_is_told(self) -> None:
        self.assertEqual(self.applied, [node(1)])
        self.assertEqual(self.rollout.last, Last(1000.0))

    def test_a_change_is_applied_and_told(self) -> None:
        self.clock.advance(5)
        asked = self.bring(node(0, backend="127.0.0.1:9002"))
        self.assertNoResult(asked)
        self.answer()
        self.successResultOf(asked)
        self.assertEqual(self.rollout.node.snapshot.version, 2)
        self.assertEqual(self.applied[-1], self.rollout.node)
        self.assertEqual((self.rollout.last, self.rollout.applied_at), (Last(1005.0), 1005.0))

    def test_what_is_in_force_already_can_be_confirmed(self) -> None:
        self.clock.advance(5)
        self.rollout.confirm()
        self.assertEqual((self.rollout.last, self.rollout.applied_at), (Last(1005.0), 1005.0))
        self.assertEqual(self.applied, [node(1), node(1)])

    def test_a_refusing_worker_changes_nothing(self) -> None:
        asked = self.bring(node(2, backend="127.0.0.1:9002"))
        self.spawner.processes[0].say(Refused(2, "no"))
        self.assertEqual(self.refusal(asked), ("worker 0 refused it: no",))

    def test_a_version_that_was_refused_is_not_used_again(self) -> None:
        asked = self.bring(node(2, backend="127.0.0.1:9002"))
        self.spawner.processes[0].say(Refused(2, "no"))
        self.refusal(asked)
        self.bring(node(2, backend="127.0.0.1:9002"))
        self.assertEqual(self.spawner.processes[0].last(Prepare).snapshot.version, 3)

    def test_what_is_read_at_the_start_only_is_refused_by_name_without_secrets(self) -> None:
        for key, fields in {
            "data_dir": {"data_dir": "/elsewhere"},
            "metrics.address": {"metrics_address": Address("127.0.0.1", 9100)},
            "admin.address": {"admin": Admin(Address("127.0.0.1", 1), password=SECRET)},
            "admin.auth_enabled": {"admin": Admin(auth_enabled=False, password=SECRET)},
            "admin.password": {"admin": Admin(password=SECRET + "!")},
        }.items():
            asked = self.bring(node(2, backend="127.0.0.1:9002", **fields))
            [problem] = self.refusal(asked)
            self.assertIn(key, problem)
            self.assertIn("restart", problem)
            self.assertNotIn(SECRET, problem)

    def test_the_number_of_workers_and_the_level_change_live(self) -> None:
        asked = self.bring(node(2, workers=2, log_level="debug"))
        self.answer()
        self.successResultOf(asked)
        self.assertEqual(len(self.spawner.processes), 2)
        self.assertEqual(self.applied[-1].log_level, "debug")

    def test_a_change_during_the_start_waits_for_it(self) -> None:
        spawner = FakeSpawner()
        sockets = Sockets()
        self.addCleanup(sockets.close)
        supervisor = Supervisor(self.clock, spawner, sockets, at_once)
        rollout = Rollout(node(1), supervisor, self.clock.seconds)
        started = Deferred.fromCoroutine(rollout.start())
        turn = rollout.turn.acquire()
        self.assertNoResult(turn)
        spawner.processes[0].prepare()
        spawner.processes[0].apply()
        self.successResultOf(started)
        self.successResultOf(turn)


class DecisionTests(Case):
    """C3: made to last between the two steps"""

    def setUp(self) -> None:
        super().setUp()
        self.decision: Deferred[None] = Deferred()
        self.worker = self.spawner.processes[0]

    async def decide(self) -> None:
        await self.decision

    def test_nobody_commits_before_it_lasts(self) -> None:
        asked = self.bring(node(2, backend="127.0.0.1:9002"), self.decide)
        self.worker.prepare()
        self.assertEqual(self.worker.last(Commit).version, 1)
        self.decision.callback(None)
        self.assertEqual(self.worker.last(Commit).version, 2)
        self.assertNoResult(asked)
        self.worker.apply()
        self.successResultOf(asked)

    def test_what_cannot_last_changes_nothing_and_the_next_works(self) -> None:
        before = self.rollout.node
        other = Address("127.0.0.2", 0)
        changed = replace(before, snapshot=snapshot(2, LOCAL, other))
        asked = self.bring(changed, self.decide)
        self.worker.prepare()
        listening = self.sockets.of(other, 0).dup()
        self.addCleanup(listening.close)
        self.decision.errback(OSError("no space left on device"))
        self.failureResultOf(asked, OSError)
        self.assertEqual(self.worker.last(Commit).version, 1)
        self.assertEqual((self.rollout.node, self.supervisor.version), (before, 1))
        # Also for the worker's copy.
        self.assertFalse(listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        self.assertNotIn(other, self.sockets)
        again = self.bring(node(2, backend="127.0.0.1:9002"))
        self.answer()
        self.successResultOf(again)

    def test_it_is_not_asked_about_what_a_worker_refuses(self) -> None:
        asked = self.bring(node(2, backend="127.0.0.1:9002"), self.decide)
        self.worker.say(Refused(2, "no"))
        self.refusal(asked)

    def test_what_lasts_is_no_failure_when_the_daemon_ends_meanwhile(self) -> None:
        asked = self.bring(node(2, backend="127.0.0.1:9002"), self.decide)
        self.worker.prepare()
        self.supervisor.drain(5)
        self.decision.callback(None)
        self.successResultOf(asked)
        self.assertEqual(self.worker.last(Commit).version, 1)

    def test_a_successor_that_starts_meanwhile_is_brought_along(self) -> None:
        asked = self.bring(node(2, backend="127.0.0.1:9002"), self.decide)
        self.worker.prepare()
        self.worker.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        successor = self.spawner.processes[1]
        self.decision.callback(None)
        self.assertEqual(successor.last(Commit).version, 2)
        successor.apply()
        self.successResultOf(asked)


class RestTests(Case):
    def test_a_change_under_way_is_brought_to_its_end_first(self) -> None:
        done = self.bring(node(2, "127.0.0.1:9002"))
        rested = Deferred.fromCoroutine(self.rollout.rest(30.0))
        self.assertNoResult(rested)
        self.answer()
        self.successResultOf(done)
        self.successResultOf(rested)
        self.assertTrue(self.supervisor.is_draining)
        self.assertEqual(self.rollout.version, 2)

    def test_it_wakes_by_what_was_in_force_and_changes_are_taken_again(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.rollout.rest(30.0)))
        self.failureResultOf(self.bring(node(2, "127.0.0.1:9002")), NotAppliedError)
        self.spawner.processes[0].end("exit code 0")
        woken = Deferred.fromCoroutine(self.rollout.wake())
        self.spawner.processes = self.spawner.processes[1:]
        self.answer()
        self.successResultOf(woken)
        self.assertEqual(self.rollout.version, 1)
        done = self.bring(node(2, "127.0.0.1:9002"))
        self.answer()
        self.successResultOf(done)


class RenewalTests(Case):
    """X12: the same configuration with other files"""

    def renewed(self, changed: Node) -> Deferred[None]:
        async def find(before: Node) -> Node:
            self.assertEqual(before, self.rollout.node)
            return changed

        return Deferred.fromCoroutine(self.rollout.renew(find))

    def test_what_is_new_comes_into_force(self) -> None:
        renewing = self.renewed(node(1, backend="127.0.0.1:9009"))
        self.answer()
        self.successResultOf(renewing)
        self.assertEqual(self.supervisor.version, 2)
        self.assertEqual(self.rollout.node.snapshot.version, 2)

    def test_what_is_the_same_changes_nothing(self) -> None:
        self.successResultOf(self.renewed(self.rollout.node))
        self.assertEqual(self.supervisor.version, 1)

    def test_a_change_goes_first(self) -> None:
        self.successResultOf(self.rollout.turn.acquire())
        self.successResultOf(self.renewed(node(1, backend="127.0.0.1:9009")))
        self.assertEqual(self.supervisor.version, 1)

    def test_what_workers_refuse_changes_nothing(self) -> None:
        before = self.rollout.node
        renewing = self.renewed(node(1, backend="127.0.0.1:9009"))
        self.spawner.processes[0].say(Refused(2, "OpenSSL does not take it"))
        self.successResultOf(renewing)
        self.assertEqual(self.rollout.node, before)
        self.assertFalse(self.rollout.last.is_success)

    def test_a_change_waits_for_it(self) -> None:
        renewing = self.renewed(node(1, backend="127.0.0.1:9009"))
        turn = self.rollout.turn.acquire()
        self.assertNoResult(turn)
        self.answer()
        self.successResultOf(renewing)
        self.successResultOf(turn)
