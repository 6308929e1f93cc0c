"""Slow watchers: the latest state waits, older ones are left out, and memory is bounded."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.feed import Envelope, Item
from veloflux.control.streams.outlet import Outlet

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def item(key: str, seq: int) -> Item:
    return Item.of(Envelope("t", "c", msgspec.Raw(b"%d" % seq), NOON, seq), key)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.written: list[Any] = []
        self.is_narrow = False
        self.outlet = Outlet(self._write, limit=4)

    def _write(self, written: Item, payload: bytes) -> None:
        self.written.append(msgspec.json.decode(payload))
        if self.is_narrow:
            self.outlet.pause()

    def seqs(self) -> list[tuple[int, int]]:
        return [(each["seq"], each.get("skipped", 0)) for each in self.written]


class Slow(Case):
    def test_writes_at_once_while_there_is_room(self) -> None:
        self.assertTrue(self.outlet.offer(item("a", 1)))
        self.assertEqual(self.seqs(), [(1, 0)])

    def test_keeps_the_latest_of_each_object_and_says_how_many_are_left_out(self) -> None:
        self.outlet.pause()
        for key, seq in (("a", 1), ("b", 2), ("a", 3), ("a", 4)):
            self.assertTrue(self.outlet.offer(item(key, seq)))
        self.outlet.resume()
        self.assertEqual(self.seqs(), [(2, 0), (4, 2)])

    def test_leaves_out_nothing_that_has_no_later_state(self) -> None:
        self.outlet.pause()
        for seq in (1, 2, 3):
            self.outlet.offer(item("", seq))
        self.outlet.resume()
        self.assertEqual(self.seqs(), [(1, 0), (2, 0), (3, 0)])

    def test_has_room_for_so_many_and_no_more(self) -> None:
        """W4: a slow subscriber has a bounded queue."""
        self.outlet.pause()
        self.assertEqual(
            [self.outlet.offer(item("", n)) for n in range(6)], [True] * 4 + [False] * 2
        )
        self.assertEqual(len(self.outlet), 4)

    def test_stops_again_when_the_way_is_full_in_between(self) -> None:
        self.outlet.pause()
        for seq in (1, 2):
            self.outlet.offer(item("", seq))
        self.is_narrow = True
        self.outlet.resume()
        self.assertEqual(self.seqs(), [(1, 0)])
        self.outlet.resume()
        self.assertEqual(self.seqs(), [(1, 0), (2, 0)])

    @given(st.lists(st.one_of(st.sampled_from("abc"), st.booleans()), max_size=60))
    def test_ends_with_the_latest_state_of_each(self, steps: list[str | bool]) -> None:
        """Whatever the pauses, the last that is written of an object is the last that was said, in
        order, and nothing is lost unsaid."""
        self.setUp()
        said: dict[str, list[int]] = {}
        for seq, step in enumerate(steps):
            if isinstance(step, bool):
                self.outlet.resume() if step else self.outlet.pause()
            else:
                self.assertTrue(self.outlet.offer(item(step, seq)))
                said.setdefault(step, []).append(seq)
        self.outlet.resume()
        seqs = [each["seq"] for each in self.written]
        self.assertEqual(seqs, sorted(seqs))
        for of_one in said.values():
            written = [each for each in self.written if each["seq"] in of_one]
            self.assertEqual(written[-1]["seq"], of_one[-1])
            self.assertEqual(
                len(written) + sum(each.get("skipped", 0) for each in written), len(of_one)
            )
