import re
from urllib.parse import unquote_to_bytes

from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support import messages
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.target import normalise_host, normalise_path, split_target

PATHS = st.one_of(
    messages.PATHS,
    st.text("/.%2eEfF5cC0\\;a", max_size=16).map(lambda text: b"/" + text.encode()),
)


class PathTests(SynchronousTestCase):
    """S22"""

    def normal(self, path: bytes) -> bytes:
        try:
            return normalise_path(path)
        except ProtocolError as problem:
            self.assertEqual((problem.status, problem.kind), (400, "path"))
            assume(False)
            raise AssertionError from problem

    @given(PATHS)
    @example(b"/%2%65")
    @example(b"/%25%32%66")
    def test_once_is_enough(self, path: bytes) -> None:
        """Idempotent"""
        form = self.normal(path)
        self.assertEqual(normalise_path(form), form)

    @given(PATHS)
    def test_nothing_that_could_be_read_in_two_ways_is_left(self, path: bytes) -> None:
        form = self.normal(path)
        self.assertTrue(form.startswith(b"/"))
        for odd in (b"//", b"/./", b"/../", b"\\", b"%2f", b"%2F", b"%5c", b"%5C", b"%00", b"%2e"):
            self.assertNotIn(odd, form)
        self.assertFalse(form.endswith((b"/.", b"/..")))
        for escape in re.findall(rb"%(..)", form):
            self.assertEqual(escape, escape.upper())
            self.assertNotRegex(unquote_to_bytes(b"%" + escape), rb"[A-Za-z0-9._~-]")

    @given(PATHS)
    def test_a_reader_that_decodes_sees_the_same_segments(self, path: bytes) -> None:
        """However often it resolves dots and merges slashes after decoding once."""
        decoded = unquote_to_bytes(self.normal(path))
        segments = decoded.split(b"/")[1:]
        self.assertNotIn(b"..", segments)
        self.assertNotIn(b".", segments)
        self.assertNotIn(b"", segments[:-1])

    @given(st.text("abcXYZ0129._~!$&'()*+,;=:@/-", max_size=20))
    def test_what_is_normal_stays(self, text: str) -> None:
        path = b"/" + text.encode()
        assume(b"//" not in path and b"/." not in path)
        self.assertEqual(normalise_path(path), path)


class HostTests(SynchronousTestCase):
    """S21"""

    @given(messages.HOSTS)
    def test_once_is_enough(self, value: bytes) -> None:
        """Idempotent"""
        try:
            name, authority = normalise_host(value)
        except ProtocolError as problem:
            self.assertEqual((problem.status, problem.kind), (400, "host"))
            return
        self.assertEqual(normalise_host(authority), (name, authority))
        self.assertEqual(name, name.lower())
        self.assertFalse(name.endswith(b"."))
        self.assertTrue(authority == name or authority.startswith(name + b":"))


class SplitTests(SynchronousTestCase):
    """S20"""

    @given(messages.TARGETS)
    def test_nothing_is_lost(self, target: bytes) -> None:
        try:
            authority, path, query = split_target(target)
        except ProtocolError as problem:
            self.assertEqual(problem.status, 400)
            return
        self.assertTrue(path.startswith(b"/"))
        self.assertTrue(query == b"" or query.startswith(b"?"))
        if authority is None:
            self.assertEqual(path + query, target)
        else:
            self.assertIn(b"://" + authority, target)
            self.assertTrue(target.endswith(query))
