"""The secret of a node."""

import os
import stat

from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.traffic import Snapshot
from veloflux.fleet.secret import node_secret


class Secrets(SynchronousTestCase):
    def test_it_is_made_once_and_for_its_owner_alone(self) -> None:
        folder = os.path.join(self.mktemp(), "var")
        made = node_secret(folder)
        self.assertEqual(len(made), 32)
        self.assertEqual(node_secret(folder), made)
        self.assertNotEqual(node_secret(self.mktemp()), made)
        path = os.path.join(folder, "secret.key")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)

    def test_a_file_that_is_none_is_refused(self) -> None:
        folder = self.mktemp()
        node_secret(folder)
        with open(os.path.join(folder, "secret.key"), "wb") as file:
            file.write(b"short")
        with self.assertRaisesRegex(ValueError, r"secret\.key holds no key of 32 bytes; remove it"):
            node_secret(folder)

    def test_it_is_not_shown(self) -> None:
        snapshot = Snapshot(1, (), (), (), secret=b"hush-hush")
        self.assertNotIn("hush", repr(snapshot))
