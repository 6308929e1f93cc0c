"""What is wrong, by the facts."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.alerts.conditions import (
    DAY_S,
    LAG_OVER_S,
    LAG_S,
    MANY_DEATHS,
    MAX_EACH,
    Condition,
    Facts,
    conditions,
)
from veloflux.control.services.certificates import Certificate
from veloflux.core.policy.burn import RULES, Counts

NOW = 1_800_000_000.0


def found(*, are_on: tuple[str, ...] = (), **facts: Any) -> dict[str, Condition]:
    return {each.key: each for each in conditions(Facts(NOW, **facts), are_on)}


def severities(**facts: Any) -> dict[str, str]:
    return {key: each.severity for key, each in found(**facts).items()}


def certificate(days: float) -> Certificate:
    return Certificate("/x.pem", ("web",), ("a.example",), 0.0, NOW + days * DAY_S)


class ConditionTests(SynchronousTestCase):
    def test_nothing_is_wrong(self) -> None:
        healthy = ("web", "a:1", "healthy")
        windows = [(rule, Counts(1000, 0), Counts(1000, 0)) for rule in RULES]
        self.assertEqual(
            found(
                backends=[healthy, ("web", "b:1", "unknown"), ("web", "c:1", "disabled")],
                windows=windows,
                certificates=[certificate(15)],
                lags=[("the daemon", 0.05)],
            ),
            {},
        )

    def test_backends_that_are_down_or_ejected(self) -> None:
        backends = [("web", "a:1", "unhealthy"), ("web", "b:1", "ejected")]
        facts = found(backends=backends, empty=["db"])
        self.assertEqual(set(facts), {"backend/web/a:1", "backend/web/b:1", "pool/db"})
        self.assertIn("down", facts["backend/web/a:1"].title)
        self.assertIn("ejected", facts["backend/web/b:1"].title)
        self.assertEqual(facts["pool/db"].severity, "critical")

    def test_very_many_backends_are_summed_up(self) -> None:
        backends = [("web", f"{n}:1", "unhealthy") for n in range(MAX_EACH + 7)]
        facts = found(backends=backends)
        self.assertEqual(len(facts), MAX_EACH + 1)
        self.assertIn("7 more", facts["backends"].title)

    def test_errors_that_burn_the_budget(self) -> None:
        windows = [(rule, Counts(1000, 100), Counts(1000, 100)) for rule in RULES]
        self.assertEqual(severities(windows=windows), {"burn": "critical"})
        self.assertIn("100.0 times", found(windows=windows)["burn"].message)

    def test_certificates_that_end(self) -> None:
        key = "certificate//x.pem"
        for days, severity in ((13.9, "warning"), (2.9, "critical"), (-1, "critical")):
            self.assertEqual(severities(certificates=[certificate(days)]), {key: severity})
        self.assertIn("has expired", found(certificates=[certificate(-1)])[key].title)

    def test_a_loop_that_is_late_until_it_is_well_in_time(self) -> None:
        between = (LAG_S + LAG_OVER_S) / 2
        self.assertEqual(severities(lags=[("x", LAG_S)]), {"lag/x": "warning"})
        self.assertEqual(severities(lags=[("x", between)]), {})
        self.assertEqual(severities(lags=[("x", between)], are_on=("lag/x",)), {"lag/x": "warning"})
        self.assertEqual(severities(lags=[("x", LAG_OVER_S / 2)], are_on=("lag/x",)), {})

    def test_the_daemon_itself(self) -> None:
        self.assertEqual(
            severities(store_fault="the disk is full", deaths=1, refused="no", drift="yes"),
            {"store": "critical", "deaths": "warning", "refused": "warning", "drift": "info"},
        )
        self.assertEqual(severities(deaths=MANY_DEATHS), {"deaths": "critical"})
