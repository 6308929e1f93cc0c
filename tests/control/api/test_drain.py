"""The daemon is drained as a whole, and comes back."""

from tests.control.api.case import ADA, PASSWORD, ApiTestCase
from tests.control.api.client import basic
from veloflux.fleet.messages import DRAIN_DEADLINE_S

PATH = "/api/system/drain"


class DrainTests(ApiTestCase):
    def test_from_the_beginning_to_the_cancellation(self) -> None:
        self.assertEqual(self.ask(200, "GET", PATH)["state"], "serving")
        now = self.api.now()
        began = self.ask(200, "POST", PATH, {"deadline": "5m"})
        self.assertEqual(
            (began["state"], began["workers"], began["connections"]), ("draining", 1, 5)
        )
        self.assertEqual(self.api.fleet.rested_s, 300.0)
        self.assertNotEqual(began["began_at"], began["deadline"])
        self.assertTrue(self.ask(200, "GET", "/api/status")["draining"])
        left, self.api.fleet.workers = self.api.fleet.workers, []
        drained = self.ask(200, "GET", PATH)
        self.assertEqual(drained, began | {"state": "drained", "workers": 0, "connections": 0})
        self.assertGreater(self.api.now(), now)
        self.api.fleet.workers = left
        ended = self.ask(200, "DELETE", PATH)
        self.assertEqual(
            (ended["state"], ended["began_at"], ended["deadline"]), ("serving", None, None)
        )
        self.assertFalse(self.ask(200, "GET", "/api/status")["draining"])

    def test_without_a_deadline_it_is_that_of_a_stop(self) -> None:
        self.ask(200, "POST", PATH)
        self.assertEqual(self.api.fleet.rested_s, DRAIN_DEADLINE_S)

    def test_its_end_is_a_time_that_can_be_told(self) -> None:
        self.ask(400, "POST", PATH, {"deadline": "999999999h"})
        self.assertEqual(self.ask(200, "GET", PATH)["state"], "serving")
        self.assertIn("T", self.ask(200, "POST", PATH, {"deadline": "999999h"})["deadline"])

    def test_a_second_one_is_refused_and_changes_nothing(self) -> None:
        began = self.ask(200, "POST", PATH, {"deadline": 60})
        refused = self.ask(409, "POST", PATH, {"deadline": 1})
        self.assertIn("draining already", refused["detail"])
        self.assertEqual(self.ask(200, "GET", PATH), began)

    def test_there_may_be_nothing_to_cancel(self) -> None:
        self.ask(409, "DELETE", PATH)

    def test_it_drains_on_when_it_cannot_come_back(self) -> None:
        began = self.ask(200, "POST", PATH)
        self.api.fleet.why_not = "cannot listen on unix:/run/x"
        self.assertIn("/run/x", self.ask(503, "DELETE", PATH)["detail"])
        self.assertEqual(self.ask(200, "GET", PATH), began)
        self.api.fleet.why_not = ""
        self.ask(200, "DELETE", PATH)

    def test_is_not_for_everybody(self) -> None:
        self.add(role="viewer")
        for method in ("GET", "POST", "DELETE"):
            self.ask(403, method, PATH, by={"Authorization": basic(ADA["email"], PASSWORD)})
        self.assertFalse(self.api.fleet.is_draining)
