from copy import copy

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.flow import exchange
from veloflux.core.model.resilience import OutlierDetection
from veloflux.core.policy.outlier import FAILURES, JITTER, Detector, Outlier, is_failure

MODEL = OutlierDetection()


def seen(failures: int, successes: int) -> Outlier:
    outlier = Outlier(OutlierDetection(consecutive_failures=0))
    for _ in range(failures):
        outlier.observe_failure()
    for _ in range(successes):
        outlier.observe_success()
    return outlier


def judged(*counts: tuple[int, int], model: OutlierDetection = MODEL) -> list[int]:
    """The places of those that a judge ejects; `counts` are failures and successes."""
    members = {place: seen(*each) for place, each in enumerate(counts)}
    return Detector(model, lambda: 0.0).judge(members, 10.0)


class OutlierTests(SynchronousTestCase):
    def test_failures_in_a_row_are_too_many(self) -> None:
        outlier = Outlier(MODEL)
        self.assertEqual([outlier.observe_failure() for _ in range(6)], [False] * 4 + [True] * 2)

    def test_a_success_breaks_the_row(self) -> None:
        outlier = Outlier(MODEL)
        for _ in range(4):
            outlier.observe_failure()
        outlier.observe_success()
        self.assertEqual([outlier.observe_failure() for _ in range(5)], [False] * 4 + [True])

    def test_no_row_is_too_long_when_that_is_off(self) -> None:
        outlier = Outlier(OutlierDetection(consecutive_failures=0))
        self.assertFalse(any(outlier.observe_failure() for _ in range(100)))

    def test_a_new_limit_goes_for_the_row_so_far(self) -> None:
        outlier = Outlier(MODEL)
        outlier.observe_failure()
        outlier.configure(OutlierDetection(consecutive_failures=2))
        self.assertTrue(outlier.observe_failure())

    def test_what_speaks_against_a_backend(self) -> None:
        against = [status for status in range(200, 600) if is_failure(status)]
        self.assertEqual(
            against, [s for s in range(500, 600) if s not in (501, 505, 506, 510, 511)]
        )

    def test_every_failure_is_somebodys(self) -> None:
        """Ours or the client's are left; a new one must be put on one side."""
        failures = {f for f in vars(exchange).values() if isinstance(f, exchange.Failure)}
        reasons = {failure.reason for failure in failures}
        others = {
            "no_backend",
            "no_tunnel",
            "circuit_open",
            "resources",
            "busy",
            "queue_timeout",
            "total_timeout",
            "unwanted_status",  # counted by its status
        }
        self.assertLessEqual(FAILURES, reasons)
        self.assertLessEqual(reasons - FAILURES, others)


