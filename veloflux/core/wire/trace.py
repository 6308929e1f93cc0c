"""Which trace does a request belong to? The traceparent field of W3C Trace Context (section 3.2).

A trusted peer's is passed on as it is: who records nothing of its own must not name itself as the
parent (section 4.3). Where there is none, a trace may begin here.
"""

from collections.abc import Sequence
from re import compile as pattern

# Version 00 ends with the flags; a later one may go on.
_FIELD = pattern(
    rb"(?!ff)(?:00|(?!00)([0-9a-f]{2}))-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    rb"(?(1)(?:-.*)?)"
)
_SPAN_BITS = 64


def trace_of(values: Sequence[bytes]) -> str:
    """The trace that the values of a request's traceparent fields name; empty when there is not
    exactly one that is valid, and then tracestate means nothing either."""
    match = _FIELD.fullmatch(values[0]) if len(values) == 1 else None
    return "" if match is None else match[2].decode()


def new_trace(bits: int) -> tuple[str, bytes]:
    """A trace that begins here, and the line that says so; `bits` are 192 random ones.

    It asks to be recorded: what is too much is for the collector to leave out.
    """
    # All zeros would mean none.
    trace, span = bits >> _SPAN_BITS or 1, bits & ((1 << _SPAN_BITS) - 1) or 1
    return f"{trace:032x}", b"traceparent: 00-%032x-%016x-01\r\n" % (trace, span)
