"""Files that are replaced come into force by themselves, and at the second try if not at once."""

import os
from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import Deferred, succeed

from tests.fleet.fakes import LOCAL, snapshot
from tests.fleet.test_rollout import Case, node
from tests.support.authority import authority, now
from veloflux.config.renew import Renewed
from veloflux.core.model.metrics import Tally
from veloflux.core.model.node import Node
from veloflux.core.model.tls import BackendTls, Document
from veloflux.fleet.messages import Counted, Refused
from veloflux.fleet.renewal import AGAIN_S, LOOK_S, Renewal


def in_no_thread(work: Callable[[], Renewed | None]) -> "Deferred[Renewed | None]":
    return succeed(work())


class RenewalTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.abspath(self.mktemp())
        self.write(b"")
        self.renewal = Renewal(self.clock, self.rollout, in_no_thread, now)
        asked = self.bring(self.trusting())
        self.answer()
        self.successResultOf(asked)
        self.renewal.start()
        self.addCleanup(self.renewal.stop)
        self.wait(LOOK_S)

    def trusting(self) -> Node:
        """Whose backend must prove who it is to an authority in the file."""
        usual = snapshot(2, LOCAL)
        with open(self.path, "rb") as file:
            tls = BackendTls(ca=Document(self.path, file.read()))
        [pool] = usual.pools
        [backend] = pool.backends
        pool = replace(pool, backends=(replace(backend, tls=tls),))
        return node(2, snapshot=replace(usual, pools=(pool,)))

    def write(self, more: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(authority().pem + more)

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds / LOOK_S)):
            self.clock.advance(LOOK_S)
            # Who says nothing is taken for one that hangs.
            self.spawner.processes[0].say(Counted(Tally(), 0))

    def in_force(self) -> bytes:
        tls = self.rollout.node.snapshot.pools[0].backends[0].tls
        assert tls is not None
        assert tls.ca is not None
        return tls.ca.content

    def test_what_is_replaced(self) -> None:
        self.write(authority().pem)
        self.wait(LOOK_S)
        self.answer()
        self.assertEqual(self.in_force(), authority().pem * 2)

    def test_what_a_worker_could_not_take_is_tried_again(self) -> None:
        self.write(authority().pem)
        self.wait(LOOK_S)
        self.spawner.processes[0].say(Refused(3, "no memory is left"))
        self.assertEqual(self.in_force(), authority().pem)
        self.wait(AGAIN_S / 2)
        self.assertFalse(self.rollout.turn.locked)
        self.wait(AGAIN_S)
        self.answer()
        self.assertEqual(self.in_force(), authority().pem * 2)
        # And then there is nothing to do.
        self.wait(2 * AGAIN_S)
        self.assertFalse(self.rollout.turn.locked)
