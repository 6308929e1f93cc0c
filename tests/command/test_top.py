"""`veloflux top`: rates from counters, an order, a filter, and a picture."""

from io import StringIO
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from veloflux.command.top import SORTS, Sample, View, arranged, picture, press, rows


def backend(address: str, **more: Any) -> dict[str, Any]:
    found = {
        "id": f"b-{address}",
        "pool": "app",
        "address": address,
        "status": "healthy",
        "draining": False,
        "connections": 0,
        "requests": 0,
        "failure_count": 0,
        "latency_ms": None,
        "weight": 1,
    }
    return found | more


def sample(at: float, *backends: dict[str, Any], status: str = "healthy") -> Sample:
    return Sample(
        at,
        {
            "version": "1",
            "status": status,
            "uptime": "5.0s",
            "config_revision": 7,
            "workers": [{}, {}],
            "backends": len(backends),
            "healthy_backends": 1,
        },
        {
            "requests_per_minute": 6000.0,
            "error_rate": 0.5,
            "avg_response_time": 1.25,
            "active_connections": 3,
        },
        list(backends),
    )


class Rates(SynchronousTestCase):
    def test_come_from_two_looks(self) -> None:
        before = sample(10.0, backend("a", requests=100, failure_count=1))
        now = sample(12.0, backend("a", requests=300, failure_count=2), backend("b", requests=9))
        first, second = rows(before, now)
        self.assertEqual((first["rate"], first["failures"]), (100.0, 0.5))
        self.assertEqual((second["rate"], second["failures"]), (None, None))

    def test_are_not_known_after_one_look_or_when_counting_began_anew(self) -> None:
        self.assertIsNone(rows(None, sample(1.0, backend("a", requests=5)))[0]["rate"])
        before = sample(1.0, backend("a", requests=5))
        self.assertIsNone(rows(before, sample(2.0, backend("a", requests=4)))[0]["rate"])


class Arranged(SynchronousTestCase):
    def setUp(self) -> None:
        self.view = View()
        self.view.rows = rows(
            sample(0.0, backend("a"), backend("b"), backend("c")),
            sample(
                1.0,
                backend("a", requests=1, connections=9),
                backend("b", requests=3),
                backend("c", requests=2, status="ejected"),
            ),
        )

    def names(self) -> str:
        return "".join(row["backend"] for row in arranged(self.view))

    def test_the_busiest_first(self) -> None:
        self.assertEqual(self.names(), "bca")
        press(self.view, "r")
        self.assertEqual(self.names(), "acb")

    def test_by_every_column_in_turn(self) -> None:
        seen = []
        for _ in SORTS:
            seen.append((self.view.sort, self.names()[0]))
            press(self.view, "s")
        self.assertEqual([sort for sort, _ in seen], list(SORTS))
        self.assertEqual(dict(seen)["in flight"], "a")
        self.assertEqual(self.view.sort, SORTS[0])

    def test_only_what_the_filter_leaves(self) -> None:
        for key in "fEJEX\x7fCTED\r":
            press(self.view, key)
        self.assertEqual((self.view.filter, self.names()), ("EJECTED", "c"))
        for key in "fzz\x1b":
            press(self.view, key)
        self.assertEqual(self.view.filter, "EJECTED")

    def test_q_ends_it_but_not_within_a_filter(self) -> None:
        press(self.view, "f")
        self.assertTrue(press(self.view, "q"))
        press(self.view, "\r")
        self.assertEqual(self.view.filter, "q")
        self.assertFalse(press(self.view, "q"))


class Picture(SynchronousTestCase):
    def draw(self, view: View, now: Sample, height: int = 40, width: int = 100) -> str:
        out = StringIO()
        Console(file=out, width=width).print(picture(view, now, height))
        return out.getvalue()

    def test_shows_the_daemon_and_its_backends(self) -> None:
        now = sample(1.0, backend("127.0.0.1:9001", latency_ms=2.5, draining=True))
        drawn = self.draw(View(rows=rows(None, now)), now)
        for word in ("healthy", "revision 7", "100 req/s", "0.5 %", "127.0.0.1:9001", "draining"):
            self.assertIn(word, drawn)

    def test_fits_its_terminal(self) -> None:
        many = [backend(f"10.0.0.{n}:80") for n in range(200)]
        now = sample(1.0, *many)
        drawn = self.draw(View(rows=rows(None, now)), now, height=20, width=60)
        self.assertLessEqual(len(drawn.splitlines()), 20)
        self.assertLessEqual(max(map(len, drawn.splitlines())), 60)
