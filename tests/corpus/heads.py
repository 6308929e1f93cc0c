"""Request heads that must be refused, by the kind of trick; each is a whole request otherwise.

A variant is (what it is, the bytes). Sources: RFC 9112, the "exhaustive" list of the HTTP Request
Smuggler, CVE reports against proxies.
"""

from collections.abc import Iterator

Variants = list[tuple[str, bytes]]

_CHUNKED_BODY = b"5\r\nhello\r\n0\r\n\r\n"


def _post(*lines: bytes, body: bytes = _CHUNKED_BODY, version: bytes = b"1.1") -> bytes:
    head = [b"POST / HTTP/" + version, b"Host: example.org", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def _named(values: list[bytes], *lines: bytes) -> Variants:
    """One variant for each value, which stands for `%` in the lines."""
    return [
        (repr(value), _post(*(line.replace(b"%", value) for line in lines))) for value in values
    ]


CL_TE: Variants = [
    (
        "CL.TE",
        _post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG"),
    ),
    (
        "CL.TE of equal length",
        _post(b"Content-Length: 15", b"Transfer-Encoding: chunked"),
    ),
    ("CL: 0 and TE", _post(b"Content-Length: 0", b"Transfer-Encoding: chunked")),
    ("lower case", _post(b"content-length: 15", b"transfer-encoding: chunked")),
    ("a header between", _post(b"Content-Length: 15", b"X: y", b"Transfer-Encoding: chunked")),
    ("TE empty", _post(b"Content-Length: 15", b"Transfer-Encoding:")),
    ("TE identity", _post(b"Content-Length: 15", b"Transfer-Encoding: identity")),
]

TE_CL: Variants = [
    ("TE.CL", _post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\nGPOST /")),
    ("TE and CL: 0", _post(b"Transfer-Encoding: chunked", b"Content-Length: 0")),
    ("upper case", _post(b"TRANSFER-ENCODING: CHUNKED", b"CONTENT-LENGTH: 15")),
]

_CODINGS = [
    b"chunked, chunked",
    b"chunked,chunked",
    b"cow, chunked",
    b"chunked, cow",
    b"cow",
    b"identity",
    b"chunked, identity",
    b"identity, chunked",
    b"gzip, chunked",
    b"xchunked",
    b"chunkedx",
    b'"chunked"',
    b"'chunked'",
    b"chunked;q=1",
    b"chunked ; q=1",
    b", chunked",
    b"chunked,",
    b"[chunked]",
    b"chunked chunked",
    b"",
    b",",
]

TE_TE: Variants = [
    *_named(_CODINGS, b"Transfer-Encoding: %"),
    *_named(_CODINGS, b"Transfer-Encoding: chunked", b"Transfer-Encoding: %"),
    *_named(_CODINGS, b"Transfer-Encoding: %", b"Transfer-Encoding: chunked"),
    ("twice", _post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    ("apart", _post(b"Transfer-encoding: chunked", b"X: y", b"transfer-Encoding: chunked")),
]


def odd_bytes_around(
    name: bytes, value: bytes, body: bytes = _CHUNKED_BODY
) -> Iterator[tuple[str, bytes]]:
    """Each control and each byte over 0x7e in each of four places, but for tabs after the colon,
    which are white space."""
    places = tuple(
        place.replace(b"N", name).replace(b"V", value)
        for place in (b"%sN: V", b"N%s: V", b"N:%sV", b"N: V%s")
    )
    for number in (*range(0x20), *range(0x7F, 0x100)):
        for place in places:
            if number == 9 and place.index(b"%s") > place.index(b":"):
                continue
            line = place.replace(b"%s", bytes((number,)))
            yield repr(line), _post(line, body=body)


TE_OBFUSCATED: Variants = [
    *odd_bytes_around(b"Transfer-Encoding", b"chunked"),
    ("space for hyphen", _post(b"Transfer Encoding: chunked")),
    ("space before the name", _post(b" Transfer-Encoding: chunked")),
    ("space before the colon", _post(b"Transfer-Encoding : chunked")),
    ("after a bare LF", _post(b"X: x\nTransfer-Encoding: chunked")),
    ("after a bare CR", _post(b"X: x\rTransfer-Encoding: chunked")),
    ("in a folded line", _post(b"X: x", b" Transfer-Encoding: chunked")),
    ("value folded", _post(b"Transfer-Encoding:", b" chunked")),
    ("value folded by a tab", _post(b"Transfer-Encoding:", b"\tchunked")),
    ("no colon", _post(b"Transfer-Encoding chunked")),
    ("equals sign", _post(b"Transfer-Encoding= chunked")),
    ("two colons", _post(b"Transfer-Encoding:: chunked")),
    ("quoted name", _post(b'"Transfer-Encoding": chunked')),
    ("UTF-8 BOM", _post(b"\xef\xbb\xbfTransfer-Encoding: chunked")),
    ("no-break space", _post("Transfer-Encoding:\u00a0chunked".encode())),
    ("name in two lines", _post(b"Transfer-Encoding", b": chunked")),
    ("name in two lines, folded", _post(b"Transfer-Encoding", b" : chunked")),
    ("after CR CR", _post(b"X: x\r\rTransfer-Encoding: chunked")),
    ("after LF CR", _post(b"X: x\n\rTransfer-Encoding: chunked")),
    ("after a form feed", _post(b"X: x\x0cTransfer-Encoding: chunked")),
    ("semicolon before the colon", _post(b"Transfer-Encoding;: chunked")),
    ("comma before the colon", _post(b"Transfer-Encoding,: chunked")),
    ("under two names", _post(b"Transfer-Encoding: x, Transfer-Encoding: chunked")),
    ("escaped", _post(b"Transfer-Encoding: %63hunked")),
    ("long s", _post("Tranſfer-Encoding: chunked".encode())),
    ("Kelvin sign", _post("Transfer-Encoding: chun\u212aed".encode())),
]

TE_IN_HTTP10: Variants = [
    ("alone", _post(b"Transfer-Encoding: chunked", version=b"1.0")),
    ("kept alive", _post(b"Connection: keep-alive", b"Transfer-Encoding: chunked", version=b"1.0")),
    ("with CL", _post(b"Transfer-Encoding: chunked", b"Content-Length: 15", version=b"1.0")),
    ("no Host", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
]

TWO_LENGTHS: Variants = [
    (name, _post(*lines, body=b"hello"))
    for name, lines in (
        ("different", (b"Content-Length: 5", b"Content-Length: 6")),
        ("same", (b"Content-Length: 5", b"Content-Length: 5")),
        ("apart", (b"Content-Length: 5", b"X: y", b"content-length: 5")),
        ("zero and more", (b"Content-Length: 0", b"Content-Length: 5")),
        ("list", (b"Content-Length: 5, 5",)),
        ("list without a space", (b"Content-Length: 5,5",)),
        ("list of different", (b"Content-Length: 5, 6",)),
        ("list with an empty member", (b"Content-Length: 5,",)),
        ("three", (b"Content-Length: 5",) * 3),
        ("zero after more", (b"Content-Length: 5", b"Content-Length: 0")),
        ("one of them empty", (b"Content-Length: 5", b"Content-Length:")),
        ("one of them no number", (b"Content-Length: 5", b"Content-Length: x")),
        ("one with a zero", (b"Content-Length: 5", b"Content-Length: 05")),
        ("list of three", (b"Content-Length: 5,5,5",)),
        ("list with a semicolon", (b"Content-Length: 5;5",)),
        ("a comma alone", (b"Content-Length: ,",)),
        ("in two cases", (b"CONTENT-LENGTH: 5", b"content-length: 6")),
    )
]

_LENGTHS = [
    b"+5",
    b"-1",
    b"-0",
    b"0x5",
    b"5_0",
    b"1_0",
    "٥".encode(),  # ARABIC-INDIC DIGIT FIVE, which int() takes
    "５".encode(),  # FULLWIDTH DIGIT FIVE
    b"\xb2",  # a superscript two in Latin-1, which str.isdigit() takes
    b"1 3",
    b"1\t3",
    b"",
    b"5.0",
    b"5e0",
    b"five",
    b"5;",
    b'"5"',
    b"5\x00",
    b"\x0b5",
    b"5\xa0",
    b"05",
    b"00",
    b"0" * 1000 + b"5",
    b"%d" % 2**63,
    b"%d" % 2**64,
    b"%d" % (2**64 + 5),
    b"1" + b"0" * 30,
    b"9" * 5000,
    b"+ 5",
    b"- 5",
    b"0b101",
    b"0o5",
    b"5L",
    b"5,",
    b"=5",
    b"%35",
    b"1e1",
    b"\x1c5",
    b"5\x85",
    b"inf",
    "\u2075".encode(),
    b"5 # five",
]

LENGTHS: Variants = [
    *((repr(value[:40]), _post(b"Content-Length: " + value, body=b"hello")) for value in _LENGTHS),
    *odd_bytes_around(b"Content-Length", b"5", b"hello"),
    ("space before the colon", _post(b"Content-Length : 5", body=b"hello")),
    ("tab before the colon", _post(b"Content-Length\t: 5", body=b"hello")),
    ("no colon", _post(b"Content-Length 5", body=b"hello")),
    ("equals sign", _post(b"Content-Length=5", body=b"hello")),
    ("after a bare LF", _post(b"X: x\nContent-Length: 5", body=b"hello")),
    ("after a bare CR", _post(b"X: x\rContent-Length: 5", body=b"hello")),
    ("name in two lines", _post(b"Content-Length", b": 5", body=b"hello")),
]

LINE_ENDS: Variants = [
    ("LF everywhere", b"GET / HTTP/1.1\nHost: example.org\n\n"),
    ("LF after the request line", b"GET / HTTP/1.1\nHost: example.org\r\n\r\n"),
    ("LF after a field", b"GET / HTTP/1.1\r\nHost: example.org\nX: y\r\n\r\n"),
    ("LF at the end", b"GET / HTTP/1.1\r\nHost: example.org\r\n\n"),
    ("LF LF at the end", b"GET / HTTP/1.1\r\nHost: example.org\n\n"),
    ("CR after the request line", b"GET / HTTP/1.1\rHost: example.org\r\n\r\n"),
    ("CR in the request line", b"GET /\r HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("CR in a value", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\rb\r\n\r\n"),
    ("CR before the end", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\r\r\n\r\n"),
    ("CR in a name", b"GET / HTTP/1.1\r\nHost: example.org\r\nX\r: a\r\n\r\n"),
    ("CR CR LF", b"GET / HTTP/1.1\r\r\nHost: example.org\r\r\n\r\r\n"),
    ("CR alone at the end", b"GET / HTTP/1.1\r\nHost: example.org\r\n\rX\r\n\r\n"),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\x00b\r\n\r\n"),
    ("NUL in a name", b"GET / HTTP/1.1\r\nHost: example.org\r\nX\x00: a\r\n\r\n"),
    ("NUL in the target", b"GET /\x00 HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("NUL first", b"\x00GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("two empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("LF first", b"\nGET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("vertical tab", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\x0bb\r\n\r\n"),
    ("delete", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\x7fb\r\n\r\n"),
    ("LF CR", b"GET / HTTP/1.1\n\rHost: example.org\n\r\n\r"),
    ("form feed for a line end", b"GET / HTTP/1.1\x0cHost: example.org\r\n\r\n"),
    ("next line (U+0085) for one", b"GET / HTTP/1.1\x85Host: example.org\r\n\r\n"),
    ("line separator (U+2028) for one", "GET / HTTP/1.1\u2028Host: a\r\n\r\n".encode()),
    (
        "LF before the second request",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\nGET /z HTTP/1.1\r\n\r\n",
    ),
    ("CR first", b"\rGET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("CR CR LF first", b"\r\r\nGET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    *(
        (f"control {number} in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a%cb\r\n\r\n" % number)
        for number in (1, 8, 0x0C, 0x0E, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F)
    ),
]

FOLDED: Variants = [
    ("a value", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\r\n b\r\n\r\n"),
    ("by a tab", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\r\n\tb\r\n\r\n"),
    ("into nothing", b"GET / HTTP/1.1\r\nHost: example.org\r\nX: a\r\n \r\n\r\n"),
    ("Host", b"GET / HTTP/1.1\r\nHost: exam\r\n ple.org\r\n\r\n"),
    ("Host from the first", b"GET / HTTP/1.1\r\nHost:\r\n example.org\r\n\r\n"),
    ("CL", _post(b"Content-Length: 1", b" 5", body=b"hello")),
    ("CL from the first", _post(b"Content-Length:", b"\t5", body=b"hello")),
    ("TE", _post(b"Transfer-Encoding: chun", b" ked")),
    ("TE behind another", _post(b"X: y", b" ,z", b"Transfer-Encoding: chunked")),
    ("the first line", b"GET / HTTP/1.1\r\n Host: example.org\r\n\r\n"),
    ("the first line by a tab", b"GET / HTTP/1.1\r\n\tX: y\r\nHost: example.org\r\n\r\n"),
]

NAMES: Variants = [
    (repr(line), b"GET / HTTP/1.1\r\nHost: example.org\r\n" + line + b"\r\n\r\n")
    for line in (
        b"X : y",
        b"X\t: y",
        b"X  : y",
        b": y",
        b" : y",
        b"X",
        b"X y",
        b"X y: z",
        *(b"X" + bytes((sign,)) + b"Y: z" for sign in b'(),/;<=>?@[\\]{}"'),
        b"\xc3\xa9: y",
        b"X\x80: y",
    )
]

HEAD_START: Variants = [
    ("a space", b"GET / HTTP/1.1\r\n Host: example.org\r\n\r\n"),
    ("a colon", b"GET / HTTP/1.1\r\n: example.org\r\nHost: example.org\r\n\r\n"),
    ("nothing", b"GET / HTTP/1.1\r\n\r\n"),
]

REQUEST_LINES: Variants = [
    ("HTTP/0.9", b"GET /\r\n\r\n"),
    ("HTTP/0.9 with fields", b"GET /\r\nHost: example.org\r\n\r\n"),
    ("no target", b"GET HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("nothing between", b"GET/HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("no space before the version", b"GET /HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    *(
        (f"{gap!r} for a space", b"GET%b/%bHTTP/1.1\r\nHost: example.org\r\n\r\n" % (gap, gap))
        for gap in (b"\x0b", b"\x0c", b"\r", b"\x00", b"\x1f", b"\x85", b"\xa0", b"+", b"%20")
    ),
    *(
        (f"a version of {version!r}", b"GET / %b\r\nHost: example.org\r\n\r\n" % version)
        for version in (
            b"HTTP/+1.1",
            b"HTTP/-1.1",
            b"HTTP/1.-1",
            b"HTTP/ 1.1",
            b"HTTP /1.1",
            b"HTTP/1 .1",
            b"HTTP/1. 1",
            b"HTTP/1.1.1",
            b"HTTP/1.",
            b"HTTP/.1",
            b"HTTP/",
            b"HTTP",
            b"HTTP/1.1\x00",
            b"HTTP/1.1\x0b",
            b"HTTP/1.1\t",
            b"HTTP/1.1;x",
            b"HTTP/1_1",
            b"HTTP/0x1.1",
            b"HTTP/1.\xb1",
            "HTTP/1.١".encode(),
            "ＨTTP/1.1".encode(),
            b"HTTP\\1.1",
            b"XHTTP/1.1",
            b"Http/1.1",
        )
    ),
    ("a quoted method", b'"GET" / HTTP/1.1\r\nHost: example.org\r\n\r\n'),
    ("a method not ASCII", "GÉT / HTTP/1.1\r\nHost: example.org\r\n\r\n".encode()),
    ("a method with a colon", b"GET: / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a chunk", b"5\r\nhello\r\n0\r\n\r\n"),
    ("two spaces", b"GET  / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("two spaces after", b"GET /  HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("space first", b" GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("space last", b"GET / HTTP/1.1 \r\nHost: example.org\r\n\r\n"),
    ("tabs", b"GET\t/\tHTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("space in the target", b"GET /a b HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("tab in the target", b"GET /a\tb HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("two requests", b"GET / HTTP/1.1 GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("odd method", b"G(T / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("empty method", b" / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("not ASCII", "GET /é HTTP/1.1\r\nHost: example.org\r\n\r\n".encode()),
    ("not UTF-8", b"GET /\xe9 HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: example.org\r\n\r\n"),
    ("HTTP/1.01", b"GET / HTTP/1.01\r\nHost: example.org\r\n\r\n"),
    ("HTTP/11", b"GET / HTTP/11\r\nHost: example.org\r\n\r\n"),
    ("HTTP/1", b"GET / HTTP/1\r\nHost: example.org\r\n\r\n"),
    ("HTTP/1,1", b"GET / HTTP/1,1\r\nHost: example.org\r\n\r\n"),
    ("HTTP/1.x", b"GET / HTTP/1.x\r\nHost: example.org\r\n\r\n"),
    ("lower case", b"GET / http/1.1\r\nHost: example.org\r\n\r\n"),
    ("HTTPS/1.1", b"GET / HTTPS/1.1\r\nHost: example.org\r\n\r\n"),
    ("a method of 65 bytes", b"G" * 65 + b" / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    ("PROXY v1", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("PROXY v2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12)),
    ("TLS", bytes.fromhex("16030100c8010000c40303") + bytes(range(200))),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("SMTP", b"EHLO example.org\r\n"),
]

OTHER_VERSIONS: Variants = [
    ("2.0", b"GET / HTTP/2.0\r\nHost: example.org\r\n\r\n"),
    ("3.0", b"GET / HTTP/3.0\r\nHost: example.org\r\n\r\n"),
    ("1.2", b"GET / HTTP/1.2\r\nHost: example.org\r\n\r\n"),
    ("0.9", b"GET / HTTP/0.9\r\nHost: example.org\r\n\r\n"),
    ("9.9", b"GET / HTTP/9.9\r\nHost: example.org\r\n\r\n"),
    ("0.0", b"GET / HTTP/0.0\r\nHost: example.org\r\n\r\n"),
    ("1.9", b"GET / HTTP/1.9\r\nHost: example.org\r\n\r\n"),
    ("2.1", b"GET / HTTP/2.1\r\nHost: example.org\r\n\r\n"),
    ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
]

TARGETS: Variants = [
    (repr(target[:60]), b"GET " + target + b" HTTP/1.1\r\nHost: example.org\r\n\r\n")
    for target in (
        b"*",
        b"example.org:80",
        b"example.org/x",
        b"x",
        b"?x",
        b"http:/x",
        b"http:",
        b"http://",
        b"http:///x",
        b"http://a b/",
        b"http://user@example.org/",
        b"http://user:secret@example.org/",
        b"http://a,b/",
        b"http://a:99999/",
        b"http://[::1/",
        b"http://::1/",
        b"http://a\\b/",
        b"ftp://example.org/",
        b"file:///etc/passwd",
        b"gopher://example.org/",
        b"javascript:alert(1)",
        b"/x#fragment",
        b"/x?y#fragment",
        b"/x\x7f",
        b"/x?\x00",
        b"http://./",
        b"http://.a/",
        b"http://a..b/",
        b"http://a%2fb/",
        b"http://a%00/",
        b"http://a:80:80/",
        b"http://a:b@c/",
        b"http://@a/",
        b"http://[::1]x/",
        b"http://[]/",
        b"http:\\\\a/",
        b"http://a\tb/",
        b"https://",
        b"://a/",
        b"ws://example.org/",
        b"data:,x",
        b"\\x",
        b"**",
        b"*/x",
        b"/*#",
        b"http://example.org/x#fragment",
        b"/#",
    )
]

_HOSTS = [
    b"Host: a,b",
    b"Host: a, b",
    b"Host: user@a",
    b"Host: user:secret@a",
    b"Host: a:99999",
    b"Host: a:65536",
    b"Host: a:-1",
    b"Host: a:+80",
    b"Host: a:8o",
    b"Host: a:80:80",
    b"Host: ::1",
    b"Host: fe80::1",
    b"Host: [::1",
    b"Host: ::1]",
    b"Host: [::1]x",
    b"Host: [g::1]",
    b"Host: []",
    b"Host: a%00",
    b"Host: a%2eb",
    b"Host: a%",
    b"Host: %61",
    b"Host: @a",
    b"Host: a@",
    b"Host: a,",
    b"Host: a:80,b:80",
    b"Host: a:80 b",
    b"Host: a: 80",
    b"Host: a :80",
    b"Host: a:0x50",
    b"Host: a:80a",
    b"Host: a:000080",
    b"Host: [::1]:99999",
    b"Host: [::1]]",
    b"Host: [[::1]]",
    b"Host: [::1%25eth0]",
    b"Host: [v1.x]",
    b"Host: a^b",
    b"Host: {a}",
    b"Host: a\x7f",
    b"Host: a\x0bb",
    b"Host: a\xa0",
    b"Host: a\r\nHost:",
    b"Host:\r\nHost: a",
    b"Host : a",
    b"Host: a\r\nHost : b",
    b"Host: a/b",
    b"Host: a\\b",
    b"Host: a b",
    b"Host: a#b",
    b"Host: a?b",
    b"Host: a;b",
    b"Host: <a>",
    b'Host: "a"',
    b"Host: .",
    b"Host: .a",
    b"Host: a..b",
    b"Host: a..",
    b"Host: -a",
    b"Host:",
    b"Host: http://a",
    b"Host: b\xc3\xbccher.example",
    b"Host: b\xfccher.example",
    b"Host: " + b"a" * 300,
    b"Host: a\r\nHost: a",
    b"Host: a\r\nHost: b",
    b"Host: a\r\nX: y\r\nhost: b",
    b"X: y",
]

HOSTS: Variants = [
    (repr(lines[:60]), b"GET / HTTP/1.1\r\n" + lines + b"\r\n\r\n") for lines in _HOSTS
]

PATHS: Variants = [
    (repr(path), b"GET " + path + b" HTTP/1.1\r\nHost: example.org\r\n\r\n")
    for path in (
        b"/admin%2fx",
        b"/admin%2Fx",
        b"/admin%5cx",
        b"/admin%5Cx",
        b"/admin%00",
        b"/%00",
        b"/..%2fadmin",
        b"/%2e%2e%2fadmin",
        b"/a\\b",
        b"/..\\admin",
        b"/%zz",
        b"/%",
        b"/%2",
        b"/%%32f",
        b"/%u002f",
        b"/..",
        b"/../",
        b"/../admin",
        b"/a/../../admin",
        b"/%2e%2e",
        b"/%2e%2e/admin",
        b"/.%2e/admin",
        b"/a/%2E%2E/%2e./admin",
        b"/%c0%af",
        b"/%c0%ae%c0%ae/admin",
        b"/%c1%9c",
        b"/%e0%80%af",
        b"/%e0%9f%bf",
        b"/%f0%80%80%af",
        b"/%f0%8f%bf%bf",
        b"/%f5%80%80%80",
        b"/%ff",
        b"/%fe",
        b"/%1",
        b"/%g0",
        b"/%0x41",
        b"/%+1",
        b"/%%31",
        b"/%%",
        b"/a%00.html",
        b"/a%2f%2e%2e%2fb",
        b"/a%5c..%5cb",
        b"/..%5cadmin",
        b"/a/..%2f..%2fadmin",
        b"/a/../..",
        b"/./..",
        b"/.//../x",
        b"/a/.%2e/%2e./%2e%2e",
        b"/a/..\\b",
        b"/%c0%2e%c0%2e/admin",
        b"/%f8%80%80%80%af",
        b"/%c0%80",
        # Some servers take off what follows a semicolon before they look for dots (CVE-2018-11759's
        # kind), and others after decoding.
        b"/public/..;/admin",
        b"/public/..;x=1/admin",
        b"/public/..;",
        b"/public/.;/admin",
        b"/public/%2e%2e;/admin",
        b"/public/..%3b/admin",
        b"/public/.%2E%3Bx/admin",
        b"/..;/admin",
    )
]
