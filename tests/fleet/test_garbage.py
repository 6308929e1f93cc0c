"""What stays is not walked by the garbage collector, and what became garbage does not stay."""

import gc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.garbage import WALKED_EVERY, Garbage


class Knot:
    """Garbage that only a collection finds, once nobody else has it."""

    def __init__(self) -> None:
        self.me = self


class Collections(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.enable)
        self.garbage = Garbage()

    def test_rests_while_something_is_made(self) -> None:
        self.garbage.rest()
        self.assertFalse(gc.isenabled())
        self.garbage.set_aside()
        self.assertTrue(gc.isenabled())

    def test_what_there_was_is_walked_no_more(self) -> None:
        self.garbage.set_aside()
        knot = Knot()
        tie = weakref.ref(knot)
        self.garbage.set_aside()
        del knot
        gc.collect()
        self.assertIsNotNone(tie())

    def test_garbage_of_before_is_found_in_the_end(self) -> None:
        knot = Knot()
        tie = weakref.ref(knot)
        self.garbage.set_aside()
        del knot
        for _ in range(WALKED_EVERY):
            self.garbage.set_aside()
        self.assertIsNone(tie())

    def test_what_starting_has_left_is_found_at_once(self) -> None:
        self.garbage.rest()
        tie = weakref.ref(Knot())
        self.garbage.set_aside()
        self.assertIsNone(tie())
