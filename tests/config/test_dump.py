from dataclasses import replace

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import FILE, SMALLEST, loaded
from tests.config.strategies import nodes
from veloflux.config.dump import dump
from veloflux.config.load import read
from veloflux.core.flow.stages import Stages
from veloflux.core.model.node import Node
from veloflux.core.policy.compression import Rule


class Dump(SynchronousTestCase):
    @given(nodes())
    def test_what_is_written_is_read_as_the_same(self, node: Node) -> None:
        """`load(dump(c)) == c`."""
        again = read(dump(node).encode(), FILE, {"X": "y"}, node.snapshot.version)
        self.assertEqual(again.node, node)

    @given(nodes())
    def test_what_may_be_written_can_be_served(self, node: Node) -> None:
        """Nothing that the file may say is refused by what a worker makes of it."""
        for route in node.snapshot.routes:
            Stages(route)
            if route.compression is not None:
                Rule(route.compression, route.compression.codings)

    def test_leaves_defaults_out(self) -> None:
        node = replace(loaded(SMALLEST).node, workers=2)
        written = dump(node)
        self.assertTrue(written.startswith("workers: 2\ndata_dir: /srv/conf/var\nlisteners:\n"))
        found = [line.strip() for line in written.splitlines()[2:]]
        self.assertEqual(found, [line.strip() for line in SMALLEST.splitlines()])
