"""What the supervisor tells the workers and what it makes of their answers, and of their deaths."""

import errno
import socket
from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.fakes import LOCAL, FakeProcess, FakeSpawner, at_once, snapshot
from veloflux.core.model.address import Address
from veloflux.core.model.metrics import Sample, Tally
from veloflux.core.model.report import ProcessReport
from veloflux.core.model.traffic import HealthCheck, Snapshot
from veloflux.fleet.bind import ListenError, bind
from veloflux.fleet.crew import LAST_WORDS_S
from veloflux.fleet.messages import (
    Ask,
    Commit,
    Counted,
    Drain,
    Leaving,
    Level,
    Lines,
    Mark,
    Prepare,
    Prepared,
    Refused,
    Reopen,
    Routes,
    Same,
    Tickets,
    Told,
    Watch,
)
from veloflux.fleet.parcel import Parcel
from veloflux.fleet.sockets import Sockets
from veloflux.fleet.supervisor import ANSWER_DEADLINE_S, RolloutError, Supervisor
from veloflux.fleet.tickets import ROTATION_S
from veloflux.fleet.worker import START_DEADLINE_S, State

OTHER = Address("127.0.0.2", 0)


def commit(version: int, backend: str = "127.0.0.1:9001", cell: int = 0) -> Commit:
    """What a worker is told of a version with the one pool of these tests."""
    return Commit(version, {"app": {backend: cell}})


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.spawner = FakeSpawner()
        self.sockets = Sockets()
        self.addCleanup(self.sockets.close)
        self.supervisor = Supervisor(self.clock, self.spawner, self.sockets, at_once)

    @property
    def processes(self) -> list[FakeProcess]:
        return self.spawner.processes

    def apply(self, wanted: Snapshot, workers: int = 2) -> Deferred[None]:
        return Deferred.fromCoroutine(self.supervisor.apply(wanted, workers))

    def start(self, workers: int = 2) -> list[FakeProcess]:
        """Start so many workers that serve version 1."""
        started = self.apply(snapshot(1, LOCAL), workers)
        for process in self.processes:
            process.prepare()
        for process in self.processes:
            process.apply()
        self.successResultOf(started)
        return list(self.processes)

    def is_listening(self, address: Address, worker: int = 0) -> bool:
        sock = self.sockets.of(address, worker)
        return bool(sock.getsockopt(1, 30))  # SOL_SOCKET, SO_ACCEPTCONN


class StartTests(Case):
    def test_nobody_commits_before_all_are_prepared(self) -> None:
        started = self.apply(snapshot(1, LOCAL))
        one, two = self.processes
        for process in (one, two):
            self.assertEqual(process.kinds(), ["Listen", "Prepare"])
        one.prepare()
        self.assertEqual(one.kinds(), ["Listen", "Prepare"])
        self.assertFalse(self.is_listening(LOCAL))
        two.prepare()
        self.assertTrue(self.is_listening(LOCAL))
        for process in (one, two):
            self.assertEqual(process.kinds()[-1], "Commit")
            self.assertFalse(self.supervisor.is_ready)
        one.apply()
        self.assertNoResult(started)
        two.apply()
        self.successResultOf(started)
        self.assertTrue(self.supervisor.is_ready)
        self.assertEqual(self.supervisor.version, 1)
        # A listener's limit of connections is shared by so many.
        self.assertEqual(one.last(Prepare).snapshot.workers, 2)
        self.assertNotEqual(self.supervisor.addresses["127.0.0.1:0"].port, 0)

    def test_a_worker_that_refuses_ends_the_start(self) -> None:
        started = self.apply(snapshot(1, LOCAL))
        self.processes[0].say(Refused(1, "no such file"))
        failure = self.failureResultOf(started, RolloutError)
        self.assertIn("worker 0 refused it: no such file", str(failure.value))
        self.assertNotIn(LOCAL, self.sockets)

    def test_workers_that_all_die_end_the_start(self) -> None:
        started = self.apply(snapshot(1, LOCAL))
        for process in list(self.processes):
            process.end("exit code 1")
        failure = self.failureResultOf(started, RolloutError)
        self.assertIn("exit code 1", str(failure.value))

    def test_no_worker_at_all_ends_the_start(self) -> None:
        self.spawner.failures = 2
        self.failureResultOf(self.apply(snapshot(1, LOCAL)), RolloutError)

    def test_a_drain_while_it_is_packed_ends_the_start_before_any_worker_runs(self) -> None:
        packed: list[Callable[[], None]] = []

        def later(work: Callable[[], Parcel]) -> Deferred[Parcel]:
            done: Deferred[Parcel] = Deferred()
            packed.append(lambda: done.callback(work()))
            return done

        self.supervisor = Supervisor(self.clock, self.spawner, self.sockets, later)
        started = self.apply(snapshot(1, LOCAL))
        self.successResultOf(self.supervisor.drain(1.0))
        packed[0]()
        self.failureResultOf(started, RolloutError)
        self.assertEqual(self.processes, [])
        self.assertNotIn(LOCAL, self.sockets)

    def test_an_occupied_port_ends_the_start_before_any_worker_runs(self) -> None:
        other = bind(LOCAL)
        self.addCleanup(other.close)
        other.listen()
        taken = Address("127.0.0.1", other.getsockname()[1])
        self.failureResultOf(self.apply(snapshot(1, taken)), ListenError)
        self.assertEqual(self.processes, [])

    def test_one_that_hangs_at_its_start_is_killed(self) -> None:
        self.apply(snapshot(1, LOCAL)).addErrback(lambda _: None)
        self.clock.advance(START_DEADLINE_S)
        self.assertTrue(all(process.was_killed for process in self.processes[:2]))


