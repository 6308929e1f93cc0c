"""Secrets for TLS session tickets."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.messages import Tickets
from veloflux.fleet.tickets import ROTATION_S, Rotation


class Rotations(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Tickets] = []
        self.rotation = Rotation(self.clock, self.told.append)

    def test_a_new_one_is_told_and_kept_for_who_comes_later(self) -> None:
        first = self.rotation.present
        self.rotation.start()
        self.rotation.start()
        self.assertEqual(self.told, [])
        for turn in (1, 2):
            self.clock.advance(ROTATION_S)
            self.assertEqual(len(self.told), turn)
            self.assertEqual(self.rotation.present, self.told[-1])
        self.assertEqual(len({each.secret for each in (first, *self.told)}), 3)

    def test_ends(self) -> None:
        self.rotation.start()
        self.rotation.stop()
        self.rotation.stop()
        self.clock.advance(2 * ROTATION_S)
        self.assertEqual(self.told, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
