from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.wire.trace import new_trace, trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
GOOD = f"00-{TRACE}-b7ad6b7169203331-01".encode()


class TraceTests(SynchronousTestCase):
    def test_the_trace_of_a_field(self) -> None:
        for value in (GOOD, GOOD[:-1] + b"0", b"01" + GOOD[2:], b"cc" + GOOD[2:] + b"-what-ever"):
            self.assertEqual(trace_of([value]), TRACE, value)

    def test_what_is_none(self) -> None:
        """W3C Trace Context, section 3.2.2"""
        for value in (
            b"",
            GOOD.upper(),
            GOOD + b"-x",
            GOOD + b" ",
            b"ff" + GOOD[2:],
            GOOD[:-1],
            GOOD.replace(TRACE.encode(), b"0" * 32),
            GOOD.replace(b"b7ad6b7169203331", b"0" * 16),
            b"cc" + GOOD[2:] + b".x",
        ):
            self.assertEqual(trace_of([value]), "", value)
        self.assertEqual(trace_of([]), "")
        self.assertEqual(trace_of([GOOD, GOOD]), "")

    @given(st.integers(0, 2**192 - 1))
    @example(0)
    def test_a_new_one_is_valid(self, bits: int) -> None:
        trace, line = new_trace(bits)
        name, _, value = line.removesuffix(b"\r\n").partition(b": ")
        self.assertEqual((name, trace_of([value])), (b"traceparent", trace))
