"""C1: YAML that is a bomb, or means two things."""

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.config.compose import MAX_ALIASED, MAX_DEPTH, MAX_ITEMS, MAX_NODES, PARSER, compose
from veloflux.config.nodes import Node, locate
from veloflux.config.plain import plain as as_document
from veloflux.config.text import DocumentError


def plain(text: str, parser: type = PARSER) -> object:
    root, faults = compose(text, parser)
    if faults:
        raise faults[0]
    assert root is not None
    return as_document(root)


def shape(node: Node | None) -> object:
    return None if node is None else as_document(node)


class Compose(SynchronousTestCase):
    def refused(self, text: str, what: str, place: tuple[int, int] | None = None) -> None:
        error = self.assertRaises(DocumentError, plain, text)
        self.assertIn(what, str(error))
        if place is not None:
            self.assertEqual((error.line, error.column), place)

    def test_reads_values(self) -> None:
        text = "a: [1, two, 'no', null]\nb: {c: |\n  x\n  y\n}\n".replace("{c: |\n  x\n  y\n}", "c")
        self.assertEqual(plain(text), {"a": [1, "two", "no", None], "b": "c"})
        self.assertEqual(plain("a: |\n  x\n  y\n"), {"a": "x\ny\n"})
        self.assertEqual(plain("on: 1\nno: 2\n"), {"on": 1, "no": 2})
        self.assertEqual(plain('{"json": [true, "1"]}'), {"json": [True, "1"]})

    def test_knows_where_everything_is(self) -> None:
        root, _ = compose("a: 1\nb:\n  - c: 2\n  -\n    d: 3\n")
        assert root is not None
        self.assertEqual(locate(root, ("b",)), (2, 1))
        self.assertEqual(locate(root, ("b", 0, "c")), (3, 5))
        self.assertEqual(locate(root, ("b", 1, "d")), (5, 5))
        self.assertEqual(locate(root, ("b", 1, "missing")), (5, 5))
        self.assertEqual(locate(root, ("b", 7)), (2, 1))

    def test_nothing_is_no_document(self) -> None:
        self.assertEqual(compose(""), (None, []))
        self.assertEqual(compose("# only a comment\n"), (None, []))

    def test_refuses_a_key_written_twice(self) -> None:
        """C1: duplicate keys."""
        self.refused("a: 1\nb: 2\na: 3\n", '"a" is there twice, first in line 1', (3, 1))
        self.refused("x: {b: 1, b: 2}", '"b" is there twice', (1, 11))
        self.refused("a: 1\n'a': 2\n", "twice")

    def test_reports_every_key_written_twice(self) -> None:
        root, faults = compose("a: 1\na: 2\nb: 1\nb: 2\n")
        self.assertEqual([fault.line for fault in faults], [2, 4])
        self.assertEqual(shape(root), {"a": 1, "b": 1})

    def test_refuses_tags(self) -> None:
        """C1: `!!python/object`."""
        for tag in (
            "!!python/object/apply:os.system [id]",
            "!!python/name:os.system x",
            "!!binary aGk=",
            "!!set {a}",
            "!!int '1'",
            "!<tag:yaml.org,2002:python/none> x",
            "!local x",
        ):
            self.refused(f"a: {tag}", "is refused", (1, 4))
        self.assertEqual(plain("a: !!str 5\nb: !!seq [1]\nc: !!map {}\nd: ! 5"), {
            "a": "5", "b": [1], "c": {}, "d": "5"
        })  # fmt: skip

    def test_refuses_keys_that_are_no_text(self) -> None:
        """C1: `no`→false and octals, as keys."""
        self.refused("1: x", "the number 1 cannot be a key; put it in quotes")
        self.refused("true: x", "true cannot be a key")
        self.refused("? [a]\n: x", "a list cannot be a key")
        self.refused("? {a: b}\n: x", "a mapping cannot be a key")
        self.refused("~: x", "nothing cannot be a key")

    def test_refuses_merge_keys(self) -> None:
        """C1: merge-key loops."""
        self.refused("a: &a {x: 1}\nb:\n  <<: *a\n", "merge keys (<<) are not supported", (3, 3))
        self.assertEqual(plain("'<<': 1"), {"<<": 1})

    def test_takes_anchors_and_aliases(self) -> None:
        """C1: anchors."""
        self.assertEqual(plain("a: &x {y: [1]}\nb: *x\n"), {"a": {"y": [1]}, "b": {"y": [1]}})

    def test_refuses_an_alias_of_what_contains_it(self) -> None:
        """C1: loops."""
        self.refused("a: &x [*x]", "*x would contain itself", (1, 8))
        self.refused("a: &x {b: {c: *x}}", "would contain itself")

    def test_refuses_an_unknown_alias(self) -> None:
        self.refused("a: *x", "no anchor &x", (1, 4))

    def test_refuses_the_billion_laughs(self) -> None:
        """C1: billion laughs."""
        lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
        self.refused("\n".join(lines), f"repeat more than {MAX_ALIASED} values")

    def test_refuses_an_alias_that_makes_it_deep(self) -> None:
        """C1: deep nesting, in steps."""
        half = MAX_DEPTH // 2
        deep = "[" * half + "]" * half
        self.assertIsNotNone(plain(f"a: &a {deep}\nb: {'[' * (half - 1)}*a{']' * (half - 1)}"))
        self.refused(f"a: &a {deep}\nb: {'[' * half}*a{']' * half}", "levels deep")

    def test_refuses_deep_nesting(self) -> None:
        """C1: deep nesting."""
        self.assertIsNotNone(plain("[" * MAX_DEPTH + "]" * MAX_DEPTH))
        self.refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "64 levels deep", (1, 65))
        self.refused("[" * 1_000_000, "levels deep")
        self.refused("- " * 1_000_000, "levels deep")
        self.refused("{a: " * 100_000, "levels deep")

    def test_refuses_very_many_values(self) -> None:
        """C1: size caps."""
        self.refused(f"[{'1,' * (MAX_ITEMS + 1)}]", f"more than {MAX_ITEMS} items")
        keys = "".join(f"k{i}: 1\n" for i in range(MAX_ITEMS + 1))
        self.refused(keys, f"more than {MAX_ITEMS} items", (MAX_ITEMS + 1, 9))
        row = f"- [{'1,' * MAX_ITEMS}]\n"
        self.refused(row * (MAX_NODES // MAX_ITEMS), f"more than {MAX_NODES} values")

    def test_refuses_a_second_document(self) -> None:
        self.refused("a: 1\n---\nb: 2\n", "a second document", (2, 1))
        self.assertEqual(plain("---\na: 1\n...\n"), {"a": 1})

    def test_explains_errors_of_syntax(self) -> None:
        for text, line, what in (
            ("a: b: c", 1, "a colon too many"),
            ("a: 1\n b: 2", 2, "indented too far"),
            ("- a\nb: 1", 2, "indented alike"),
            ("a: [1, 2\nb: 3", 2, "a bracket is not closed"),
            ("a: 'x\n", 2, "a quote is not closed"),
            ("a: @x", 1, 'needs "quotes"'),
            ('a: "\\q"', 1, "'single quotes'"),
        ):
            for parser in (PARSER, yaml.SafeLoader):
                with self.subTest(text, parser=parser):
                    error = self.assertRaises(DocumentError, plain, text, parser)
                    self.assertIn(what, str(error))
                    self.assertEqual(error.line, line)

    @given(st.text(st.sampled_from("ab01-:,[]{}&*!|>'\"#? \n<~"), max_size=40))
    def test_both_parsers_read_alike(self, text: str) -> None:
        """The parser in C is a matter of speed alone: what both take, both take as the same."""
        results = []
        for parser in (yaml.SafeLoader, PARSER):
            try:
                root, faults = compose(text, parser)
                results.append((shape(root), [str(fault) for fault in faults]))
            except DocumentError:
                results.append(None)
        if None not in results:
            self.assertEqual(*results)

    @given(st.text())
    def test_any_text_is_a_tree_or_an_error_with_its_place(self, text: str) -> None:
        try:
            _, faults = compose(text)
        except DocumentError as error:
            faults = [error]
        for fault in faults:
            self.assertGreaterEqual(fault.line, 1)
            self.assertGreaterEqual(fault.column, 1)
