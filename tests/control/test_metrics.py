from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.control.test_exposition import read
from veloflux.control.metrics import MAX_LINES, Families, Metrics, lines_of
from veloflux.core.model import metrics as families
from veloflux.core.model.address import Address
from veloflux.core.model.metrics import Distribution, Sample, Tally, sparse
from veloflux.core.model.traffic import Backend, Pool, Route, Snapshot

REQUESTS = families.HTTP_REQUESTS.name
DURATION = families.HTTP_DURATION.name
INFLIGHT = families.UPSTREAM_INFLIGHT.name


def at_once(work: Callable[[], bytes]) -> Deferred[bytes]:
    return succeed(work())


def requests(route: str, count: float = 1.0) -> Tally:
    return Tally((Sample(REQUESTS, (route, "2xx", "GET"), count),))


class MetricsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics(lambda: tuple, at_once)

    def value(self, name: str, **labels: str) -> float | None:
        page = self.successResultOf(self.metrics.page())
        return read(page).get((name, frozenset(labels.items())))

    def requests(self, route: str) -> float | None:
        return self.value(REQUESTS, route=route, code_class="2xx", method="GET")


class MergeTests(MetricsTestCase):
    def test_counters_add_up_over_workers_and_time(self) -> None:
        for worker, count in ((0, 3.0), (1, 4.0), (0, 5.0)):
            self.metrics.merge(worker, requests("app", count))
        self.metrics.forget(1)
        self.assertEqual(self.requests("app"), 12.0)

    def test_histograms_add_up(self) -> None:
        counts = (1,) + (0,) * len(families.LATENCY_BOUNDS)
        slow = (0,) * len(families.LATENCY_BOUNDS) + (2,)
        for worker, each in enumerate((counts, counts, slow)):
            tally = Tally((), (Distribution(DURATION, ("app",), sparse(each), 1.5),))
            self.metrics.merge(worker, tally)
        self.assertEqual(self.value(f"{DURATION}_bucket", route="app", le="0.0005"), 2)
        self.assertEqual(self.value(f"{DURATION}_count", route="app"), 4)
        self.assertEqual(self.value(f"{DURATION}_sum", route="app"), 4.5)

    def test_finer_counts_fold_into_the_buckets_that_are_shown(self) -> None:
        """Each finer bucket in the one it is part of, none lost."""
        counts = tuple(range(1, len(families.LATENCY_BOUNDS) + 2))
        self.metrics.merge(0, Tally((), (Distribution(DURATION, ("app",), sparse(counts), 1.0),)))
        below = 0
        for bound, count in zip((*families.LATENCY_BOUNDS, None), counts, strict=True):
            below += count
            if bound in families.LATENCY_BUCKETS:
                found = self.value(f"{DURATION}_bucket", route="app", le=f"{bound:g}")
                self.assertEqual(found, below, bound)
        self.assertEqual(self.value(f"{DURATION}_count", route="app"), sum(counts))

    def test_gauges_are_those_of_the_workers_that_run(self) -> None:
        def inflight(value: float) -> Tally:
            return Tally((Sample(INFLIGHT, ("web", "a:1"), value),))

        def now() -> float | None:
            return self.value(INFLIGHT, pool="web", backend="a:1")

        self.metrics.merge(0, inflight(3.0))
        self.metrics.merge(1, inflight(4.0))
        self.assertEqual(now(), 7.0)
        self.metrics.merge(0, inflight(1.0))
        self.assertEqual(now(), 5.0)
        self.metrics.forget(1)
        self.assertEqual(now(), 1.0)
        self.metrics.merge(0, Tally())
        self.assertIsNone(now())

    def test_observes_into_the_right_bucket(self) -> None:
        family = families.HEALTH_CHECK_DURATION
        for seconds in (0.0005, 0.0006, 100.0):
            self.metrics.observe(family, ("web", "a:1"), seconds)
        labels = {"pool": "web", "backend": "a:1"}
        for bound, count in (("0.0005", 1), ("0.001", 2), ("30", 2), ("+Inf", 3)):
            self.assertEqual(self.value(f"{family.name}_bucket", le=bound, **labels), count)

    def test_the_page_follows_the_table(self) -> None:
        own: Families = ((families.WORKERS, {(): 2.0}),)
        self.metrics = Metrics(lambda: lambda: own, at_once)
        self.metrics.merge(0, Tally((Sample(INFLIGHT, ("web", "a:1"), 1.0),)))
        self.metrics.merge(0, requests("app"))
        page = self.successResultOf(self.metrics.page()).decode()
        names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
        self.assertEqual(names, [REQUESTS, families.WORKERS.name])