class RolloutTests(Case):
    def test_a_kept_listener_keeps_its_socket_and_a_new_one_is_passed(self) -> None:
        one, two = self.start()
        kept = self.sockets.of(LOCAL, 0)
        done = self.apply(snapshot(2, LOCAL, OTHER))
        self.assertEqual(one.given, ["127.0.0.1:0", "127.0.0.2:0"])
        self.assertFalse(self.is_listening(OTHER))
        for process in (one, two):
            process.prepare()
        for process in (one, two):
            process.apply()
        self.successResultOf(done)
        self.assertIs(self.sockets.of(LOCAL, 0), kept)
        self.assertTrue(self.is_listening(OTHER, 1))
        self.assertEqual([w.version for w in self.supervisor.status()], [2, 2])

    def test_a_removed_listener_closes_when_all_have_applied(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, OTHER))
        one.prepare()
        two.prepare()
        one.apply()
        self.assertIn(LOCAL, self.sockets)
        two.apply()
        self.successResultOf(done)
        self.assertNotIn(LOCAL, self.sockets)

    def test_a_refusal_changes_nothing(self) -> None:
        """C2, C3."""
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL, OTHER))
        one.prepare()
        two.say(Refused(2, "cannot open /var/log/x"))
        failure = self.failureResultOf(done, RolloutError)
        self.assertIn("worker 1 refused it: cannot open /var/log/x", str(failure.value))
        self.assertEqual(self.supervisor.version, 1)
        self.assertNotIn(OTHER, self.sockets)
        self.assertEqual(one.last(Commit), commit(1))
        self.assertFalse(one.was_killed or two.was_killed)

    def test_after_a_refusal_the_next_one_works(self) -> None:
        one, two = self.start()
        self.failureResultOf(self._refused(two), RolloutError)
        done = self.apply(snapshot(3, LOCAL, OTHER))
        # The socket of the refused try is closed: a new one has to travel.
        self.assertEqual(one.given, ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.2:0"])
        for process in (one, two):
            process.prepare()
        for process in (one, two):
            process.apply()
        self.successResultOf(done)
        self.assertEqual(self.supervisor.version, 3)

    def _refused(self, worker: FakeProcess) -> Deferred[None]:
        done = self.apply(snapshot(2, LOCAL, OTHER))
        worker.say(Refused(2, "no"))
        return done

    def test_silence_changes_nothing(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL))
        one.prepare()
        self.clock.advance(ANSWER_DEADLINE_S)
        failure = self.failureResultOf(done, RolloutError)
        self.assertIn("no answer from worker 1", str(failure.value))
        # Its late answer is nobody's any more.
        two.prepare()
        self.assertEqual(two.last(Commit), commit(1))

    def test_a_port_that_cannot_be_bound_changes_nothing(self) -> None:
        one, _ = self.start()
        taken = Address("192.0.2.1", 0)
        self.failureResultOf(self.apply(snapshot(2, LOCAL, taken)), ListenError)
        self.assertEqual(one.last(Prepare).snapshot.version, 1)
        self.assertIn(LOCAL, self.sockets)

    def test_who_serves_is_told_what_changes_and_who_is_new_everything(self) -> None:
        one, _ = self.start()
        self.apply(snapshot(2, LOCAL)).addErrback(lambda _: None)
        self.assertEqual(one.heard[-3:-1], [Same("pools", 0, 1), Same("routes", 0, 1)])
        one.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        self.assertIn(Routes(snapshot(1).routes), self.processes[2].heard)

    def test_a_death_in_the_middle_holds_nobody_up_and_the_successor_gets_the_decided_one(
        self,
    ) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL))
        one.prepare()
        two.end("killed by signal 9 (SIGKILL)")
        # Its backends have the cells they had.
        self.assertEqual(one.last(Commit), Commit(2))
        one.apply()
        self.successResultOf(done)
        self.clock.advance(0)
        successor = self.processes[2]
        self.assertEqual(successor.kinds(), ["Listen", "Prepare", "Commit"])
        self.assertEqual(successor.last(Commit), commit(2))

    def test_a_successor_that_started_before_the_decision_is_brought_along(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL))
        two.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        successor = self.processes[2]
        self.assertEqual(successor.last(Commit), commit(1))
        one.prepare()
        one.apply()
        self.assertNoResult(done)
        self.assertEqual(successor.last(Commit), Commit(2))
        successor.apply()
        self.successResultOf(done)

    def test_a_snapshot_that_kills_every_worker_is_not_tried_again(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL))
        one.end("killed by signal 11 (SIGSEGV)")
        two.end("killed by signal 11 (SIGSEGV)")
        self.failureResultOf(done, RolloutError)
        self.clock.advance(0)
        self.assertEqual([p.last(Commit) for p in self.processes[2:]], [commit(1), commit(1)])

    def test_one_that_prepares_but_does_not_apply_is_killed_and_replaced(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL))
        one.prepare()
        two.prepare()
        one.apply()
        self.clock.advance(ANSWER_DEADLINE_S)
        self.successResultOf(done)
        self.assertTrue(two.was_killed)
        self.clock.advance(1)
        self.assertEqual(self.processes[2].last(Commit), commit(2))

    def test_more_workers(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL), workers=3)
        self.assertEqual(len(self.processes), 2)
        for process in (one, two):
            process.prepare()
        self.assertEqual(self.processes[2].kinds(), ["Listen", "Prepare", "Commit"])
        for process in (one, two):
            process.apply()
        self.successResultOf(done)
        self.assertTrue(self.is_listening(LOCAL, 2))

    def test_fewer_workers(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL), workers=1)
        one.prepare()
        self.assertEqual(two.kinds()[-1], "Drain")
        # Who comes from now on must not wait where nobody will look.
        port = self.sockets.actual(LOCAL).port
        for _ in range(30):
            socket.create_connection((LOCAL.host, port), 5).close()
        self.assertRaises(BlockingIOError, self.sockets.of(LOCAL, 1).accept)
        one.apply()
        self.successResultOf(done)
        self.assertRaises(IndexError, self.sockets.of, LOCAL, 1)
        two.end("exit code 0")
        self.clock.advance(10)
        self.assertEqual(len(self.processes), 2)
        self.assertEqual(self.supervisor.restarts, 0)


