from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.flow.upload import Upload
from veloflux.core.model.traffic import Limits
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.framing import Counted

LIMITS = Limits(body_timeout_s=30.0, min_body_rate=100)
LONG_AGO = float("-inf")


def upload(limit: int = 0, limits: Limits = LIMITS, *, awaits_leave: bool = False) -> Upload:
    """One that begins at 1000."""
    return Upload(Counted(100_000), limit, limits, 1000.0, awaits_leave=awaits_leave)


class Pace(SynchronousTestCase):
    """L4"""

    def too_slow(
        self, body: Upload, now: float, held_s: float = 0.0, until: float = LONG_AGO
    ) -> bool:
        try:
            wait = body.judge(now, held_s, until)
        except ProtocolError as problem:
            self.assertEqual(problem.status, 408)
            return True
        self.assertGreater(wait, 0)
        return False

    def test_the_rate_counts_after_a_while(self) -> None:
        body = upload()
        self.assertFalse(self.too_slow(body, 1004.9))
        self.assertTrue(self.too_slow(body, 1005.1))

    def test_the_rate_is_an_average(self) -> None:
        body = upload()
        body.feed(b"x" * 1000, 1001.0)
        self.assertFalse(self.too_slow(body, 1010.0))
        self.assertTrue(self.too_slow(body, 1010.1))

    def test_what_went_past_counts(self) -> None:
        body = upload()
        body.moved(1000, 1001.0)
        self.assertFalse(self.too_slow(body, 1010.0))
        self.assertEqual(body.received, 1000)

    def test_standing_still_counts_without_a_rate(self) -> None:
        body = upload(limits=replace(LIMITS, min_body_rate=0))
        body.feed(b"x", 1020.0)
        self.assertFalse(self.too_slow(body, 1049.9))
        self.assertTrue(self.too_slow(body, 1050.0))

    def test_being_held_back_does_not(self) -> None:
        body = upload()
        body.feed(b"x" * 1000, 1001.0)
        self.assertFalse(self.too_slow(body, 1100.0, 95.0, 1100.0))
        body = upload()
        body.feed(b"x" * 50_000, 1001.0)
        self.assertFalse(self.too_slow(body, 1100.0, 90.0, 1091.0))
        self.assertTrue(self.too_slow(body, 1121.0, 90.0, 1091.0))

    def test_waiting_for_leave_does_not(self) -> None:
        body = upload(awaits_leave=True)
        self.assertFalse(self.too_slow(body, 1500.0))
        body.begin(1500.0)
        self.assertFalse(self.too_slow(body, 1505.0))
        self.assertTrue(self.too_slow(body, 1505.1))

    def test_sending_without_leave_begins_it(self) -> None:
        body = upload(awaits_leave=True)
        body.feed(b"x", 1500.0)
        self.assertTrue(self.too_slow(body, 1505.1))

    def test_it_can_begin_anew(self) -> None:
        body = upload()
        body.restart(1500.0)
        self.assertFalse(self.too_slow(body, 1504.9))


class Size(SynchronousTestCase):
    """L2"""

    def test_up_to_the_limit(self) -> None:
        body = upload(limit=10)
        self.assertEqual(body.feed(b"x" * 10, 1000.0), b"x" * 10)
        with self.assertRaises(ProtocolError) as caught:
            body.feed(b"x", 1000.0)
        self.assertEqual(caught.exception.status, 413)
