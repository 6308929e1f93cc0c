"""Watching the access log."""

import json

from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.tail import LINES_PER_S, WAITING, Filter, Tail


def line(**fields: object) -> str:
    return json.dumps({"status": 200, "route": "app", "path": "/", **fields}) + "\n"


class FakeFleet:
    def __init__(self) -> None:
        self.asked: list[int] = []

    def watch(self, lines_per_s: int) -> None:
        self.asked.append(lines_per_s)


class TailTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.fleet = FakeFleet()
        self.tail = Tail(self.fleet)
        self.news: list[str] = []

    def test_workers_send_lines_only_while_somebody_watches(self) -> None:
        self.assertEqual(self.fleet.asked, [])
        one = self.tail.subscribe(Filter(), lambda: None)
        two = self.tail.subscribe(Filter(), lambda: None)
        one.close()
        self.assertEqual(self.fleet.asked, [LINES_PER_S])
        two.close()
        two.close()
        self.assertEqual(self.fleet.asked, [LINES_PER_S, 0])

    def test_everybody_gets_what_they_want(self) -> None:
        wanted = {
            "all": Filter(),
            "failed": Filter(min_status=500),
            "shop": Filter(route="shop", method="GET"),
            "text": Filter(text="/cart"),
        }
        lines = [
            line(status=503, path="/cart"),
            line(route="shop", method="GET"),
            line(route="shop", method="POST"),
        ]
        watching = {name: self.tail.subscribe(each, lambda: None) for name, each in wanted.items()}
        self.tail.heard(1, lines, 0)
        found = {name: each.take()[0] for name, each in watching.items()}
        plain = [each.rstrip() for each in lines]
        expected = {"all": plain, "failed": plain[:1], "shop": plain[1:2], "text": plain[:1]}
        self.assertEqual(found, expected)

    def test_tells_that_there_is_something_to_take(self) -> None:
        watching = self.tail.subscribe(Filter(route="x"), lambda: self.news.append("new"))
        self.tail.heard(1, [line()], 0)
        self.assertEqual(self.news, [])
        self.tail.heard(1, [line(route="x")], 4)
        self.assertEqual(self.news, ["new"])
        self.assertEqual(watching.take(), ([line(route="x").rstrip()], 4))
        self.assertEqual(watching.take(), ([], 0))

    def test_who_does_not_take_them_loses_the_oldest(self) -> None:
        watching = self.tail.subscribe(Filter(), lambda: None)
        self.tail.heard(1, [line(path=f"/{n}") for n in range(WAITING)], 0)
        self.tail.heard(2, [line(path="/new")] * 5, 1)
        lines, dropped = watching.take()
        self.assertEqual((len(lines), dropped), (WAITING, 6))
        self.assertIn('"/5"', lines[0])

    def test_who_has_left_hears_nothing(self) -> None:
        watching = self.tail.subscribe(Filter(), lambda: self.news.append("new"))
        watching.close()
        self.tail.heard(1, [line()], 0)
        self.assertEqual((watching.take(), self.news), (([], 0), []))
