import math

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.config.scalars import Substituted, escape, resolve, retype, substitute


class Resolve(SynchronousTestCase):
    def test_knows_booleans_and_null_in_one_spelling(self) -> None:
        """C1: `no` is Norway."""
        self.assertIs(resolve("true"), True)
        self.assertIs(resolve("false"), False)
        for nothing in ("", "~", "null"):
            self.assertIsNone(resolve(nothing))
        for text in ("no", "yes", "on", "off", "y", "True", "FALSE", "Null"):
            self.assertEqual(resolve(text), text)

    def test_reads_decimal_numbers_only(self) -> None:
        """C1: octal ports."""
        self.assertEqual([resolve(t) for t in ("0", "8080", "-1", "+3")], [0, 8080, -1, 3])
        for text in ("0755", "0o17", "0x1f", "0b1", "1_000", "12:30", "٣", "1" * 20):
            self.assertEqual(resolve(text), text)

    def test_reads_fractions_as_such(self) -> None:
        self.assertEqual([resolve(t) for t in ("1.0", ".5", "1e3")], [1.0, 0.5, 1000.0])
        self.assertEqual(resolve("-.inf"), -math.inf)
        self.assertTrue(math.isnan(resolve(".nan")))
        self.assertEqual(resolve("1.2.3"), "1.2.3")

    def test_has_no_dates(self) -> None:
        self.assertEqual(resolve("2026-11-23"), "2026-11-23")

    @given(st.text())
    @example("9" * 5000)
    @example("1e" + "9" * 9)
    def test_takes_any_text(self, text: str) -> None:
        self.assertIsInstance(resolve(text), (str, int, float, bool, type(None)))


class Substitute(SynchronousTestCase):
    def value(self, text: str, **environ: str) -> str:
        return substitute(text, environ)[0]

    def test_replaces_variables(self) -> None:
        self.assertEqual(self.value("http://${HOST}:${PORT}/", HOST="a", PORT="1"), "http://a:1/")

    def test_the_default_is_for_what_is_unset_or_empty(self) -> None:
        self.assertEqual(self.value("${A:-x:-y}"), "x:-y")
        self.assertEqual(self.value("${A:-x}", A=""), "x")
        self.assertEqual(self.value("${A:-}"), "")
        self.assertEqual(self.value("${A:-x}", A="y"), "y")

    def test_an_empty_variable_is_set(self) -> None:
        self.assertEqual(self.value("${A}", A=""), "")

    def test_refuses_an_unset_variable(self) -> None:
        """C2: interpolation of unset env."""
        error = self.assertRaises(ValueError, self.value, "${NOPE}")
        self.assertIn("NOPE is not set", str(error))
        self.assertIn("${NOPE:-default}", str(error))

    def test_refuses_what_is_malformed(self) -> None:
        for text in ("${", "${A", "${}", "${1A}", "${A-b}", "${A:-${B}}", "${A B}", "${A:b}"):
            self.assertRaises(ValueError, substitute, text, {"A": "x", "B": "y"})

    def test_does_not_look_into_values(self) -> None:
        self.assertEqual(self.value("${A}", A="${B}"), "${B}")

    def test_says_whether_the_environment_was_used(self) -> None:
        self.assertEqual(substitute("${A:-x}", {}), ("x", False))
        self.assertEqual(substitute("${A:-x}", {"A": "y"}), ("y", True))

    def test_leaves_other_dollars_alone(self) -> None:
        self.assertEqual(self.value("a$b $$ $(x) $"), "a$b $$ $(x) $")

    @given(st.text(st.sampled_from("$${}A:-")))
    def test_an_escaped_text_comes_back(self, text: str) -> None:
        self.assertEqual(substitute(escape(text), {}), (text, False))


class Retype(SynchronousTestCase):
    def test_only_what_came_from_a_variable(self) -> None:
        self.assertEqual(retype(Substituted("8080")), 8080)
        self.assertEqual(retype("8080"), "8080")
        self.assertIsNone(retype(Substituted("")))