class QuestionTests(Case):
    def test_whoever_asks_hears_all_who_live(self) -> None:
        one, two = self.start()
        asked = self.supervisor.ask()
        told = Told(one.last(Ask).number, ProcessReport(1, 0, 1), ())
        one.say(told)
        self.assertNoResult(asked)
        two.end("killed by signal 9 (SIGKILL)")
        self.assertEqual(self.successResultOf(asked), {one.pid: told})

    def test_lines_come_from_all_workers_and_successors_while_somebody_watches(self) -> None:
        one, two = self.start()
        heard: list[object] = []
        self.supervisor.on_lines.append(lambda *found: heard.append(found))
        self.supervisor.watch(50)
        self.assertEqual([one.heard[-1], two.heard[-1]], [Watch(50)] * 2)
        two.say(Lines(("a", "b"), 3))
        self.assertEqual(heard, [(two.pid, ("a", "b"), 3)])
        two.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        self.assertIn(Watch(50), self.processes[2].heard)
        self.supervisor.watch(0)
        self.assertEqual(one.heard[-1], Watch(0))
        one.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(1)
        self.assertNotIn("Watch", self.processes[3].kinds())


class MarkTests(Case):
    def test_marks_reach_workers_and_their_successors_after_the_commit(self) -> None:
        one, _ = self.start()
        mark = Mark("app", "127.0.0.1:9001", healthy=False)
        self.supervisor.mark("app", "127.0.0.1:9001", False)
        self.assertEqual(one.heard[-1], mark)
        one.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        self.assertEqual(self.processes[2].heard[-2:], [commit(1), mark])

    def test_the_latest_mark_counts(self) -> None:
        one, _ = self.start()
        self.supervisor.mark("app", "127.0.0.1:9001", False)
        self.supervisor.mark("app", "127.0.0.1:9001", True)
        one.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        self.assertEqual(
            self.processes[2].heard[-2:], [commit(1), Mark("app", "127.0.0.1:9001", healthy=True)]
        )

    def test_marks_of_removed_backends_are_forgotten(self) -> None:
        one, two = self.start()
        self.supervisor.mark("app", "127.0.0.1:9001", False)
        done = self.apply(snapshot(2, LOCAL, backend="127.0.0.1:9002"))
        one.prepare()
        two.prepare()
        self.assertEqual(one.heard[-1], commit(2, "127.0.0.1:9002", 1))
        one.apply()
        two.apply()
        self.successResultOf(done)

    def test_a_backend_that_is_no_longer_checked_is_not_ill(self) -> None:
        one, two = self.start()
        self.supervisor.mark("app", "127.0.0.1:9001", False)
        done = self.apply(snapshot(2, LOCAL))  # its pool has no health check
        one.prepare()
        two.prepare()
        self.assertEqual(one.heard[-2:], [Commit(2), Mark("app", "127.0.0.1:9001", healthy=True)])
        one.apply()
        two.apply()
        self.successResultOf(done)

    def test_a_backend_that_is_still_checked_stays_ill(self) -> None:
        one, two = self.start()
        self.supervisor.mark("app", "127.0.0.1:9001", False)
        checked = snapshot(2, LOCAL)
        pool = replace(checked.pools[0], health_check=HealthCheck())
        self.apply(replace(checked, pools=(pool,)))
        one.prepare()
        two.prepare()
        self.assertEqual(one.heard[-2:], [Commit(2), Mark("app", "127.0.0.1:9001", healthy=False)])


