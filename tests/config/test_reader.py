"""A document like the last costs what is different in it, and means the same as if read alone."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.config.problem import ConfigError
from veloflux.config.reader import Loaded, Reader
from veloflux.config.written import Written

BASE: dict[str, Any] = {
    "workers": 2,
    "listeners": [{"address": "127.0.0.1:8080"}],
    "pools": [
        {"name": name, "backends": [{"address": f"{name}.example:80"}]} for name in ("a", "b", "c")
    ],
    "routes": [{"host": f"{name}.example", "pool": name} for name in ("a", "b", "c")],
}


def read(reader: Reader, document: object) -> Loaded | list[tuple[str, str, str]]:
    try:
        return reader.read(Written(document))
    except ConfigError as error:
        return [(each.path, each.message, each.code) for each in error.problems]


def alone(document: object) -> Loaded | list[tuple[str, str, str]]:
    """What a reader says that has read nothing before."""
    return read(Reader("/", {"NAME": "a"}), json.loads(json.dumps(document)))


class ReaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader = Reader("/", {"NAME": "a"})
        self.first = self.reader.read(Written(BASE)).node.snapshot

    def test_what_is_the_same_is_the_same_object(self) -> None:
        changed = {**BASE, "routes": [*BASE["routes"], {"host": "d.example", "pool": "a"}]}
        after = self.reader.read(Written(changed)).node.snapshot
        for before, now in zip(self.first.routes, after.routes, strict=False):
            self.assertIs(before, now)
        for before, now in zip(self.first.pools, after.pools, strict=True):
            self.assertIs(before, now)
        self.assertEqual(len(after.routes), 4)

    def test_a_change_of_one_section_is_seen(self) -> None:
        pool = {**BASE["pools"][1], "algorithm": "random"}
        changed = {**BASE, "pools": [BASE["pools"][0], pool, BASE["pools"][2]]}
        after = self.reader.read(Written(changed)).node.snapshot
        self.assertIs(after.pools[0], self.first.pools[0])
        self.assertEqual(after.pools[1].algorithm, "random")

    def test_errors_are_as_if_read_alone_and_the_next_is_as_good(self) -> None:
        for key, value in (
            ("pools", [*BASE["pools"], {"name": "a", "backends": [{"address": "x:1"}]}]),
            ("pools", BASE["pools"][1:]),
            ("pools", [*BASE["pools"], {"name": "d", "algorithm": "adaptive"}]),
            ("routes", [*BASE["routes"], {"pool": "${NOBODY}"}]),
            ("routes", [*BASE["routes"], {"pool": "nobody"}, {"hots": 1}]),
            ("routes", {}),
            ("workers", "many"),
        ):
            changed = {**BASE, key: value}
            self.assertEqual(read(self.reader, changed), alone(changed), (key, value))
            self.assertEqual(self.reader.read(Written(BASE)).node.snapshot, self.first)

    def test_variables_of_new_sections_are_replaced(self) -> None:
        changed = {**BASE, "routes": [*BASE["routes"], {"host": "d.example", "pool": "${NAME}"}]}
        after = self.reader.read(Written(changed)).node.snapshot
        self.assertEqual(after.routes[-1].pools[0].pool, "a")

    @settings(max_examples=50)
    @given(st.data())
    def test_any_edits_mean_what_they_mean_alone(self, draw: st.DataObject) -> None:
        reader = Reader("/", {"NAME": "a"})
        document: dict[str, Any] = BASE
        for _ in range(4):
            key = draw.draw(st.sampled_from(("pools", "routes")))
            items = list(document[key])
            match draw.draw(st.sampled_from(("add", "drop", "move", "break"))):
                case "add" if key == "routes":
                    name = draw.draw(st.sampled_from(("a", "b", "z", "${NAME}", "${NO}")))
                    items.append({"host": f"h{len(items)}.example", "pool": name})
                case "add":
                    items.append({"name": draw.draw(st.sampled_from("abcde")), "backends": []})
                case "drop" if items:
                    items.pop(draw.draw(st.integers(0, len(items) - 1)))
                case "move":
                    items.reverse()
                case "break":
                    items.append({"name": 1})
            changed = {**document, key: items}
            found = read(reader, changed)
            self.assertEqual(found, alone(changed))
            if isinstance(found, Loaded):
                document = changed
