"""Backends that real traffic finds bad: out for a while, never all, and back."""

import errno

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig
from veloflux.core.model.resilience import OutlierDetection, Retries
from veloflux.core.model.traffic import Timeouts

FAILED = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
CALM = Retries(attempts=0)


class Relayed(SynchronousTestCase):
    """X1: of a connection that is relayed, it is known that it was taken."""

    def rig(self, **detection: object) -> Rig:
        pool = {"outlier_detection": OutlierDetection(**detection), "retries": CALM}
        listener = {"protocol": "tcp", "pool": "app"}
        return Rig(self, listener=listener, routes=(), backends=2, pool=pool)

    def ask(self, rig: Rig, connections: int, refuses: int) -> None:
        rig.backends[0].refuses = refuses
        for _ in range(connections):
            rig.client()

    def test_one_that_takes_none(self) -> None:
        rig = self.rig(consecutive_failures=3)
        self.ask(rig, 8, errno.ECONNREFUSED)
        self.assertEqual(rig.count("veloflux_upstream_ejections_total", "10.0.0.1:80"), 1)
        self.assertEqual(rig.backends[0].attempts, 3)

    def test_one_that_fails_now_and_then(self) -> None:
        rig = self.rig(consecutive_failures=3)
        for _ in range(30):
            self.ask(rig, 2, errno.ECONNREFUSED)
            self.ask(rig, 10, 0)
        self.assertEqual(rig.count("veloflux_upstream_ejections_total"), 0)