class DeathTests(Case):
    def test_a_dead_worker_is_replaced_at_once_on_the_same_socket(self) -> None:
        """X8."""
        one, _ = self.start()
        sock = self.sockets.of(LOCAL, 0)
        one.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        successor = self.processes[2]
        self.assertEqual((successor.worker, successor.given), (0, ["127.0.0.1:0"]))
        self.assertIs(self.sockets.of(LOCAL, 0), sock)
        self.assertEqual(self.supervisor.status()[0].state, State.STARTING)
        successor.prepare()
        successor.apply()
        status = self.supervisor.status()[0]
        self.assertEqual((status.state, status.restarts), (State.SERVING, 1))
        self.assertEqual(self.supervisor.restarts, 1)

    def test_a_crash_loop_slows_down(self) -> None:
        self.start(workers=1)
        for _ in range(12):
            self.processes[-1].end("exit code 1")
            self.clock.advance(5)
        before = len(self.processes)
        self.processes[-1].end("exit code 1")
        self.clock.advance(4.9)
        self.assertEqual(len(self.processes), before)
        self.clock.advance(0.2)
        self.assertEqual(len(self.processes), before + 1)

    def test_a_new_configuration_ends_the_waiting(self) -> None:
        self.start(workers=1)
        for _ in range(12):
            self.processes[-1].end("exit code 1")
            self.clock.advance(5)
        self.processes[-1].end("exit code 1")
        done = self.apply(snapshot(2, LOCAL), workers=1)
        self.clock.advance(0)
        self.assertEqual(self.processes[-1].last(Commit), commit(2))
        self.successResultOf(done)

    def test_a_start_that_the_system_denies_is_tried_again(self) -> None:
        """L6, X11: no descriptor left."""
        one, _ = self.start()
        self.spawner.failures = 2
        one.end("killed by signal 9 (SIGKILL)")
        self.clock.pump([0, 0.25, 0.5])
        self.assertEqual(self.processes[-1].last(Commit), commit(1))

    def test_one_that_refuses_what_is_in_force_is_replaced(self) -> None:
        one, _ = self.start()
        one.end("killed by signal 9 (SIGKILL)")
        self.clock.advance(0)
        self.processes[2].say(Refused(1, "no"))
        self.assertTrue(self.processes[2].was_killed)
        self.clock.advance(1)
        self.assertEqual(len(self.processes), 4)

    def test_one_that_leaves_has_its_successor_before_it_is_gone(self) -> None:
        one, _ = self.start()
        one.say(Leaving())
        self.assertEqual(self.processes[2].last(Commit), commit(1))
        self.assertEqual(
            [(w.index, w.state) for w in self.supervisor.status()],
            [(0, State.DRAINING), (0, State.STARTING), (1, State.SERVING)],
        )
        one.end("exit code 0")
        self.clock.advance(10)
        self.assertEqual(len(self.processes), 3)
        self.assertEqual(self.supervisor.restarts, 0)

    def test_the_count_of_deaths_never_falls(self) -> None:
        one, two = self.start()
        two.end("exit code 1")
        self.clock.advance(0)
        done = self.apply(snapshot(2, LOCAL), workers=1)
        one.prepare()
        one.apply()
        self.successResultOf(done)
        self.assertEqual(self.supervisor.restarts, 1)

    def test_others_hear_what_was_counted_and_who_is_gone(self) -> None:
        one, two = self.start()
        tallies: list[tuple[int, Tally]] = []
        gone: list[int] = []
        self.supervisor.on_tally.append(lambda worker, tally: tallies.append((worker, tally)))
        self.supervisor.on_worker_gone.append(gone.append)
        tally = Tally(samples=(Sample("veloflux_connections", ("downstream", "web"), 4.0),))
        two.say(Counted(tally, 4))
        one.end("exit code 1")
        self.assertEqual((tallies, gone), ([(two.pid, tally)], [one.pid]))
        self.assertEqual(self.supervisor.status()[0].connections, 4)

    def test_log_files_and_the_level_are_everybodys(self) -> None:
        one, two = self.start()
        self.supervisor.reopen()
        self.supervisor.set_level("debug")
        for process in (one, two):
            self.assertEqual(process.heard[-2:], [Reopen(), Level("debug")])


