"""Whether the file was changed."""

import os
from pathlib import Path

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.config.written import Written
from veloflux.control.services.configuration.drift import LOOK_S, Drift


class DriftTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.file = Path(self.mktemp())
        self.file.write_text("workers: 1\n")
        self.told: list[Written] = []
        self.drift = Drift(
            self.clock, str(self.file), self.told.append, lambda work: succeed(work())
        )
        self.drift.start()

    def documents(self) -> list[object]:
        """Those that were told of at the next look."""
        self.told.clear()
        self.clock.advance(LOOK_S)
        return [each.document for each in self.told]

    def test_tells_of_the_file_once_and_whenever_it_was_changed(self) -> None:
        self.assertEqual(self.documents(), [{"workers": 1}])
        self.assertEqual(self.documents(), [])
        new = self.file.with_suffix(".new")
        new.write_text("workers: 2\n")
        os.replace(new, self.file)
        self.assertEqual(self.documents(), [{"workers": 2}])
        self.drift.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_file_that_is_gone_or_cannot_be_read_says_nothing(self) -> None:
        self.file.unlink()
        self.assertEqual(self.documents(), [])
        self.file.mkdir()
        self.assertEqual(self.documents(), [])
        self.file.rmdir()
        self.file.write_text("workers: 3\n")
        self.assertEqual(self.documents(), [{"workers": 3}])
        self.assertEqual(self.flushLoggedErrors(), [])