class Ejected(SynchronousTestCase):
    """X1, X2, X3"""

    def rig(self, backends: int = 2, slow_start_s: float = 0.0, **detection: object) -> Rig:
        settings = {"base_ejection_s": 10.0, "consecutive_failures": 3} | detection
        rig = Rig(
            self,
            backends=backends,
            pool={
                "outlier_detection": OutlierDetection(**settings),
                "retries": CALM,
                "slow_start_s": slow_start_s,
            },
        )
        self.told: list[tuple[str, str, str]] = []
        rig.service.on_ejected = lambda pool, backend, seconds, reason: self.told.append(
            (pool, backend, reason)
        )
        return rig

    def ask(self, rig: Rig, requests: int, bad: tuple[int, ...] = (0,)) -> list[int]:
        """So many requests; how many each backend got. The `bad` fail."""
        got = [0] * len(rig.backends)
        for _ in range(requests):
            client = rig.client()
            client.send(GET)
            for number, backend in enumerate(rig.backends):
                for end in backend.connections:
                    if len(end.requests()) > end.taken:
                        end.taken += 1
                        got[number] += 1
                        end.send(FAILED if number in bad else OK)
            client.answer()
            client.close()
        return got

    def test_after_so_many_in_a_row(self) -> None:
        rig = self.rig()
        self.assertEqual(self.ask(rig, 6), [3, 3])
        self.assertEqual(self.told, [("app", "10.0.0.1:80", "consecutive_failures")])
        self.assertEqual(self.ask(rig, 6), [0, 6])
        family = "veloflux_upstream_ejections_total"
        self.assertEqual(rig.count(family, "10.0.0.1:80", "consecutive_failures"), 1)

    def test_it_comes_back_and_goes_for_twice_as_long(self) -> None:
        rig = self.rig()
        self.ask(rig, 6)
        rig.wait(11.5)
        self.assertEqual(self.ask(rig, 6), [3, 3])
        rig.wait(11.5)
        self.assertEqual(self.ask(rig, 4), [0, 4])
        rig.wait(11.5)
        self.assertEqual(self.ask(rig, 4, bad=()), [2, 2])

    def test_a_success_between_them_saves_it(self) -> None:
        rig = self.rig()
        for _ in range(4):
            self.ask(rig, 4)
            self.ask(rig, 2, bad=())
        self.assertEqual(self.told, [])

    def test_nobody_when_all_fail(self) -> None:
        """X3: what befalls all is nobody's fault."""
        rig = self.rig(max_ejected_percent=100)
        self.ask(rig, 20, bad=(0, 1))
        self.assertEqual(self.told, [])

    def test_it_is_back_when_those_who_stayed_do_no_better(self) -> None:
        """X3, X4: an ejection must not keep an outage going that befell all."""
        rig = self.rig(backends=3)
        self.ask(rig, 9)
        self.assertEqual(len(self.told), 1)
        self.ask(rig, 12, bad=(0, 1, 2))
        self.assertEqual(len(self.told), 1)
        self.assertEqual(self.ask(rig, 6, bad=()), [2, 2, 2])
        self.assertEqual(sum(self.ask(rig, 4, bad=())), 4)

    def test_one_that_cannot_be_reached(self) -> None:
        rig = self.rig()
        rig.backends[0].refuses = errno.ECONNREFUSED
        self.ask(rig, 6)
        attempts = rig.backends[0].attempts
        self.ask(rig, 6)
        self.assertEqual((attempts, rig.backends[0].attempts), (3, 3))

    def test_one_that_does_not_answer(self) -> None:
        rig = self.rig(consecutive_failures=1)
        rig.change(
            pools=(
                rig.snapshot.pools[0].__class__(
                    "app",
                    rig.snapshot.pools[0].backends,
                    outlier_detection=OutlierDetection(consecutive_failures=1),
                    retries=CALM,
                    timeouts=Timeouts(first_byte_s=1.0),
                ),
            )
        )
        for _ in range(2):
            rig.client().send(GET)
        rig.backends[1].connections[0].send(OK)
        rig.wait(1.5)
        self.assertEqual(self.told, [("app", "10.0.0.1:80", "consecutive_failures")])

    def test_by_its_success_rate(self) -> None:
        """Every other request fails, so never two in a row."""
        rig = self.rig(backends=3, interval_s=10.0, min_requests=10)
        for turn in range(20):
            self.ask(rig, 3, bad=(0,) if turn % 2 else ())
        self.assertEqual(self.told, [])
        for _ in range(11):
            rig.wait(1.0)
            rig.count("veloflux_upstream_requests_total")
        self.assertEqual(self.told, [("app", "10.0.0.1:80", "success_rate")])

    def test_another_workers_word_counts(self) -> None:
        rig = self.rig()
        rig.service.eject("app", "10.0.0.2:80", 5.0)
        rig.service.eject("app", "10.0.0.9:80", 5.0)
        rig.service.eject("other", "10.0.0.2:80", 5.0)
        self.assertEqual(self.ask(rig, 4, bad=()), [4, 0])
        rig.wait(5.5)
        self.assertEqual(self.ask(rig, 4, bad=()), [2, 2])
        self.assertEqual(self.told, [])

    def test_it_comes_back_slowly(self) -> None:
        rig = self.rig(slow_start_s=10.0)
        self.ask(rig, 6)
        rig.wait(11.5)
        few, many = self.ask(rig, 22, bad=())
        self.assertLess(few, many / 2)
        rig.wait(11.0)
        self.assertEqual(self.ask(rig, 20, bad=()), [10, 10])

    def test_switched_off_by_a_new_snapshot(self) -> None:
        rig = self.rig()
        self.ask(rig, 6)
        pool = rig.snapshot.pools[0]
        rig.change(pools=(pool.__class__("app", pool.backends, outlier_detection=None),))
        self.assertEqual(self.ask(rig, 4, bad=()), [2, 2])

    def test_a_removed_one_is_forgotten(self) -> None:
        rig = self.rig()
        self.ask(rig, 6)
        pool = rig.snapshot.pools[0]
        rig.change(pools=(pool.__class__("app", pool.backends[1:]),))
        rig.wait(30.0)
        self.assertEqual(self.ask(rig, 2, bad=()), [0, 2])
