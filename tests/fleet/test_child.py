"""What a worker does with what it is told."""

import gc
import os
from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.fakes import LOCAL, snapshot
from veloflux.core.model.metrics import Sample, Tally
from veloflux.core.model.report import PoolReport
from veloflux.core.model.traffic import Route, Snapshot
from veloflux.fleet.cells import Cells
from veloflux.fleet.channel import Channel
from veloflux.fleet.child import LINES_S, LOOK_S, TALLY_S, Child
from veloflux.fleet.messages import (
    DRAIN_DEADLINE_S,
    Applied,
    Ask,
    Commit,
    Counted,
    Down,
    Drain,
    Drained,
    Hello,
    Leaving,
    Lines,
    Listen,
    Mark,
    Prepare,
    Prepared,
    Refused,
    Reopen,
    Routes,
    Same,
    Tickets,
    Told,
    Up,
    Watch,
    encode,
    read_up,
)

POOL = PoolReport("app", "random", "random", "127.0.0.1:9001", 0, "", 0.0)
TALLY = Tally(samples=(Sample("veloflux_connections", ("downstream", "web"), 1.0),))


class Plane:
    """A data plane that writes down what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.connections = 0
        self.untold = 0
        self.problem: Exception | None = None
        self.fault: Exception | None = None
        self.lines: list[str] = []
        self.dropped = 0

    def listen(self, address: str, fd: int) -> None:
        self.calls.append(("listen", address, fd))

    def prepare(self, snapshot: Snapshot) -> Iterator[None]:
        yield
        if self.problem is not None:
            raise self.problem
        self.calls.append(("prepare", snapshot.version))
        self.prepared = snapshot

    def commit(self, version: int, cells: Cells) -> None:
        self.calls.append(("commit", version))

    def mark(self, pool: str, backend: str, healthy: bool) -> None:
        self.calls.append(("mark", pool, backend, healthy))

    def share_tickets(self, secret: bytes) -> None:
        self.calls.append(("share_tickets", secret))

    def reopen(self) -> None:
        self.calls.append(("reopen",))

    def watch(self, lines: int) -> None:
        self.calls.append(("watch", lines))

    def take_lines(self) -> tuple[list[str], int]:
        lines, dropped = self.lines, self.dropped
        self.lines, self.dropped = [], 0
        return lines, dropped

    def report(self) -> tuple[PoolReport, ...]:
        if self.fault is not None:
            raise self.fault
        return (POOL,)

    def drain(self) -> None:
        self.calls.append(("drain",))

    @property
    def is_behind(self) -> bool:
        return self.untold > 0

    def tally(self) -> Tally:
        if self.fault is not None:
            raise self.fault
        self.untold = max(0, self.untold - 1)
        return TALLY

    def cut(self) -> None:
        self.calls.append(("cut",))
        self.connections = 0

    def close(self) -> None:
        self.calls.append(("close",))
        self.connections = 0


class ChildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.plane = Plane()
        self.stopped: list[bool] = []
        self.child = Child(self.clock, self.plane, lambda: self.stopped.append(True))
        self.transport = StringTransport()
        self.child.channel.makeConnection(self.transport)
        self.heard: list[Up] = []
        self.supervisor: Channel[Up] = Channel(
            read_up, lambda message, _: self.heard.append(message), lambda: None
        )
        self.child.start()

    def tell(self, *messages: Down) -> list[Up]:
        """Send messages down and return what came up since the last time.

        There is time for building: some slices, and less than a tally takes.
        """
        for message in messages:
            self.child.channel.stringReceived(encode(message))
        self.clock.pump([0.01] * 4)
        self.supervisor.dataReceived(self.transport.value())
        self.transport.clear()
        heard, self.heard[:] = list(self.heard), []
        return heard

    def lose(self) -> None:
        self.child.channel.connectionLost()

    def test_says_hello(self) -> None:
        self.assertEqual(self.tell(), [Hello(os.getpid())])

    def test_takes_a_configuration_in_two_steps(self) -> None:
        self.tell()
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.child.channel.fileDescriptorReceived(reader)
        answer = self.tell(Listen("127.0.0.1:0"), Prepare(snapshot(3, LOCAL)))
        self.assertEqual(answer, [Prepared(3)])
        self.assertEqual(self.plane.calls, [("listen", "127.0.0.1:0", reader), ("prepare", 3)])
        self.assertEqual(self.tell(Commit(3)), [Applied(3)])
        self.assertEqual(self.plane.calls[-1], ("commit", 3))

    def test_puts_the_routes_together_again(self) -> None:
        self.tell()
        one, two, three = (Route(id=name) for name in ("one", "two", "three"))
        answer = self.tell(Routes((one, two)), Routes((three,)), Prepare(snapshot(3, LOCAL)))
        self.assertEqual(answer, [Prepared(3)])
        self.assertEqual(self.plane.prepared.routes, (one, two, three))
        self.tell(Prepare(snapshot(4, LOCAL)))
        self.assertEqual(self.plane.prepared.routes, ())

    def test_keeps_routes_that_it_serves_by(self) -> None:
        self.tell()
        one, two, three = (Route(id=name) for name in ("one", "two", "three"))
        self.tell(Routes((one, two, three)), Prepare(snapshot(3, LOCAL)), Commit(3))
        kept = self.plane.prepared.routes
        # Of what is prepared and not committed, nothing is kept.
        self.tell(Routes((three,)), Prepare(snapshot(4, LOCAL)))
        new = Route(id="new")
        answer = self.tell(Same("routes", 1, 2), Routes((new,)), Prepare(snapshot(5, LOCAL)))
        self.assertEqual(answer, [Prepared(5)])
        self.assertEqual(self.plane.prepared.routes, (two, three, new))
        for before, after in zip(kept[1:], self.plane.prepared.routes, strict=False):
            self.assertIs(before, after)

    def test_what_is_being_built_is_not_walked_by_the_garbage_collector(self) -> None:
        self.addCleanup(gc.unfreeze)
        self.tell()
        self.child.channel.stringReceived(encode(Routes((Route(id="one"),))))
        self.assertFalse(gc.isenabled())
        before = gc.get_freeze_count()
        self.tell(Prepare(snapshot(3, LOCAL)))
        self.assertTrue(gc.isenabled())
        self.assertGreater(gc.get_freeze_count(), before)

    def test_a_refused_configuration_leaves_the_garbage_collector_on(self) -> None:
        self.addCleanup(gc.unfreeze)
        self.tell()
        self.plane.problem = ValueError("no pool")
        self.tell(Routes((Route(id="one"),)), Prepare(snapshot(3, LOCAL)))
        self.assertTrue(gc.isenabled())

    def test_a_newer_configuration_ends_the_building_of_an_older_one(self) -> None:
        self.tell()
        self.child.channel.stringReceived(encode(Prepare(snapshot(3, LOCAL))))
        self.assertEqual(self.tell(Prepare(snapshot(4, LOCAL))), [Prepared(4)])

    def test_a_commit_does_not_wait_for_slices(self) -> None:
        for message in (Prepare(snapshot(3, LOCAL)), Commit(3)):
            self.child.channel.stringReceived(encode(message))
        self.assertEqual(self.plane.calls, [("prepare", 3), ("commit", 3)])

    def test_does_not_commit_what_it_refused(self) -> None:
        self.tell()
        self.plane.problem = ValueError("cannot open the access log")
        answer = self.tell(Prepare(snapshot(3)), Commit(3))
        self.assertEqual(answer, [Refused(3, "cannot open the access log")])
        self.assertEqual(self.plane.calls, [])

    def test_refuses_with_the_reason(self) -> None:
        self.tell()
        self.plane.problem = ValueError("cannot open the access log")
        answer = self.tell(Prepare(snapshot(3)))
        self.assertEqual(answer, [Refused(3, "cannot open the access log")])
        self.assertEqual(self.stopped, [])

    def test_a_fault_while_preparing_is_a_refusal_too(self) -> None:
        self.tell()
        self.plane.problem = KeyError("surprise")
        [answer] = self.tell(Prepare(snapshot(3)))
        assert isinstance(answer, Refused)
        self.assertIn("surprise", answer.why)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.stopped, [])

    def test_passes_marks_and_reopening_on(self) -> None:
        self.tell(Mark("app", "127.0.0.1:9001", healthy=False), Reopen(), Tickets(b"new"))
        self.assertEqual(
            self.plane.calls,
            [("mark", "app", "127.0.0.1:9001", False), ("reopen",), ("share_tickets", b"new")],
        )

    def test_says_how_it_is_when_asked(self) -> None:
        self.tell(Prepare(snapshot(3)), Commit(3))
        self.plane.connections = 5
        [answer] = self.tell(Ask(7))
        assert isinstance(answer, Told)
        self.assertEqual((answer.number, answer.pools), (7, (POOL,)))
        self.assertEqual((answer.process.version, answer.process.connections), (3, 5))
        self.assertGreaterEqual(answer.process.threads, 1)
        self.assertEqual(len(answer.process.collections), 3)

    def test_a_fault_in_telling_does_not_end_it(self) -> None:
        self.tell()
        self.plane.fault = KeyError("surprise")
        [answer] = self.tell(Ask(7))
        assert isinstance(answer, Told)
        self.assertEqual(answer.pools, ())
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_sends_lines_while_somebody_watches(self) -> None:
        self.tell()
        self.clock.advance(LINES_S)
        self.assertEqual(self.tell(Watch(10)), [])
        self.assertEqual(self.plane.calls, [("watch", 3)])
        self.plane.lines, self.plane.dropped = ["one\n", "two\n"], 3
        self.clock.advance(LINES_S)
        self.assertEqual(self.tell(), [Lines(("one\n", "two\n"), 3)])
        self.clock.advance(LINES_S)
        self.assertEqual(self.tell(Watch(0)), [])
        self.assertEqual(self.plane.calls[-1], ("watch", 0))
        self.plane.lines = ["late\n"]
        self.clock.advance(LINES_S)
        self.assertNotIn(Lines(("late\n",), 0), self.tell())

    def test_reports_once_a_second(self) -> None:
        self.tell()
        self.plane.connections = 5
        self.clock.pump([TALLY_S, TALLY_S])
        self.assertEqual(self.tell(), [Counted(TALLY, 5), Counted(TALLY, 5)])

    def test_tells_very_much_in_parts(self) -> None:
        self.tell()
        self.plane.untold = 7
        self.clock.advance(TALLY_S)
        self.assertEqual(len(self.tell()), 1)
        self.clock.pump([TALLY_S / 10] * 8)
        self.assertEqual(len(self.tell()), 3)

    def test_tells_all_before_it_goes(self) -> None:
        self.tell()
        self.plane.untold = 7
        self.child.channel.stringReceived(encode(Drain(5.0)))
        self.assertEqual(self.tell(), [Counted(TALLY, 0)] * 7 + [Drained(0)])

    def test_a_fault_in_counting_does_not_end_the_counting(self) -> None:
        self.tell()
        self.plane.fault = KeyError("surprise")
        self.clock.advance(TALLY_S)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.plane.fault = None
        self.clock.advance(TALLY_S)
        # It is never silent, for then it would be taken for one that hangs.
        self.assertEqual(self.tell(), [Counted(Tally(), 0), Counted(TALLY, 0)])

    def test_drains_until_the_last_connection_ends(self) -> None:
        self.tell()
        self.plane.connections = 2
        self.assertEqual(self.tell(Drain(10.0)), [])
        self.assertEqual(self.plane.calls, [("drain",)])
        self.clock.pump([LOOK_S] * 3)
        self.assertFalse(self.transport.disconnecting)
        self.plane.connections = 0
        self.clock.advance(LOOK_S)
        self.assertEqual(self.tell(), [Counted(TALLY, 0), Drained(0)])
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertEqual((self.stopped, self.child.exit_code), ([True], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gives_up_at_the_deadline(self) -> None:
        self.tell()
        self.plane.connections = 2
        self.tell(Drain(10.0))
        self.clock.advance(10.0)
        self.assertEqual(self.plane.calls, [("drain",), ("cut",)])
        self.clock.advance(LOOK_S)
        # What the last ones came to is counted, too.
        self.assertEqual(self.tell()[-2:], [Counted(TALLY, 0), Drained(2)])
        self.assertEqual(self.plane.calls, [("drain",), ("cut",), ("close",)])
        self.lose()
        self.assertEqual(self.child.exit_code, 0)

    def test_a_shorter_deadline_replaces_a_longer_one(self) -> None:
        self.plane.connections = 1
        self.tell(Drain(30.0), Drain(1.0), Drain(20.0))
        self.assertEqual(self.plane.calls, [("drain",)])
        self.clock.pump([1.0, LOOK_S])
        self.assertEqual(self.tell()[-1], Drained(1))

    def test_a_drain_or_a_signal_that_comes_as_it_leaves_is_late(self) -> None:
        """X8: its last word is said, and the channel not closed yet."""
        self.tell()
        self.tell(Drain(10.0))
        self.child.channel.stringReceived(encode(Drain(10.0)))
        self.child.leave()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_signal_makes_it_ask_for_a_successor_and_drain(self) -> None:
        self.tell()
        self.plane.connections = 1
        self.child.leave()
        self.child.leave()
        self.assertEqual(self.tell(), [Leaving()])
        self.clock.pump([DRAIN_DEADLINE_S, LOOK_S])
        self.assertEqual(self.tell()[-1], Drained(1))

    def test_a_signal_while_draining_says_nothing_more(self) -> None:
        self.tell()
        self.plane.connections = 1
        self.tell(Drain(30.0))
        self.child.leave()
        self.assertEqual(self.tell(), [])

    def test_leaves_at_once_when_the_supervisor_is_gone(self) -> None:
        """No orphan may hold the ports against the next daemon."""
        self.plane.connections = 3
        self.lose()
        self.assertEqual(self.plane.calls, [("close",)])
        self.assertEqual((self.stopped, self.child.exit_code), ([True], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaves_at_once_when_the_supervisor_goes_during_a_drain(self) -> None:
        self.plane.connections = 3
        self.tell(Drain(30.0))
        self.lose()
        self.assertEqual(self.stopped, [True])
        self.assertEqual(self.clock.getDelayedCalls(), [])
