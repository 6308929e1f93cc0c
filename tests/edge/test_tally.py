from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig, get
from veloflux.core.model import metrics
from veloflux.core.model.metrics import Tally
from veloflux.core.model.resilience import CircuitBreaker, OutlierDetection
from veloflux.core.model.traffic import Backend, Pool, Route, Share
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


class PoolTests(SynchronousTestCase):
    """Of thousands of pools, those that have nothing to tell are not asked each second."""

    def names(self, rig: Rig) -> set[str]:
        """Of which pools a tally speaks."""
        tally = rig.service.tally()
        found = (*tally.samples, *tally.distributions)
        return {each.labels[0] for each in found if each.family.startswith("veloflux_upstream_")}

    def test_one_that_rests_is_not_asked(self) -> None:
        rig = Rig(self, pool={"outlier_detection": None})
        client = rig.client()
        client.send(GET)
        # For as long as a request is under way.
        for _ in range(2):
            self.assertEqual(self.names(rig), {"app"})
        rig.backend.answer(OK)
        self.assertEqual(self.names(rig), {"app"})
        self.assertEqual(self.names(rig), set())
        self.assertFalse(rig.service._plane.pools["app"].is_stirring)
        client.send(GET)
        self.assertEqual(rig.inflight, 1)
        rig.backend.answer(OK)
        self.assertEqual(rig.inflight, 0)
        # The first of the two was told above.
        self.assertEqual(rig.count("veloflux_upstream_requests_total", "app", "2xx"), 1)

    def test_many_are_asked_some_at_a_time(self) -> None:
        count = 400
        pools = tuple(
            Pool(f"p{n}", (Backend(Rig.FIRST),), outlier_detection=None) for n in range(count)
        )
        routes = tuple(
            Route(f"r{n}", path_prefix=f"/{n}", pools=(Share(f"p{n}"),)) for n in range(count)
        )
        rig = Rig(self, pools=pools, routes=routes)
        while rig.service.is_behind:
            rig.service.tally()
        waiting = rig.client()
        waiting.send(get(b"/0"))
        (held,) = rig.backend.connections
        client = rig.client()
        for n in range(1, count):
            client.send(get(b"/%d" % n))
            rig.backend.connections[-1].send(OK)
        taken: Counter[str] = Counter()
        tallies = 0
        while rig.service.is_behind or not tallies:
            tallies += 1
            samples = rig.service.tally().samples
            for sample in samples:
                if sample.family == metrics.UPSTREAM_REQUESTS.name:
                    taken[sample.labels[0]] += int(sample.value)
            # What is under way is told each time.
            inflight = [each for each in samples if each.family == metrics.UPSTREAM_INFLIGHT.name]
            self.assertEqual([(each.labels[0], each.value) for each in inflight], [("p0", 1.0)])
        self.assertEqual(taken, Counter(f"p{n}" for n in range(1, count)))
        self.assertGreater(tallies, 2)
        held.send(OK)

    def test_one_with_a_queue_always_tells_how_long_it_is(self) -> None:
        breaker = CircuitBreaker(max_requests=1)
        rig = Rig(self, pool={"circuit_breaker": breaker})
        for _ in range(3):
            self.assertEqual(self.names(rig), {"app"})

    def test_one_whose_backends_are_compared_is_asked_until_they_have_been(self) -> None:
        rig = Rig(self, pool={"outlier_detection": OutlierDetection(interval_s=5.0)})
        pool = rig.service._plane.pools["app"]
        for _ in range(2):
            rig.client().send(GET)
            rig.backend.answer(OK)
            for _ in range(4):
                self.names(rig)
                self.assertTrue(pool.is_stirring)
                rig.wait(1.0)
            rig.wait(1.5)
            self.names(rig)
            self.assertFalse(pool.is_stirring)
            rig.wait(20.0)
