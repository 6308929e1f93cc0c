"""What the measurements say: who failed and how, what a policy costs, what is derived."""

from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from bench import report
from bench.load import faults
from bench.measure import Outcome, Sample
from bench.peers import PEERS
from bench.prices import PRICES
from bench.process import BenchError
from bench.watched import Watched
from bench.works import WORKS
from veloflux.config.load import load


class WrongAnswersTests(SynchronousTestCase):
    def test_each_kind_is_counted_apart(self) -> None:
        said = faults({"connect": 0, "read": 3, "write": 0, "status": 0, "timeout": 8})
        self.assertEqual(said, "3 failed while reading, 8 later than 2 s")

    def test_none_is_nothing(self) -> None:
        self.assertEqual(faults({"connect": 0, "timeout": 0}), "")

    def test_a_peer_that_failed_is_named_and_the_others_stay(self) -> None:
        outcome = Outcome({"nginx": [Sample(10.0)], "veloflux": [Sample(12.0)]})
        outcome.fail("nginx", BenchError("8 later than 2 s"))
        said = report.table(WORKS["http"], outcome)
        self.assertIn("nginx: failed: 8 later than 2 s", said)
        self.assertIn("12.00", said)
        self.assertNotIn("goal", said)  # there is nothing left to hold it against


class PriceTests(SynchronousTestCase):
    def test_is_what_it_costs_more(self) -> None:
        outcome = Outcome({"price-plain": [Sample(20.0)], "price-cors": [Sample(21.5)]})
        self.assertEqual(report.price(outcome, "price-cors"), "+1.50")
        self.assertEqual(report.price(outcome, "price-plain"), "")

    def test_is_held_against_a_row_that_is_asked_alike(self) -> None:
        for key, price in PRICES.items():
            if price.against:
                base = PRICES[price.against]
                self.assertEqual(base.against, "", key)
                path, keepalive = (
                    {price.load.path if price.load else "/", base.load.path if base.load else "/"},
                    {bool(each.load is None or each.load.keepalive) for each in (price, base)},
                )
                self.assertEqual((len(path), len(keepalive)), (1, 1), key)

    def test_every_configuration_is_right(self) -> None:
        with TemporaryDirectory() as folder:
            words = {"port": 8080, "origin": 9001, "admin": 9090, "folder": folder}
            for key in PRICES:
                file = Path(folder, "veloflux.yaml")
                file.write_text(Template(PEERS[f"price-{key}"].config).substitute(words))
                load(str(file), {})


class WatchedTests(SynchronousTestCase):
    def test_says_what_watchers_cost(self) -> None:
        costs = [Watched(1000, 7500, 17.6, 0.034, 5.0), Watched(1000, 7400, 18.0, 0.05, 10.0)]
        samples = [Sample(5.0, max_ms=9.0, watched=each) for each in [*costs, costs[0]]]
        outcome = Outcome({"veloflux-watched": samples, "veloflux-unwatched": [Sample(5.0)]})
        said = report.table(WORKS["watched"], outcome)
        self.assertIn("longest answer 9.0 ms; 18.0 KB a watcher, 7500 messages in a turn", said)
        self.assertIn("3.4% of a processor, and its loop was late by 5 ms at most", said)
        self.assertIn("1.00, met", said)


class DerivedTests(SynchronousTestCase):
    def test_says_what_it_was_made_of(self) -> None:
        outcome = Outcome({"veloflux-2": [Sample(7e4, cpu_us=25.0, busiest=0.52)]})
        said = report.table(WORKS["workers-derived"], outcome)
        self.assertIn("25.00 µs per request, 52% of it in the busiest process", said)

    def test_more_is_better(self) -> None:
        outcome = Outcome({"veloflux": [Sample(4e4)], "veloflux-2": [Sample(7.6e4)]})
        said = report.verdict(WORKS["workers-derived"], outcome)
        self.assertEqual(said, "≥ 1.8 × VeloFlux; 1.90, met")