class JudgeTests(SynchronousTestCase):
    def test_one_of_three_that_fails_is_out(self) -> None:
        self.assertEqual(judged((50, 50), (0, 100), (1, 99)), [0])

    def test_the_worst_comes_first(self) -> None:
        self.assertEqual(judged((0, 200), (60, 40), (90, 10), (0, 200)), [2, 1])

    def test_what_befalls_all_takes_nobody_out(self) -> None:
        """X3"""
        self.assertEqual(judged((70, 30), (68, 32), (75, 25), (100, 40)), [])
        self.assertEqual(judged((100, 0), (100, 0)), [])

    def test_few_requests_say_nothing(self) -> None:
        self.assertEqual(judged((19, 0), (0, 100)), [])
        self.assertEqual(judged((100, 0), (0, 19)), [])
        few = OutlierDetection(min_requests=1, success_rate_margin=1)
        self.assertEqual(judged((1, 0), (0, 100), model=few), [0])
        self.assertEqual(judged((1, 1), (0, 2), model=few), [])

    def test_chance_is_no_sign(self) -> None:
        """More than the margin apart, but with twenty requests each that may be luck."""
        self.assertEqual(judged((5, 15), (0, 20)), [])
        self.assertEqual(judged((50, 150), (0, 200)), [0])

    def test_a_difference_below_the_margin_is_borne(self) -> None:
        self.assertEqual(judged((19_000, 81_000), (0, 100_000)), [])
        self.assertEqual(judged((21_000, 79_000), (0, 100_000)), [0])

    def test_counts_begin_anew(self) -> None:
        members = {"a": seen(50, 50), "b": seen(0, 100)}
        detector = Detector(MODEL, lambda: 0.0)
        self.assertEqual(detector.judge(members, 10.0), ["a"])
        self.assertEqual(detector.judge(members, 20.0), [])

    def test_who_is_out_is_no_measure(self) -> None:
        """What was still under way when it was ejected fails, and says nothing of the others."""
        detector = Detector(MODEL, lambda: 0.0)
        members = {"a": seen(0, 0), "b": seen(30, 70), "c": seen(0, 100)}
        detector.eject(members["a"], 5.0)
        for _ in range(1000):
            members["a"].observe_failure()
        self.assertEqual(detector.judge(members, 10.0), ["b"])

    def test_can_be_off(self) -> None:
        for margin in (0, 100):
            model = OutlierDetection(success_rate_margin=margin)
            self.assertEqual(judged((100, 0), (0, 100), model=model), [])
        self.assertEqual(
            judged((100, 0), (0, 100), model=OutlierDetection(success_rate_margin=99)), [0]
        )

    @given(
        st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=8),
        st.integers(1, 100),
        st.integers(1, 100),
    )
    def test_who_is_out_is_worse_than_the_others_by_the_margin(
        self, counts: list[tuple[int, int]], margin: int, least: int
    ) -> None:
        model = OutlierDetection(success_rate_margin=margin, min_requests=least)
        out = judged(*counts, model=model)
        self.assertLess(len(out), max(len(counts), 1))
        for place in out:
            failed, passed = counts[place]
            others = [each for other, each in enumerate(counts) if other != place]
            of = sum(map(sum, others))
            self.assertGreaterEqual(failed + passed, least)
            gap = failed / (failed + passed) - sum(f for f, _ in others) / of
            self.assertGreaterEqual(gap * 100, margin * (1 - 1e-9))

    @given(
        st.integers(0, 50), st.integers(0, 50), st.lists(st.integers(1, 50), min_size=1, max_size=8)
    )
    def test_equals_stay_equal(self, failed: int, passed: int, weights: list[int]) -> None:
        """X3: however bad all of them are, and however much each of them gets."""
        self.assertEqual(judged(*((failed * w, passed * w) for w in weights)), [])


class EjectionTests(SynchronousTestCase):
    def test_each_is_twice_as_long_as_the_one_before(self) -> None:
        outlier, detector, now = Outlier(MODEL), Detector(MODEL, lambda: 0.0), 0.0
        lengths = []
        for _ in range(8):
            lengths.append(detector.eject(outlier, now))
            now += lengths[-1]
        self.assertEqual(lengths, [10, 20, 40, 80, 160, 300, 300, 300])

    def test_quiet_makes_them_shorter_again(self) -> None:
        outlier, detector = Outlier(MODEL), Detector(MODEL, lambda: 0.0)
        self.assertEqual(detector.eject(outlier, 0.0), 10)
        self.assertEqual(detector.eject(outlier, 10.0), 20)
        # Back at 30. The two doublings are forgiven after 20 and 10 more seconds of quiet.
        self.assertEqual(outlier.length_s(49.9, MODEL), 40)
        self.assertEqual(outlier.length_s(50.0, MODEL), 20)
        self.assertEqual(outlier.length_s(59.9, MODEL), 20)
        self.assertEqual(outlier.length_s(60.0, MODEL), 10)
        self.assertEqual(detector.eject(outlier, 1e6), 10)

    def test_they_do_not_end_together(self) -> None:
        """X4: backends that come back at once get a herd."""
        luck = iter((0.0, 0.5))
        detector = Detector(MODEL, lambda: next(luck))
        self.assertEqual([detector.eject(Outlier(MODEL), 0.0) for _ in range(2)], [10.0, 10.5])

    def test_two_workers_that_see_the_same_eject_once(self) -> None:
        outlier, detector = Outlier(MODEL), Detector(MODEL, lambda: 0.0)
        detector.eject(outlier, 0.0)
        outlier.begin(0.1, 10.5, MODEL)
        self.assertEqual(outlier.until, 10.6)
        self.assertEqual(detector.eject(outlier, 10.6), 20)

    def test_one_that_was_a_mistake_is_as_if_it_had_not_been(self) -> None:
        """X3: it is judged again from then on."""
        detector = Detector(MODEL, lambda: 0.0)
        members = {"a": seen(0, 0), "b": seen(0, 100)}
        detector.eject(members["a"], 0.0)
        detector.eject(members["a"], 10.0)
        members["a"].pardon(15.0)
        for _ in range(100):
            members["a"].observe_failure()
        self.assertEqual(detector.judge(members, 16.0), ["a"])
        self.assertEqual(detector.eject(members["a"], 16.0), 20)

    def test_a_pardon_for_who_is_not_out_changes_nothing(self) -> None:
        outlier, detector = Outlier(MODEL), Detector(MODEL, lambda: 0.0)
        outlier.pardon(0.0)
        detector.eject(outlier, 0.0)
        outlier.pardon(11.0)
        self.assertEqual(outlier.length_s(11.0, MODEL), 20)

    def test_the_row_begins_anew(self) -> None:
        outlier, detector = Outlier(MODEL), Detector(MODEL, lambda: 0.0)
        for _ in range(5):
            outlier.observe_failure()
        detector.eject(outlier, 0.0)
        self.assertFalse(outlier.observe_failure())

    @given(st.integers(0, 100), st.integers(0, 50), st.integers(0, 50))
    def test_only_a_share_is_out(self, percent: int, ejected: int, total: int) -> None:
        detector = Detector(OutlierDetection(max_ejected_percent=percent), lambda: 0.0)
        may = detector.may_eject(ejected, total)
        if may:
            self.assertLess(ejected + 1, total)
            self.assertTrue(ejected == 0 or (ejected + 1) / total * 100 <= percent + 1e-9)
        elif percent and total >= 2:
            self.assertGreater(ejected, 0)

    def test_examples_of_the_share(self) -> None:
        half = Detector(MODEL, lambda: 0.0)
        self.assertEqual([half.may_eject(n, 4) for n in range(4)], [True, True, False, False])
        self.assertEqual([half.may_eject(0, n) for n in range(4)], [False, False, True, True])
        all_of_them = Detector(OutlierDetection(max_ejected_percent=100), lambda: 0.0)
        self.assertEqual([all_of_them.may_eject(n, 3) for n in range(3)], [True, True, False])
        none = Detector(OutlierDetection(max_ejected_percent=0), lambda: 0.0)
        self.assertFalse(none.may_eject(0, 10))


