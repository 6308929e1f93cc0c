from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.policies import Mirror
from veloflux.core.policy.mirror import LONGEST_S, fits, has_room, is_chosen, total_s


class MirrorTests(SynchronousTestCase):
    def test_a_share_is_chosen(self) -> None:
        mirror = Mirror("next", percent=12.5)
        self.assertEqual(sum(is_chosen(mirror, i / 1000) for i in range(1000)), 125)

    @given(st.floats(0, 1, exclude_max=True))
    def test_all_or_none(self, luck: float) -> None:
        self.assertTrue(is_chosen(Mirror("next"), luck))
        self.assertFalse(is_chosen(Mirror("next", percent=0.0), luck))

    def test_no_more_than_are_allowed(self) -> None:
        mirror = Mirror("next", max_requests=2)
        self.assertTrue(has_room(mirror, 1, 0))
        self.assertFalse(has_room(mirror, 2, 0))

    def test_no_longer_bodies_than_are_allowed(self) -> None:
        mirror = Mirror("next", max_body_bytes=10)
        self.assertTrue(has_room(mirror, 0, 10))
        self.assertFalse(has_room(mirror, 0, 11))
        self.assertTrue(has_room(mirror, 0, None))
        self.assertTrue(fits(mirror, 10))
        self.assertFalse(fits(mirror, 11))

    def test_nothing_lasts_for_ever(self) -> None:
        self.assertEqual(total_s(0), LONGEST_S)
        self.assertEqual(total_s(3600), LONGEST_S)
        self.assertEqual(total_s(2), 2)