class LimitTests(MetricsTestCase):
    def test_ten_thousand_routes_have_series_of_their_own(self) -> None:
        self.assertGreaterEqual(MAX_LINES // lines_of(families.HTTP_DURATION), 10_000)

    def test_counts_as_other_what_is_too_much_and_says_so(self) -> None:
        self.metrics = Metrics(lambda: tuple, at_once, max_lines=40)
        for route in ("a", "b", "c", "d", "a"):
            self.metrics.merge(0, Tally((), (Distribution(DURATION, (route,), {0: 1}, 1.0),)))
        for route, count in (("a", 2), ("b", 1), ("c", None), ("other", 2)):
            self.assertEqual(self.value(f"{DURATION}_count", route=route), count)
        self.assertEqual(self.value(families.METRICS_DROPPED.name, family=DURATION), 2)


def snapshot(version: int, *routes: str, backends: tuple[str, ...] = ()) -> Snapshot:
    pool = Pool("web", tuple(Backend(Address(name, 1)) for name in backends))
    return Snapshot(version, (), (pool,), tuple(Route(route) for route in routes))


class ConfigureTests(MetricsTestCase):
    def test_drops_what_two_configurations_no_longer_know(self) -> None:
        self.metrics.configure(snapshot(1, "old", "kept"))
        for route in ("old", "kept", "none"):
            self.metrics.merge(0, requests(route))
        self.metrics.configure(snapshot(2, "kept"))
        self.assertEqual(self.requests("old"), 1.0)
        self.metrics.configure(snapshot(3, "kept"))
        self.assertIsNone(self.requests("old"))
        self.assertEqual(self.requests("kept"), 1.0)
        self.assertEqual(self.requests("none"), 1.0)

    def test_keeps_what_comes_back(self) -> None:
        self.metrics.configure(snapshot(1, "app"))
        self.metrics.merge(0, requests("app"))
        self.metrics.configure(snapshot(2))
        self.metrics.configure(snapshot(3, "app"))
        self.metrics.configure(snapshot(4, "app"))
        self.assertEqual(self.requests("app"), 1.0)

    def test_a_backend_that_no_worker_speaks_of_works_on_nothing(self) -> None:
        self.metrics.configure(snapshot(1, backends=("10.0.0.1", "10.0.0.2")))
        self.metrics.merge(0, Tally((Sample(INFLIGHT, ("web", "10.0.0.1:1"), 3.0),)))
        for backend, count in (("10.0.0.1:1", 3.0), ("10.0.0.2:1", 0.0)):
            self.assertEqual(self.value(INFLIGHT, pool="web", backend=backend), count)
        self.metrics.configure(snapshot(2, backends=("10.0.0.1",)))
        self.assertIsNone(self.value(INFLIGHT, pool="web", backend="10.0.0.2:1"))

    def test_drops_the_series_of_backends_that_are_gone(self) -> None:
        name = families.UPSTREAM_REQUESTS.name
        self.metrics.configure(snapshot(1, backends=("a", "b")))
        for backend in ("a:1", "b:1"):
            self.metrics.merge(0, Tally((Sample(name, ("web", backend, "2xx"), 1.0),)))
        for version in (2, 3):
            self.metrics.configure(snapshot(version, backends=("b",)))
        self.assertIsNone(self.value(name, pool="web", backend="a:1", code_class="2xx"))
        self.assertEqual(self.value(name, pool="web", backend="b:1", code_class="2xx"), 1.0)


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[Callable[[], bytes]] = []
        self.done: Deferred[bytes] = Deferred()

        def in_thread(work: Callable[[], bytes]) -> Deferred[bytes]:
            self.asked.append(work)
            return self.done

        self.metrics = Metrics(lambda: tuple, in_thread)

    def test_is_written_once_for_all_who_wait(self) -> None:
        first, second = self.metrics.page(), self.metrics.page()
        self.assertNoResult(first)
        self.assertEqual(len(self.asked), 1)
        self.done.callback(b"page")
        self.assertEqual(self.successResultOf(first), b"page")
        self.assertEqual(self.successResultOf(second), b"page")
        self.metrics.page()
        self.assertEqual(len(self.asked), 2)

    def test_who_leaves_does_not_disturb_the_others(self) -> None:
        first, second = self.metrics.page(), self.metrics.page()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.done.callback(b"page")
        self.assertEqual(self.successResultOf(second), b"page")

    def test_a_failure_reaches_everybody(self) -> None:
        first, second = self.metrics.page(), self.metrics.page()
        self.done.errback(ValueError("no"))
        self.failureResultOf(first, ValueError)
        self.failureResultOf(second, ValueError)

    def test_what_is_counted_meanwhile_does_not_disturb_the_writing(self) -> None:
        self.metrics.merge(0, requests("app"))
        self.metrics.page()
        self.metrics.merge(0, requests("app", 5.0))
        self.metrics.merge(0, requests("new"))
        found = read(self.asked[0]())
        self.assertEqual(list(found.values()), [1.0])
