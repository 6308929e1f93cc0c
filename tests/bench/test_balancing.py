"""The simulator: what is known of queues comes out, and the same seed gives the same figures."""

from math import factorial
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.balancing import picture, report
from bench.balancing.policies import Never
from bench.balancing.proxy import Worker
from bench.balancing.run import Tally, run
from bench.balancing.scenarios import PATIENCE_S, SCENARIOS, Scenario
from bench.balancing.server import Script, Server
from bench.balancing.storm import STORMS, amplification, back_after_s
from veloflux.core.model.traffic import Algorithm

FOREVER = 1e9


def one_server(slots: int, load: float, seconds: float) -> Tally:
    """An M/M/c queue: arrivals and work by chance, one queue, nobody gives up."""
    server = Server("a", Script(), slots, 1.0, 10**9, seed=1)
    worker = Worker("round_robin", [server], 0.0, None, seed=1)
    return run([server], [worker], [Never()], lambda _: load * slots, seconds, FOREVER, 1)


class KnownResultsTests(SynchronousTestCase):
    def mean(self, tally: Tally) -> float:
        return sum(tally.latencies_s) / len(tally.latencies_s)

    def test_one_slot_is_an_m_m_1_queue(self) -> None:
        """The mean time in the system is 1 / (1 - load), in units of the work."""
        for load in (0.3, 0.7):
            tally = one_server(1, load, 100_000)
            expected = 1 / (1 - load)
            self.assertLess(abs(self.mean(tally) / expected - 1), 0.05, load)

    def test_several_slots_are_an_m_m_c_queue(self) -> None:
        """Erlang's formula C."""
        slots, load = 4, 0.8
        offered = slots * load
        last = offered**slots / factorial(slots) / (1 - load)
        waits = last / (sum(offered**k / factorial(k) for k in range(slots)) + last)
        expected = 1 + waits / (slots * (1 - load))
        tally = one_server(slots, load, 40_000)
        self.assertLess(abs(self.mean(tally) / expected - 1), 0.05)

    def test_exponential_work_has_the_quantiles_of_an_exponential_distribution(self) -> None:
        tally = one_server(50, 0.1, 5000)
        self.assertLess(abs(tally.quantile_ms(0.5) / 693 - 1), 0.05)
        self.assertLess(abs(tally.quantile_ms(0.99) / 4605 - 1), 0.05)


class ServerTests(SynchronousTestCase):
    def server(self, script: Script, slots: int = 1, queue: int = 100) -> Server:
        server = Server("a", script, slots, 1.0, queue, seed=1)
        server._works = lambda _: 1.0
        return server

    def ends(self, server: Server, *asked: float) -> list[float | None]:
        replies = [server.ask(now) for now in asked]
        return [None if reply is None else reply.at for reply in replies]

    def test_serves_in_order_and_refuses_what_its_queue_does_not_hold(self) -> None:
        server = self.server(Script(), slots=2, queue=1)
        self.assertEqual(self.ends(server, 0.0, 0.5, 0.6, 0.7, 1.1), [1.0, 1.5, 2.0, None, 2.5])

    def test_stands_still_while_it_pauses(self) -> None:
        server = self.server(Script(pause_every_s=10.0, pause_s=2.0, pause_from_s=5.0))
        self.assertEqual(self.ends(server, 3.0, 4.5, 5.5, 14.5, 16.0), [4.0, 7.5, 8.5, 17.5, 18.5])

    @given(st.floats(0, 100), st.floats(0.001, 5), st.floats(0.1, 5), st.floats(0, 1))
    def test_a_pause_adds_to_the_work_and_always_ends(
        self, start: float, work: float, every: float, share: float
    ) -> None:
        script = Script(pause_every_s=every, pause_s=every * share * 0.9, pause_from_s=1.0)
        end = self.server(script)._end(start, work)
        self.assertGreaterEqual(end, start + work - 1e-6)
        # Of a turn, at least a tenth is for work.
        self.assertLessEqual(end, start + (work + every) * 10 + 2 * every)

    def test_is_slow_for_a_while_and_fails_from_a_moment_on(self) -> None:
        script = Script(slow=((2.0, 4.0, 3.0),), fails=10.0)
        server = self.server(script)
        self.assertEqual(self.ends(server, 0.0, 2.5, 6.0), [1.0, 5.5, 7.0])
        self.assertEqual(server.ask(10.0), (10.001, False))

    def test_gets_warm_with_what_it_serves(self) -> None:
        server = self.server(Script(cold_requests=2, cold_factor=5.0))
        self.assertEqual(self.ends(server, 0.0, 10.0, 20.0), [5.0, 13.0, 21.0])


