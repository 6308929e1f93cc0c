"""How late loops are."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.lag import SAMPLE_S, WINDOW_S, Lag, Lags
from veloflux.core.model import metrics
from veloflux.core.model.metrics import LAG_BUCKETS, Distribution, Tally


def tally(bucket: int, count: int, total: float) -> Tally:
    counts = {bucket: count}
    return Tally((), (Distribution(metrics.REACTOR_LAG.name, (), counts, total),))


class LagTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[float] = []
        self.lags = Lags(self.clock, self.seen.append)

    def test_samples_the_daemons_own(self) -> None:
        self.lags.start()
        self.clock.pump([SAMPLE_S] * 97)
        self.clock.advance(SAMPLE_S + 0.4)
        found = self.lags.own()
        self.assertEqual((found.samples, found.p50, found.p99), (98, 0.001, 0.5))
        self.assertAlmostEqual(max(self.seen), 0.4)
        self.lags.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_minute_later_all_is_well_again(self) -> None:
        self.lags.merge(7, tally(5, 4, 0.3))
        self.assertEqual(self.lags.workers()[7].p99, LAG_BUCKETS[5])
        self.clock.advance(WINDOW_S)
        self.assertEqual(self.lags.workers()[7], Lag(0, 0.0, 0.0, 0.0))

    def test_workers_add_up_and_go(self) -> None:
        self.lags.merge(7, tally(0, 98, 0.05))
        self.lags.merge(7, tally(len(LAG_BUCKETS), 2, 6.0))
        found = self.lags.workers()[7]
        self.assertEqual((found.samples, found.p50, found.p99), (100, 0.001, 1.0))
        self.lags.forget(7)
        self.assertEqual(self.lags.workers(), {})
