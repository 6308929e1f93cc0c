from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge.deadlines import NEVER, RESOLUTION_S, Deadlines, Timed

MOMENTS = st.floats(0, 20)


class Bell(Timed):
    """Notes when it rings."""

    def __init__(self) -> None:
        self.rung: list[float] = []

    def expire(self, now: float) -> None:
        self.rung.append(now)


class Broken(Timed):
    def expire(self, now: float) -> None:
        raise RuntimeError("broken")


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.deadlines = Deadlines(self.clock)
        self.deadlines.start()
        self.addCleanup(self.deadlines.stop)

    def run_to(self, moment: float) -> None:
        while self.clock.seconds() < moment:
            self.clock.advance(RESOLUTION_S / 2)

    def test_rings_once_and_not_before(self) -> None:
        bell = Bell()
        self.deadlines.arm(bell, 1005.0)
        self.run_to(1020)
        (rung,) = bell.rung
        self.assertTrue(1005.0 <= rung <= 1005.0 + 2 * RESOLUTION_S, rung)

    def test_the_last_word_counts(self) -> None:
        sooner, later, never, gone = Bell(), Bell(), Bell(), Bell()
        for bell in (sooner, later, never, gone):
            self.deadlines.arm(bell, 1005.0)
        self.deadlines.arm(sooner, 1001.0)
        self.deadlines.arm(later, 1009.0)
        never.deadline = NEVER
        self.deadlines.disarm(gone)
        self.run_to(1004)
        self.assertEqual((len(sooner.rung), len(later.rung)), (1, 0))
        self.run_to(1020)
        self.assertEqual((len(sooner.rung), len(later.rung)), (1, 1))
        self.assertEqual((never.rung, gone.rung), ([], []))

    def test_can_be_set_again(self) -> None:
        bell = Bell()
        for moment in (1001.0, 1002.0, 1003.0):
            self.deadlines.arm(bell, moment)
            self.run_to(moment + 0.5)
        self.assertEqual(len(bell.rung), 3)

    def test_one_in_the_past_rings_soon(self) -> None:
        bell = Bell()
        self.deadlines.arm(bell, 900.0)
        self.run_to(1000.3)
        self.assertEqual(len(bell.rung), 1)

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        bells = [Bell() for _ in range(5)]
        for timed in (*bells, Broken(), Broken()):
            self.deadlines.arm(timed, 1001.0)
        self.run_to(1002)
        self.assertEqual([len(bell.rung) for bell in bells], [1] * 5)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_a_long_sleep_misses_nothing(self) -> None:
        """X9: a suspended machine"""
        bells = [Bell() for _ in range(3)]
        for moment, bell in zip((1001.0, 1500.0, 9000.0), bells, strict=True):
            self.deadlines.arm(bell, moment)
        self.clock.advance(5000)
        self.assertEqual([len(bell.rung) for bell in bells], [1, 1, 0])

    @given(st.lists(st.tuples(MOMENTS, st.one_of(MOMENTS, st.none())), max_size=8))
    def test_whatever_is_set_and_moved_rings_when_it_should(
        self, moves: list[tuple[float, float | None]]
    ) -> None:
        """At each moment the deadline becomes so many seconds from then, or none."""
        clock = Clock()
        clock.advance(1000)
        deadlines = Deadlines(clock)
        deadlines.start()
        bell = Bell()
        expected: list[float] = []
        due: float | None = None
        for at, wait in sorted(moves, key=lambda move: move[0]):
            while clock.seconds() < 1000 + at:
                clock.advance(RESOLUTION_S)
            if due is not None and bell.rung[len(expected) :]:
                expected.append(due)
            due = None if wait is None else clock.seconds() + wait
            deadlines.arm(bell, NEVER if due is None else due)
        clock.pump([RESOLUTION_S] * 220)
        if due is not None:
            expected.append(due)
        deadlines.stop()
        self.assertEqual(len(bell.rung), len(expected))
        for rung, moment in zip(bell.rung, expected, strict=True):
            self.assertTrue(moment <= rung <= moment + 2 * RESOLUTION_S + 1e-6, (rung, moment))
