"""Field blocks that come again are read once."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.fields import RequestFields, request_fields

BLOCK = b"\nHost: example.org\r\nAccept: */*\r\n\r\n"


def read(of: object, block: bytes, minor: int) -> object:
    """What a reading says, or the error."""
    try:
        found = of(block, minor)  # type: ignore[operator]
    except ProtocolError as problem:
        return (problem.status, problem.kind)
    return {name: getattr(found, name) for name in RequestFields.__slots__}


class Known(SynchronousTestCase):
    def test_the_same_block_is_the_same_object(self) -> None:
        self.assertIs(request_fields(BLOCK, 1), request_fields(bytes(bytearray(BLOCK)), 1))

    def test_the_version_counts(self) -> None:
        """S5: what a field means depends on it."""
        block = b"\nHost: a\r\nConnection: keep-alive\r\n\r\n"
        bare = b"\nHost: a\r\n\r\n"
        self.assertEqual(
            [request_fields(bare, minor).persistent for minor in (1, 0)], [True, False]
        )
        self.assertTrue(request_fields(block, 0).persistent)

    def test_a_long_one_is_not_kept(self) -> None:
        block = b"\nHost: a\r\nCookie: %b\r\n\r\n" % (b"x" * 2000)
        self.assertIsNot(request_fields(block, 1), request_fields(block, 1))

    def test_a_refusal_is_a_refusal_each_time(self) -> None:
        block = b"\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(3):
            self.assertRaises(ProtocolError, request_fields, block, 1)

    @given(st.binary(max_size=60), st.integers(0, 1))
    def test_it_says_what_a_fresh_reading_says(self, middle: bytes, minor: int) -> None:
        for block in (BLOCK, b"\nHost: a\r\nX: %b\r\n\r\n" % middle, b"\n%b\r\n\r\n" % middle):
            expected = read(RequestFields, block, minor)
            for _ in range(2):
                self.assertEqual(read(request_fields, block, minor), expected)
