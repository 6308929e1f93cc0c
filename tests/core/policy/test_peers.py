from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.policy.peers import Counts, Row, Verdict

counts = st.integers(0, 1000)


def after(good: int, failed: int) -> Verdict:
    """The verdict on a row while which the others did so."""
    row = Row()
    row.judge(Counts(700, 30, 1), 5)
    return row.judge(Counts(700 + good, 30 + failed, 1), 5)


class RowTests(SynchronousTestCase):
    def test_is_ones_own_while_the_others_do_well(self) -> None:
        self.assertEqual([after(20, 0), after(20, 5), after(2, 0)], ["own"] * 3)

    def test_nothing_is_said_while_the_others_are_not_asked_but_not_for_ever(self) -> None:
        """Who fails at once may get everything."""
        row = Row()
        verdicts = [row.judge(Counts(700, 30, 1), 5) for _ in range(20)]
        self.assertEqual(verdicts, ["shared"] * 19 + ["own"])

    def test_a_limit_of_one_leaves_no_time_to_compare(self) -> None:
        self.assertEqual(Row().judge(Counts(0, 0, 1), 1), "own")
        self.assertEqual(Row().judge(Counts(0, 0, 1), 3), "shared")

    def test_is_not_when_the_others_fail_too(self) -> None:
        """X3: what befalls all takes nobody out."""
        self.assertEqual([after(19, 5), after(0, 1), after(5, 5)], ["shared"] * 3)

    def test_when_most_fails_nobody_is_better(self) -> None:
        """X3: and brings back who is out."""
        self.assertEqual([after(4, 5), after(0, 3)], ["common"] * 2)

    def test_what_was_before_the_row_does_not_count(self) -> None:
        row = Row()
        row.judge(Counts(0, 500, 1), 5)
        self.assertEqual(row.judge(Counts(10, 500, 1), 5), "own")
        row.end()
        row.judge(Counts(10, 600, 1), 5)
        self.assertEqual(row.judge(Counts(20, 600, 1), 5), "own")

    def test_begins_anew_when_others_are_in_use(self) -> None:
        row = Row()
        row.judge(Counts(100, 0, 1), 5)
        self.assertEqual(row.judge(Counts(50, 90, 2), 5), "shared")
        self.assertEqual(row.judge(Counts(50, 95, 2), 5), "common")

    @given(counts, counts, counts)
    def test_more_failures_of_others_never_speak_against_it(
        self, good: int, failed: int, more: int
    ) -> None:
        order = ("own", "shared", "common")
        if good + failed >= 2:
            self.assertLessEqual(
                order.index(after(good, failed)), order.index(after(good, failed + more))
            )