class TicketTests(Case):
    """T2"""

    def test_all_workers_have_the_same_secret_and_their_successors_too(self) -> None:
        one, two = self.start()
        two.end("exit code 1")
        self.clock.advance(0)
        three = self.processes[-1]
        firsts = {process.heard[0] for process in (one, two, three)}
        self.assertEqual(firsts, {one.last(Tickets)})

    def test_a_new_one_reaches_all_in_time(self) -> None:
        one, two = self.start()
        before = one.last(Tickets)
        for _ in range(int(ROTATION_S)):
            self.clock.advance(1.0)
            for process in (one, two):
                process.say(Counted(Tally(), 0))
        self.assertNotEqual(one.last(Tickets), before)
        self.assertEqual(one.last(Tickets), two.last(Tickets))
        two.end("exit code 1")
        self.clock.advance(0)
        self.assertEqual(self.processes[-1].heard[0], one.last(Tickets))


class DrainTests(Case):
    """X8."""

    def test_waits_for_all_and_replaces_nobody(self) -> None:
        one, two = self.start()
        drained = self.supervisor.drain(30.0)
        self.assertEqual((one.heard[-1], two.heard[-1]), (Drain(30.0), Drain(30.0)))
        self.assertTrue(self.supervisor.is_draining)
        self.assertFalse(self.supervisor.is_ready)
        self.assertNotIn(LOCAL, self.sockets)
        one.end("exit code 0")
        self.assertNoResult(drained)
        two.end("killed by signal 9 (SIGKILL)")
        self.successResultOf(drained)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.processes), 2)

    def test_kills_whoever_is_left_after_the_deadline(self) -> None:
        one, two = self.start()
        drained = self.supervisor.drain(30.0)
        one.end("exit code 0")
        self.clock.advance(30.0 + LAST_WORDS_S)
        self.assertTrue(two.was_killed)
        self.successResultOf(drained)

    def test_is_over_at_once_when_killed(self) -> None:
        self.start()
        drained = self.supervisor.drain(30.0)
        self.supervisor.kill()
        self.successResultOf(drained)

    def test_waits_for_no_successor(self) -> None:
        one, two = self.start()
        one.end("exit code 1")
        drained = self.supervisor.drain(30.0)
        two.end("exit code 0")
        self.successResultOf(drained)
        self.clock.advance(10)
        self.assertEqual(len(self.processes), 2)

    def test_ends_a_start_in_progress(self) -> None:
        started = self.apply(snapshot(1, LOCAL))
        drained = self.supervisor.drain(30.0)
        self.successResultOf(drained)
        self.failureResultOf(started, RolloutError)
        self.assertNotIn(LOCAL, self.sockets)

    def test_ends_a_rollout_in_progress(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL, OTHER))
        one.prepare()
        self.supervisor.drain(30.0)
        # A descriptor may still be on its way, so the sockets close when all have answered.
        self.assertIn(OTHER, self.sockets)
        two.prepare()
        failure = self.failureResultOf(done, RolloutError)
        self.assertIn("draining", str(failure.value))
        self.assertNotIn(OTHER, self.sockets)
        self.assertNotIn(LOCAL, self.sockets)
        self.assertEqual(one.last(Commit), commit(1))

    def test_refuses_to_apply_anything_more(self) -> None:
        self.start()
        self.supervisor.drain(30.0)
        self.failureResultOf(self.apply(snapshot(2, LOCAL)), RolloutError)

    def test_nothing_to_drain(self) -> None:
        self.successResultOf(self.supervisor.drain(30.0))

    def test_a_second_call_waits_for_the_same(self) -> None:
        self.start()
        self.assertIs(self.supervisor.drain(30.0), self.supervisor.drain(5.0))