class PoolMachine(RuleBasedStateMachine):
    """A pool of four whose backends fail and recover as they please; the rules are what its worker
    does with what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.model = OutlierDetection(consecutive_failures=3, min_requests=5)
        self.now = 0.0
        self.lucky = 0.0
        self.detector = Detector(self.model, lambda: self.lucky)
        self.members = {name: Outlier(self.model) for name in "abcd"}

    def out(self) -> list[str]:
        return [name for name, each in self.members.items() if self.now < each.until]

    def eject(self, name: str) -> None:
        out = self.out()
        if name not in out and self.detector.may_eject(len(out), len(self.members)):
            self.detector.eject(self.members[name], self.now)

    @rule(name=st.sampled_from("abcd"), count=st.integers(1, 30))
    def fail(self, name: str, count: int) -> None:
        for _ in range(count):
            if self.members[name].observe_failure():
                self.eject(name)

    @rule(name=st.sampled_from("abcd"), count=st.integers(1, 30))
    def succeed(self, name: str, count: int) -> None:
        for _ in range(count):
            self.members[name].observe_success()

    @rule(seconds=st.floats(0, 1000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def judge(self) -> None:
        for name in self.detector.judge(self.members, self.now):
            self.eject(name)

    @rule(luck=st.floats(0, 1, exclude_max=True))
    def be_lucky(self, luck: float) -> None:
        self.lucky = luck

    @invariant()
    def no_more_than_the_share_is_out(self) -> None:
        assert len(self.out()) <= 2

    @invariant()
    def every_way_down_has_a_way_up(self) -> None:
        """X1: with no further failure, all are back in time."""
        latest = self.now + self.model.max_ejection_s * (1 + JITTER)
        assert all(each.until <= latest for each in self.members.values())

    @invariant()
    def what_was_long_ago_is_forgiven(self) -> None:
        later = self.now + 10 * self.model.max_ejection_s
        for each in self.members.values():
            assert copy(each).length_s(later, self.model) == self.model.base_ejection_s


class HistoryTests(SynchronousTestCase):
    def test_whatever_happens_few_are_out_and_all_come_back(self) -> None:
        """X1"""
        run_state_machine_as_test(PoolMachine)
