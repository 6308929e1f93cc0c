from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.exposition import Labels, Value, render
from veloflux.core.model.metrics import Family

COUNTER = Family("x_requests_total", "counter", "Requests.", ("route", "method"))
GAUGE = Family("x_workers", "gauge", "Workers \\ of\nthis one.")
HISTOGRAM = Family("x_seconds", "histogram", "How long.", ("route",), (0.001, 0.5, 1.0, 30.0))
BARE_HISTOGRAM = Family("x_lag_seconds", "histogram", "How late.", (), (0.1,))

# The parser does not take a carriage return, which the format allows.
texts = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))
numbers = st.floats(allow_nan=False) | st.integers(0, 2**53).map(float)


def read(page: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a page, as Prometheus' own client library reads it."""
    samples = [s for f in text_string_to_metric_families(page.decode()) for s in f.samples]
    found = {(s.name, frozenset(s.labels.items())): s.value for s in samples}
    assert len(found) == len(samples), "a series twice"
    return found


class ExpositionTests(SynchronousTestCase):
    def test_writes_every_kind(self) -> None:
        page = render(
            [
                (COUNTER, {("app", "GET"): 3.0, ("app", "POST"): 2.0**60}),
                (GAUGE, {(): 0.5}),
                (HISTOGRAM, {("app",): ((1, 0, 2, 0, 1), 31.25)}),
            ]
        )
        self.assertEqual(
            page.decode(),
            "# HELP x_requests_total Requests.\n"
            "# TYPE x_requests_total counter\n"
            'x_requests_total{route="app",method="GET"} 3.0\n'
            'x_requests_total{route="app",method="POST"} 1.152921504606847e+18\n'
            "# HELP x_workers Workers \\\\ of\\nthis one.\n"
            "# TYPE x_workers gauge\n"
            "x_workers 0.5\n"
            "# HELP x_seconds How long.\n"
            "# TYPE x_seconds histogram\n"
            'x_seconds_bucket{route="app",le="0.001"} 1\n'
            'x_seconds_bucket{route="app",le="0.5"} 1\n'
            'x_seconds_bucket{route="app",le="1"} 3\n'
            'x_seconds_bucket{route="app",le="30"} 3\n'
            'x_seconds_bucket{route="app",le="+Inf"} 4\n'
            'x_seconds_sum{route="app"} 31.25\n'
            'x_seconds_count{route="app"} 4\n',
        )

    def test_a_family_without_values_is_left_out(self) -> None:
        self.assertEqual(render([(COUNTER, {})]), b"")

    def test_a_histogram_needs_no_labels(self) -> None:
        page = render([(BARE_HISTOGRAM, {(): ((2, 1), 0.75)})])
        self.assertNotIn(b"{}", page)
        found = read(page)
        self.assertEqual(found["x_lag_seconds_bucket", frozenset({("le", "+Inf")})], 3)
        self.assertEqual(found["x_lag_seconds_sum", frozenset()], 0.75)

    @given(st.dictionaries(st.tuples(texts, texts), numbers))
    def test_prometheus_reads_the_labels_and_numbers_that_were_written(
        self, values: dict[Labels, Value]
    ) -> None:
        expected = {
            ("x_requests_total", frozenset({("route", route), ("method", method)})): value
            for (route, method), value in values.items()
        }
        self.assertEqual(read(render([(COUNTER, values)])), expected)

    @given(st.dictionaries(st.tuples(texts), st.tuples(st.integers(0, 99), numbers)))
    def test_prometheus_reads_a_histogram_of_any_label(
        self, given: dict[Labels, tuple[int, float]]
    ) -> None:
        values: dict[Labels, Value] = {
            labels: ((count, 0, 0, 0, 1), total) for labels, (count, total) in given.items()
        }
        found = read(render([(HISTOGRAM, values)]))
        self.assertEqual(len(found), 7 * len(values))
        for (route,), (count, total) in given.items():
            labels = frozenset({("route", route)})
            self.assertEqual(found["x_seconds_count", labels], count + 1)
            self.assertEqual(found["x_seconds_sum", labels], total)
            self.assertEqual(found["x_seconds_bucket", labels | {("le", "30")}], count)