class StaleAnswerTests(Case):
    def test_answers_to_an_earlier_version_do_not_count(self) -> None:
        one, two = self.start()
        done = self.apply(snapshot(2, LOCAL))
        one.say(Prepared(1))
        two.prepare()
        self.assertNoResult(done)
        self.assertEqual(two.last(Commit), commit(1))


class RestTests(Case):
    """The daemon drains and lives on."""

    def wake(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.supervisor.wake())

    def is_refused(self, address: Address) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex((address.host, address.port)) == errno.ECONNREFUSED

    def test_workers_finish_and_nobody_takes_their_place(self) -> None:
        one, two = self.start()
        self.supervisor.rest(30.0)
        self.assertEqual((one.heard[-1], two.heard[-1]), (Drain(30.0), Drain(30.0)))
        self.assertTrue(self.supervisor.is_draining)
        self.assertFalse(self.supervisor.is_ready)
        one.end("exit code 0")
        two.end("exit code 0")
        self.clock.advance(100)
        self.assertEqual((len(self.processes), self.supervisor.status()), (2, ()))
        self.assertEqual(self.supervisor.restarts, 0)

    def test_connections_are_refused_and_the_address_is_kept(self) -> None:
        self.start()
        before = self.supervisor.addresses["127.0.0.1:0"]
        self.supervisor.rest(30.0)
        self.assertTrue(self.is_refused(before))
        self.assertEqual(self.supervisor.addresses["127.0.0.1:0"], before)
        self.wake()
        self.assertEqual(self.supervisor.addresses["127.0.0.1:0"], before)
        self.assertTrue(self.is_listening(LOCAL, 0) and self.is_listening(LOCAL, 1))
        self.assertFalse(self.is_refused(before))

    def test_it_rests_on_while_somebody_else_has_its_port(self) -> None:
        self.start()
        actual = self.supervisor.addresses["127.0.0.1:0"]
        self.supervisor.rest(30.0)
        other = bind(actual)
        self.addCleanup(other.close)
        other.listen()
        for _ in range(2):
            failure = self.failureResultOf(self.wake(), ListenError)
            self.assertIn("another process listens there", str(failure.value))
            self.assertTrue(self.supervisor.is_draining)
        other.close()
        self.wake()
        self.assertTrue(self.is_listening(LOCAL, 0) and self.is_listening(LOCAL, 1))
        self.assertEqual(self.supervisor.addresses["127.0.0.1:0"], actual)

    def test_it_wakes_with_fresh_workers_that_serve_what_is_in_force(self) -> None:
        old = self.start()
        self.supervisor.rest(30.0)
        for process in old:
            process.end("exit code 0")
        woken = self.wake()
        fresh = self.processes[2:]
        self.assertEqual([process.last(Commit) for process in fresh], [commit(1), commit(1)])
        self.assertNoResult(woken)
        for process in fresh:
            process.prepare()
            process.apply()
        self.successResultOf(woken)
        self.assertTrue(self.supervisor.is_ready)
        self.assertFalse(self.supervisor.is_draining)

    def test_whoever_has_not_finished_goes_on_beside_the_fresh(self) -> None:
        one, two = self.start()
        self.supervisor.rest(30.0)
        two.end("exit code 0")
        self.wake()
        self.assertEqual(
            [(worker.index, worker.state) for worker in self.supervisor.status()],
            [(0, State.DRAINING), (0, State.STARTING), (1, State.STARTING)],
        )
        one.end("exit code 0")
        self.assertEqual((len(self.processes), self.supervisor.restarts), (4, 0))

    def test_no_configuration_is_taken_meanwhile(self) -> None:
        self.start()
        self.supervisor.rest(30.0)
        failure = self.failureResultOf(self.apply(snapshot(2, LOCAL, OTHER)), RolloutError)
        self.assertIn("cancel the drain", str(failure.value))
        self.assertEqual(self.supervisor.version, 1)
        self.assertNotIn(OTHER, self.sockets)

    def test_a_successor_that_waited_comes_only_after_the_waking(self) -> None:
        one, two = self.start()
        one.end("exit code 1")
        self.supervisor.rest(30.0)
        two.end("exit code 0")
        self.clock.advance(100)
        self.assertEqual(len(self.processes), 2)
        self.wake()
        self.assertEqual(len(self.processes), 4)

    def test_it_ends_in_order_also_when_all_are_gone(self) -> None:
        one, two = self.start()
        self.supervisor.rest(300.0)
        one.end("exit code 0")
        drained = self.supervisor.drain(30.0)
        # There is no more time than the end has.
        self.assertEqual(two.heard[-2:], [Drain(300.0), Drain(30.0)])
        self.assertNoResult(drained)
        two.end("exit code 0")
        self.successResultOf(drained)
        self.assertNotIn(LOCAL, self.sockets)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(self.wake(), RolloutError)

    def test_it_rests_once_and_not_before_it_serves(self) -> None:
        with self.assertRaises(RolloutError):
            self.supervisor.rest(1.0)
        self.start()
        self.failureResultOf(self.wake(), RolloutError)
        self.supervisor.rest(30.0)
        with self.assertRaises(RolloutError):
            self.supervisor.rest(1.0)

    def test_it_serves_on_when_an_address_could_not_be_had_back(self) -> None:
        one, _ = self.start()
        self.sockets.hold = self._cannot  # type: ignore[method-assign]
        with self.assertRaises(ListenError):
            self.supervisor.rest(30.0)
        self.assertTrue(self.supervisor.is_ready)
        self.assertEqual(one.last(Commit), one.heard[-1])

    def _cannot(self) -> None:
        raise ListenError("cannot listen on 127.0.0.1:80: permission denied")