class ScenarioTests(SynchronousTestCase):
    def play(self, key: str, algorithm: Algorithm) -> Tally:
        return SCENARIOS[key].play(algorithm)

    def test_the_same_seed_gives_the_same_figures(self) -> None:
        scenario = Scenario("short", SCENARIOS["pauses"].scripts, seconds=3.0)
        for algorithm in ("peak_ewma", "consistent_hash"):
            one, same, other = (scenario.play(algorithm, seed) for seed in (1, 1, 2))
            self.assertEqual(one, same)
            self.assertNotEqual(one.latencies_s, other.latencies_s)

    def test_everybody_who_asks_is_answered(self) -> None:
        for algorithm in ("round_robin", "least_conn"):
            tally = self.play("slow", algorithm)
            self.assertEqual(len(tally.latencies_s), tally.requests.total())
            self.assertLessEqual(max(tally.latencies_s), PATIENCE_S + 1e-9)

    def test_who_looks_at_the_load_does_not_drown_a_slow_backend(self) -> None:
        """X2: one backend that is five times slower, without an error."""
        for algorithm in ("least_conn", "power_of_two", "peak_ewma", "consistent_hash"):
            self.assertEqual(self.play("slow", algorithm).errors, 0.0, algorithm)
        self.assertGreater(self.play("slow", "round_robin").errors, 0.01)

    def test_latencies_see_through_a_black_hole_and_loads_fall_in(self) -> None:
        """X2: fast failures attract least connections, and do not attract peak_ewma."""
        self.assertGreater(self.play("black-hole", "least_conn").errors, 0.2)
        self.assertLess(self.play("black-hole", "peak_ewma").errors, 0.002)

    def test_slow_start_spares_a_cold_backend(self) -> None:
        cold, spared = (
            self.play(key, "weighted_round_robin").errors for key in ("cold", "cold-slow-start")
        )
        self.assertGreater(cold, 0.005)
        self.assertLess(spared, 0.001)


class StormTests(SynchronousTestCase):
    """X4: a retry storm."""

    def test_retries_without_measure_keep_the_outage_going(self) -> None:
        tally = STORMS["naive"].play()
        self.assertIsNone(back_after_s(tally))
        self.assertGreater(amplification(tally), 1.9)

    def test_all_is_well_soon_with_a_budget(self) -> None:
        """With outlier detection, too: it must not take out half of a pool that is overloaded."""
        for key in ("never", "budget", "budget-ejection"):
            tally = STORMS[key].play()
            after = back_after_s(tally)
            assert after is not None, key
            self.assertLessEqual(after, 5, key)
            self.assertLessEqual(amplification(tally), 1.2, key)

    def test_one_that_fails_alone_is_ejected(self) -> None:
        self.assertLess(SCENARIOS["black-hole-ejected"].play("least_conn").errors, 0.002)


class ReportTests(SynchronousTestCase):
    def test_puts_a_table_between_its_marks_and_nowhere_else(self) -> None:
        page = Path(self.mktemp())
        page.write_text("a\n<!-- BEGIN x -->\nold\n<!-- END x -->\nz\n")
        report.put(page, "x", "| new |")
        self.assertEqual(page.read_text(), "a\n<!-- BEGIN x -->\n\n| new |\n\n<!-- END x -->\nz\n")
        self.assertRaises(ValueError, report.put, page, "y", "")

    def test_tables_and_picture_show_every_algorithm_and_scenario(self) -> None:
        scenario = Scenario("short", seconds=1.0)
        algorithms: tuple[Algorithm, ...] = ("random", "ip_hash")
        tallies = {("equal", algorithm): scenario.play(algorithm) for algorithm in algorithms}
        table, drawn = report.tables(tallies), picture.picture(tallies, {})
        for algorithm in algorithms:
            self.assertEqual(table.count(f"`{algorithm}`"), len(report.MEASURES) + 1)
            self.assertIn(f">{algorithm}<", drawn)
        self.assertIn(SCENARIOS["equal"].title, table)
