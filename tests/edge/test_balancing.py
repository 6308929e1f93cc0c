"""Algorithms at work: what they are told by the traffic."""

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig, get
from veloflux.core.model.resilience import Retries

FAILED = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


class Balanced(SynchronousTestCase):
    def rig(self, algorithm: str, backends: int = 2, **pool: object) -> Rig:
        settings = {"algorithm": algorithm, "outlier_detection": None} | pool
        return Rig(self, backends=backends, pool=settings)

    def ask(
        self, rig: Rig, waits_s: tuple[float, ...], wires: tuple[bytes, ...], **get_: bytes
    ) -> int:
        """One request; which backend got it. Each answers after its time with its wire."""
        client = rig.client()
        client.send(get(**get_) if get_ else GET)
        for number, backend in enumerate(rig.backends):
            for end in backend.connections:
                if len(end.requests()) > end.taken:
                    end.taken += 1
                    rig.wait(waits_s[number])
                    end.send(wires[number])
                    client.answer()
                    client.close()
                    return number
        raise AssertionError("nobody was asked")

    def test_the_slow_one_gets_less(self) -> None:
        rig = self.rig("peak_ewma")
        asked = [self.ask(rig, (0.5, 0.01), (OK, OK)) for _ in range(40)]
        self.assertLess(asked.count(0), 5)

    def test_a_slow_one_is_tried_again_in_time(self) -> None:
        """Its latency fades while nobody asks it."""
        rig = self.rig("peak_ewma")
        for _ in range(6):
            self.ask(rig, (0.5, 0.01), (OK, OK))
        rig.wait(120.0)
        asked = {self.ask(rig, (0.01, 0.01), (OK, OK)) for _ in range(20)}
        self.assertEqual(asked, {0, 1})

    def test_one_that_fails_fast_is_not_fast(self) -> None:
        """X2: the black hole"""
        rig = self.rig("peak_ewma", retries=Retries(attempts=0))
        asked = [self.ask(rig, (0.0, 0.05), (FAILED, OK)) for _ in range(40)]
        self.assertLess(asked.count(0), 10)

    def test_a_key_keeps_its_backend(self) -> None:
        for algorithm, pool, field in (
            ("consistent_hash", {"hash_on": "header:X-User"}, b"X-User: %d\r\n"),
            ("consistent_hash", {"hash_on": "cookie:user"}, b"Cookie: a=b; user=%d\r\n"),
        ):
            rig = self.rig(algorithm, backends=3, **pool)
            homes = {}
            for user in range(12):
                lines = field % user
                homes[lines] = self.ask(rig, (0.0,) * 3, (OK,) * 3, lines=lines)
            self.assertEqual(set(homes.values()), {0, 1, 2})
            for lines, home in homes.items():
                self.assertEqual(self.ask(rig, (0.0,) * 3, (OK,) * 3, lines=lines), home)

    def test_a_client_keeps_its_backend(self) -> None:
        rig = self.rig("ip_hash", backends=3)
        asked = {self.ask(rig, (0.0,) * 3, (OK,) * 3) for _ in range(6)}
        self.assertEqual(len(asked), 1)

    def test_a_path_keeps_its_backend(self) -> None:
        rig = self.rig("consistent_hash", backends=3, hash_on="path")
        paths = [b"/%d" % n for n in range(12)]
        homes = [self.ask(rig, (0.0,) * 3, (OK,) * 3, path=path) for path in paths]
        self.assertEqual(set(homes), {0, 1, 2})
        self.assertEqual([self.ask(rig, (0.0,) * 3, (OK,) * 3, path=path) for path in paths], homes)

    def test_the_least_loaded_of_two(self) -> None:
        rig = self.rig("power_of_two")
        busy = [rig.client() for _ in range(4)]
        for client in busy:
            client.send(GET)
        self.assertEqual([len(each.connections) for each in rig.backends], [2, 2])
