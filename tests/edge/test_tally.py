from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model import metrics
from veloflux.core.model.metrics import Tally
from veloflux.edge.tally import gauge
from veloflux.fleet.messages import Counted, encode, read_up


class GaugeTests(SynchronousTestCase):
    def test_whatever_it_is_the_supervisor_reads_a_number(self) -> None:
        """X1: a worker whose message makes no sense is ended, and serves nobody."""
        for value in (True, 3, 0.5):
            sample = gauge(metrics.UPSTREAM_BREAKER, ("app",), value)
            read = read_up(encode(Counted(Tally((sample,)), 0)))
            assert isinstance(read, Counted)
            self.assertEqual(read.tally.samples[0].value, value)
