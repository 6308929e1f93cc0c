"""The channels show what the API would answer."""

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.control.api.client import SIGNED_IN, Api
from veloflux.control.services.feed import TICK_S, Item, Scope


class Watcher:
    def __init__(self) -> None:
        self.items: list[Item] = []

    def take(self, item: Item) -> None:
        self.items.append(item)

    def read(self) -> list[Any]:
        found = [msgspec.json.decode(item.payload) for item in self.items]
        self.items.clear()
        return found


class Topics(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api().begin()
        self.watcher = Watcher()
        self.addCleanup(self.api.feed.stop)

    def first(self, channel: str, scope: Scope = Scope()) -> Any:  # noqa: B008  # it is frozen
        """All of a channel."""
        self.api.feed.watch(self.watcher, channel, scope)
        [found] = self.watcher.read()
        return found["data"]

    def test_show_what_the_api_answers(self) -> None:
        for channel, path in (
            ("backends", "/api/backends"),
            ("status", "/api/status"),
            ("health", "/api/health"),
            ("metrics", "/api/metrics"),
        ):
            answer = self.api.call("GET", path, SIGNED_IN).json()
            self.assertEqual(self.first(channel), answer, channel)

    def test_show_a_pool_of_many(self) -> None:
        rows = self.api.call("GET", "/api/backends", SIGNED_IN).json()
        pool = rows[0]["pool"]
        wanted = [row for row in rows if row["pool"] == pool]
        self.assertEqual(self.first("backends", Scope(pool=pool)), wanted)
        self.assertEqual(self.first("backends", Scope(pool="none")), [])

    def test_tell_of_a_backend_that_is_ejected(self) -> None:
        [row, *_] = self.first("backends")
        self.api.fleet.ejected = frozenset({(row["pool"], row["address"])})
        self.api.clock.advance(TICK_S)
        [told] = self.watcher.read()
        self.assertEqual(told["type"], "backend_status_update")
        self.assertEqual(
            told["data"], {"pool": row["pool"], "address": row["address"], "state": "ejected"}
        )
