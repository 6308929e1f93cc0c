"""Alerts: raised once, followed, taken back, and remembered."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.control.store.memory import MemoryStore
from veloflux.control.services.alerts.alerts import KEPT, RESUMED_S, Alert, Alerts
from veloflux.control.services.alerts.conditions import Condition, Severity
from veloflux.control.store.store import StoreError

WALL = 1_800_000_000.0
SETS = ("", "a", "b", "c", "ab", "bc", "ac", "abc")


def bad(
    key: str = "a", severity: Severity = "warning", message: str = "m", **how: float
) -> Condition:
    return Condition(key, severity, f"{key} is bad", message, "test", **how)


# A starved machine is no fault.


class AlertTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.ids = iter(f"id{n:05}" for n in range(100_000))
        self.begin()

    def begin(self) -> None:
        self.alerts = Alerts(
            self.store,
            self.clock.seconds,
            lambda: WALL + self.clock.seconds(),
            lambda: next(self.ids),
        )
        self.told: list[tuple[str, str]] = []
        self.alerts.on_change.append(lambda change, alert: self.told.append((change, alert.key)))

    def look(self, *found: Condition, after: float = 5.0) -> None:
        self.clock.advance(after)
        self.alerts.look(found)

    def only(self) -> Alert:
        (alert,) = self.alerts.all()
        return alert

    def test_is_raised_once_and_resolved(self) -> None:
        for _ in range(3):
            self.look(bad())
        alert = self.only()
        self.assertEqual((alert.timestamp, alert.is_resolved), (WALL + 5, False))
        self.look(after=15.0)
        self.assertTrue(self.only().is_resolved)
        self.assertEqual(self.told, [("raised", "a"), ("resolved", "a")])

    def test_what_is_gone_for_a_moment_is_not_over(self) -> None:
        self.look(bad(clears_s=15.0))
        for _ in range(5):
            self.look(after=14.0)
            self.look(bad(clears_s=15.0), after=0.5)
        self.assertEqual(self.told, [("raised", "a")])

    def test_what_does_not_last_is_not_told(self) -> None:
        for _ in range(5):
            self.look(bad(holds_s=30.0), after=0.0)
            self.look(bad(holds_s=30.0), after=29.0)
            self.look()
        self.assertEqual(self.alerts.all(), [])
        self.look(bad(holds_s=30.0))
        self.look(bad(holds_s=30.0), after=30.0)
        self.assertEqual(self.told, [("raised", "a")])

    def test_what_gets_worse_is_the_same_alert(self) -> None:
        self.look(bad())
        self.look(bad(severity="critical", message="worse"))
        self.look(bad(severity="critical", message="and worse"))
        alert = self.only()
        self.assertEqual((alert.severity, alert.message), ("critical", "and worse"))
        self.assertEqual((alert.timestamp, alert.updated_at), (WALL + 5, WALL + 10))
        self.assertEqual(self.told, [("raised", "a"), ("updated", "a")])

    def test_what_comes_back_is_another_alert(self) -> None:
        self.look(bad(clears_s=0.0))
        self.look()
        self.look(bad(clears_s=0.0))
        self.assertEqual([alert.is_resolved for alert in self.alerts.all()], [False, True])
        self.assertEqual(len({alert.id for alert in self.alerts.all()}), 2)

    def test_outlives_a_restart(self) -> None:
        self.look(bad("a"), bad("b", clears_s=0.0))
        self.look(bad("a"))
        before = self.alerts.all()
        self.begin()
        self.look(bad("a"))
        self.assertEqual(self.alerts.all(), before)
        self.assertEqual(self.told, [("raised", "a")])  # and taken back, for it was told before
        self.look(after=15.0)
        self.assertEqual([alert.is_resolved for alert in self.alerts.all()], [True, True])

    def test_what_is_over_after_a_restart_is_resolved_in_a_while(self) -> None:
        self.look(bad())
        self.begin()
        self.look()
        self.look(after=RESUMED_S - 1)
        self.assertFalse(self.only().is_resolved)
        self.look(after=1)
        self.assertTrue(self.only().is_resolved)

    def test_what_cannot_be_stored_is_told_and_waits(self) -> None:
        self.store.fault = StoreError("no")
        self.look(bad())
        self.assertEqual(len(self.alerts.open), 1)
        self.store.fault = None
        self.look(bad())
        self.begin()
        self.look(bad())
        self.assertEqual(len(self.alerts.all()), 1)
        self.assertEqual(len(self.store.documents), 1)

    def test_forgets_the_oldest(self) -> None:
        for number in range(KEPT + 20):
            self.look(bad(str(number), clears_s=0.0))
        self.look()
        self.successResultOf(Deferred.fromCoroutine(self.alerts.save()))
        self.assertEqual(len(self.alerts.all()), KEPT)
        self.assertEqual(len(self.store.documents), KEPT)
        self.assertEqual(self.alerts.all()[-1].key, "20")

    @given(st.lists(st.tuples(st.sampled_from(SETS), st.integers(0, 40)), max_size=30))
    def test_every_alert_is_raised_before_it_is_resolved(
        self, looks: list[tuple[str, int]]
    ) -> None:
        self.setUp()
        for keys, after in looks:
            self.look(*(bad(key, holds_s=10.0, clears_s=20.0) for key in keys), after=after)
        for key in "abc":
            changes = [change for change, about in self.told if about == key]
            self.assertEqual(changes[::2], ["raised"] * len(changes[::2]))
            self.assertEqual(changes[1::2], ["resolved"] * len(changes[1::2]))
        keys = [alert.key for alert in self.alerts.open]
        self.assertEqual(len(keys), len(set(keys)))
