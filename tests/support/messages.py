"""Hypothesis strategies for HTTP/1.1 messages: good ones, and ones with something odd in them."""

from itertools import pairwise

from hypothesis import strategies as st

_NAMES = st.sampled_from(
    (b"X", b"X-Long-Name", b"Accept", b"Cookie", b"User-Agent", b"A_B", b"!#$%")
)
_TEXT = st.binary(max_size=12).map(
    lambda raw: bytes(byte for byte in raw if byte in (9, 32) or 33 <= byte != 127)
)
FIELDS = st.tuples(_NAMES, _TEXT).map(lambda field: field[0] + b": " + field[1])
METHODS = st.sampled_from((b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"PATCH"))
_SEGMENT = st.text("abcXYZ019-._~%!$&'()*+,;=:@", max_size=6).map(str.encode)
PATHS = st.lists(
    st.one_of(
        _SEGMENT,
        st.sampled_from(
            (b".", b"..", b"", b"%2e", b"%2E%2e", b"%2f", b"%5c", b"%00", b"%25", b"%zz")
        ),
    ),
    max_size=5,
).map(lambda segments: b"/" + b"/".join(segments))
_QUERIES = st.sampled_from((b"", b"?", b"?a=b", b"?a=%2f&b=/../", b"??", b'?"'))
TARGETS = st.one_of(
    st.tuples(PATHS, _QUERIES).map(b"".join),
    st.sampled_from((b"*", b"/", b"http://a.example/x", b"http://A.EXAMPLE:80", b"a:80", b"//x")),
)
HOSTS = st.one_of(
    st.just(b"a"),
    st.just(b"A.Example:80"),
    st.just(b"b.example."),
    st.sampled_from(
        (b"a", b"A.Example", b"a.example.:80", b"[::1]:8", b"a b", b"", b"a,b", b"::1")
    ),
    st.text("abAB01.-_:[]", max_size=8).map(str.encode),
)
# Lines that bear on framing, alone or with each other.
FRAMING = st.sampled_from(
    (
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Content-Length: 05",
        b"content-length:5",
        b"Content-Length: 5, 5",
        b"Content-Length : 5",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: Chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer_Encoding: chunked",
        b"Connection: close",
        b"Connection: keep-alive, X",
        b"Connection: Upgrade",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"TE: trailers",
        b" folded",
        b"X\x00: y",
        b"X: y\rZ: w",
        b"X: y\nZ: w",
        b"no colon",
        b": no name",
    )
)
VERSIONS = st.sampled_from(
    (b"HTTP/1.1",) * 30 + (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1")
)
BODIES = st.sampled_from(
    (
        b"",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"0\r\n\r\n",
        b"5\r\nhello",
        b"x\r\n",
    )
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A request's head that is often good and sometimes nearly."""
    lines = [draw(METHODS) + b" " + draw(TARGETS) + b" " + draw(VERSIONS)]
    fields = [b"Host: " + draw(HOSTS)] if draw(st.integers(0, 9)) != 9 else []
    fields += draw(st.lists(FIELDS, max_size=3))
    fields += draw(st.lists(FRAMING, max_size=draw(st.integers(0, 2))))
    return b"\r\n".join(lines + draw(st.permutations(fields))) + b"\r\n\r\n"


@st.composite
def simple_requests(draw: st.DrawFn) -> bytes:
    """A whole request that is good."""
    fields = draw(st.lists(FIELDS, max_size=3))
    target = draw(st.sampled_from((b"/", b"/a/b?c", b"/%7Ea/../b", b"http://b.example/c")))
    start = draw(METHODS) + b" " + target + b" HTTP/1.1"
    body, framing = draw(
        st.sampled_from(
            (
                (b"", []),
                (b"hello", [b"Content-Length: 5"]),
                (b"5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n", [b"Transfer-Encoding: chunked"]),
                (b"1\r\na\r\n2\r\nbc\r\n00\r\n\r\n", [b"transfer-encoding:\tchunked"]),
            )
        )
    )
    lines = draw(st.permutations([b"Host: a.example", *fields, *framing]))
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n" + body


_FRAGMENTS = st.one_of(
    heads(),
    BODIES,
    simple_requests(),
    st.binary(max_size=8),
    st.sampled_from(
        (b"\r\n", b"\n", b"\r", b"GET / HTTP/1.1", b"Host: a\r\n", b"\x00", b"\x16\x03")
    ),
)
# Anything that a client could send.
STREAMS = st.lists(_FRAGMENTS, min_size=1, max_size=4).map(b"".join)


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    """`wire` cut at these places, taken modulo its length."""
    places = sorted({cut % (len(wire) + 1) for cut in cuts} | {0, len(wire)})
    return [wire[a:b] for a, b in pairwise(places) if a < b]


CUTS = st.lists(st.integers(0, 10_000), max_size=6)
