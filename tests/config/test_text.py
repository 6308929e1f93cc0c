"""C1: bytes that are no configuration text."""

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import SMALLEST, said
from veloflux.config.text import MAX_BYTES, DocumentError, decode


class Decode(SynchronousTestCase):
    def refused(self, content: bytes, place: tuple[int, int], what: str) -> None:
        error = self.assertRaises(DocumentError, decode, content)
        self.assertEqual((error.line, error.column), place)
        self.assertIn(what, str(error))

    def test_takes_text_beyond_ascii(self) -> None:
        self.assertEqual(decode("# größer 🐢\r\na: 1\n".encode()), "# größer 🐢\r\na: 1\n")

    def test_refuses_a_byte_order_mark(self) -> None:
        """C1: BOM."""
        self.refused(b"\xef\xbb\xbfworkers: 1\n", (1, 1), "without a byte-order mark")
        self.refused("workers: 1\n".encode("utf-16"), (1, 1), "UTF-16")
        self.refused("a: 1\nb: \ufeffx\n".encode(), (2, 4), "U+FEFF")

    def test_refuses_nul_and_other_controls(self) -> None:
        """C1: NUL."""
        self.refused(b"a: 1\nb: x\0y\n", (2, 5), "U+0000")
        self.refused(b"a: \x1b[31m\n", (1, 4), "U+001B")
        self.refused("a: \x9b\n".encode(), (1, 4), "U+009B")

    def test_refuses_line_ends_that_editors_do_not_show(self) -> None:
        """C1: a comment must not hide a key."""
        for hidden in ("\r", "\u2028", "\u2029", "\x85"):
            self.refused(f"# note{hidden}workers: 1\n".encode(), (1, 7), "is not allowed")

    def test_says_where_it_is_not_utf8(self) -> None:
        """C1: another encoding."""
        self.refused("a: 1\nb: grün\n".encode("latin-1"), (2, 6), "0xfc is not UTF-8")

    def test_refuses_tabs_outside_comments(self) -> None:
        """C1: tabs."""
        self.refused(b"a:\n\tb: 1\n", (2, 1), "a tab; use spaces")
        self.refused(b"a:\tb\n", (1, 3), "a tab")
        self.assertEqual(decode(b"#\tnote\n  # a\tb\n"), "#\tnote\n  # a\tb\n")

    def test_refuses_what_is_too_large(self) -> None:
        """C1: 100 MB."""
        self.refused(b"#" * (MAX_BYTES + 1), (1, 1), "larger than 4 MiB")
        self.assertEqual(len(decode(b"#" * MAX_BYTES)), MAX_BYTES)

    def test_problems_have_line_and_column(self) -> None:
        """C1: `line:col` in the error."""
        [line] = said(SMALLEST + "\tx: 1\n")
        self.assertRegex(line, r"^9:1: a tab")
