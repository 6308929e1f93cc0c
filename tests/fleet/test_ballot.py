"""One round of a vote."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.ballot import Ballot, Outcome


class BallotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ballot: Ballot[str] = Ballot(self.clock, ["a", "b"], 10.0)

    def outcome(self) -> Outcome[str]:
        return self.successResultOf(self.ballot.closed)

    def test_closes_when_all_have_agreed(self) -> None:
        self.ballot.agree("a")
        self.assertNoResult(self.ballot.closed)
        self.ballot.agree("b")
        self.assertEqual(self.outcome(), Outcome(agreed=["a", "b"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_first_no_closes_it(self) -> None:
        self.ballot.refuse("b", "cannot")
        self.assertEqual(self.outcome(), Outcome(refused={"b": "cannot"}, silent=["a"]))

    def test_who_dies_need_not_answer(self) -> None:
        self.ballot.die("a", "killed")
        self.ballot.agree("b")
        self.assertEqual(self.outcome(), Outcome(agreed=["b"], died={"a": "killed"}))

    def test_who_dies_has_not_agreed(self) -> None:
        self.ballot.agree("a")
        self.ballot.die("a", "killed")
        self.ballot.die("b", "killed")
        self.assertEqual(self.outcome(), Outcome(died={"a": "killed", "b": "killed"}))

    def test_the_deadline_closes_it(self) -> None:
        self.ballot.agree("b")
        self.clock.advance(10.0)
        self.assertEqual(self.outcome(), Outcome(agreed=["b"], silent=["a"]))

    def test_strangers_and_second_votes_do_not_count(self) -> None:
        self.ballot.agree("a")
        self.ballot.agree("a")
        self.ballot.refuse("a", "changed my mind")
        self.ballot.agree("c")
        self.ballot.die("c", "killed")
        self.assertNoResult(self.ballot.closed)

    def test_late_votes_change_nothing(self) -> None:
        self.clock.advance(10.0)
        self.ballot.agree("a")
        self.ballot.refuse("b", "late")
        self.ballot.die("a", "later")
        self.assertEqual(self.outcome(), Outcome(silent=["a", "b"]))

    def test_nobody_agrees_at_once(self) -> None:
        self.assertEqual(self.successResultOf(Ballot[str](self.clock, [], 10.0).closed), Outcome())
