"""Answers that a backend must not give: what two readers could take for different messages."""

Answers = list[tuple[str, bytes]]


def _answer(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"hello") -> bytes:
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n" + body


# What int(), strip() or a search for `chunked` would take.
_LENGTHS = (
    *(b"5 5", b"5\t5", b"5,", b"5;", b"5.0", b"5e0", b"5L", b'"5"', b"%35", b"five", b"- 5"),
    *(b"5\x00", b"\x0b5", b"\x1c5", b"5\x85", b"5\xa0", b"5\x7f", b"\xb2", "٥".encode()),
)
_CODINGS = (
    *(b"xchunked", b"chunkedx", b'"chunked"', b"chunked;q=1", b", chunked", b"chunked,", b"cow"),
    *(b"cow, chunked", b"chunked, cow", b"chunked chunked", b"chunked\x00", b"chunked\x85"),
    *(b"\xa0chunked", b"chunked\x7f", "chun\u212aed".encode()),
)

FRAMING: Answers = [
    (name, _answer(*lines))
    for name, lines in (
        ("CL and TE", (b"Content-Length: 5", b"Transfer-Encoding: chunked")),
        ("TE and CL", (b"Transfer-Encoding: chunked", b"Content-Length: 5")),
        ("two different CL", (b"Content-Length: 5", b"Content-Length: 6")),
        ("two equal CL", (b"Content-Length: 5", b"Content-Length: 5")),
        ("list of CL", (b"Content-Length: 5, 5",)),
        ("signed CL", (b"Content-Length: +5",)),
        ("negative CL", (b"Content-Length: -5",)),
        ("hexadecimal CL", (b"Content-Length: 0x5",)),
        ("underscored CL", (b"Content-Length: 0_5",)),
        ("CL with leading zero", (b"Content-Length: 05",)),
        ("empty CL", (b"Content-Length:",)),
        ("huge CL", (b"Content-Length: 1" + b"0" * 30,)),
        ("two TE", (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
        ("chunked twice", (b"Transfer-Encoding: chunked, chunked",)),
        ("gzip and chunked", (b"Transfer-Encoding: gzip, chunked",)),
        ("gzip", (b"Transfer-Encoding: gzip",)),
        ("identity", (b"Transfer-Encoding: identity",)),
        ("empty TE", (b"Transfer-Encoding:",)),
        ("vertical tab in TE", (b"Transfer-Encoding: chunked\x0b",)),
        ("an empty CL and one", (b"Content-Length:", b"Content-Length: 5")),
        ("CL in two cases", (b"CONTENT-LENGTH: 5", b"content-length: 6")),
        ("CL and TE of nothing", (b"Content-Length: 5", b"Transfer-Encoding:")),
        ("CL and identity", (b"Content-Length: 5", b"Transfer-Encoding: identity")),
        ("identity, chunked", (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked")),
        *((f"CL {value!r}", (b"Content-Length: " + value,)) for value in _LENGTHS),
        *((f"TE {value!r}", (b"Transfer-Encoding: " + value,)) for value in _CODINGS),
    )
] + [
    (
        "TE in HTTP/1.0",
        _answer(
            b"Transfer-Encoding: chunked",
            start=b"HTTP/1.0 200 OK",
            body=b"5\r\nhello\r\n0\r\n\r\n",
        ),
    ),
]

GRAMMAR: Answers = [
    ("LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello" + b"x" * 70_000),
    ("LF after the status line", b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello"),
    ("LF after a field", _answer(b"X: y\nContent-Length: 5")),
    ("CR in a value", _answer(b"X: a\rb", b"Content-Length: 5")),
    ("NUL in a value", _answer(b"X: a\x00b", b"Content-Length: 5")),
    ("NUL in a name", _answer(b"X\x00: b", b"Content-Length: 5")),
    ("control in a value", _answer(b"X: a\x07b", b"Content-Length: 5")),
    ("folded", _answer(b"X: a", b" b", b"Content-Length: 5")),
    ("folded by a tab", _answer(b"X: a", b"\tb", b"Content-Length: 5")),
    ("space before the colon", _answer(b"Content-Length : 5")),
    ("space before the colon of TE", _answer(b"Transfer-Encoding : chunked")),
    ("TE after a CR", _answer(b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 5")),
    ("TE folded", _answer(b"Transfer-Encoding:", b" chunked")),
    ("CL folded", _answer(b"Content-Length: 1", b" 5")),
    ("name in two lines", _answer(b"Content-Length", b": 5")),
    ("UTF-8 BOM", _answer(b"\xef\xbb\xbfContent-Length: 5")),
    ("no colon", _answer(b"X", b"Content-Length: 5")),
    ("no name", _answer(b": x", b"Content-Length: 5")),
    ("space first", _answer(b" Content-Length: 5")),
    ("ten megabytes", _answer(b"X: " + b"y" * 10 * 2**20, b"Content-Length: 5")),
    ("endless", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000),
    ("many fields", _answer(*[b"X: y"] * 20_000, b"Content-Length: 5")),
]

STATUS_LINES: Answers = [
    (repr(start), _answer(b"Content-Length: 5", start=start))
    for start in (
        b"HTTP/1.1 99 Low",
        b"HTTP/1.1 1000 High",
        b"HTTP/1.1 000 None",
        b"HTTP/1.1 600 Unknown",
        b"HTTP/1.1 999 Unknown",
        b"HTTP/1.1 20 Short",
        b"HTTP/1.1 2000 Long",
        b"HTTP/1.1 abc Letters",
        b"HTTP/1.1 -20 Sign",
        b"HTTP/1.1 +200 Sign",
        b"HTTP/1.1 2.0 Dot",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/2 200",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\x7fK",
        b"ICY 200 OK",
        b" HTTP/1.1 200 OK",
        b"\r\nHTTP/1.1 200 OK",
        b"SSH-2.0-OpenSSH_9.2",
        b"<html>",
        b"",
    )
]

UNASKED: Answers = [
    (
        "101",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    ("101 alone", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ("interim answers without end", b"HTTP/1.1 102 Processing\r\n\r\n" * 17),
    ("thousands of them", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
]

# Chunked bodies that break off the answer they belong to.
CHUNKS: Answers = [
    (
        repr(body[:20]),
        _answer(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n" + body),
    )
    for body in (
        b"g\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"f" * 17 + b"\r\n",
        b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
    )
]
