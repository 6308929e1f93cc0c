"""The reference's examples."""

from twisted.trial.unittest import SynchronousTestCase

from docs import admin_api
from veloflux.control.api.table import ROWS


class Recordings(SynchronousTestCase):
    """Real answers of the admin API, which `make docs-record` takes."""

    def test_are_there_for_every_endpoint(self) -> None:
        recorded = set(admin_api.recordings())
        self.assertEqual({row.name for row in ROWS} - recorded, set(), "run `make docs-record`")
        self.assertEqual(recorded - {row.name for row in ROWS}, set(), "run `make docs-record`")

    def test_are_of_success(self) -> None:
        refused = {n: each for n, each in admin_api.recordings().items() if each["status"] >= 300}
        self.assertEqual(refused, {}, "docs/record.py says what a call needs")
