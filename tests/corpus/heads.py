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


def odd_bytes_around_transfer_encoding() -> Iterator[tuple[str, bytes]]:
    """Each control and each byte over 0x7e in each of four places, but for tabs after the colon,
    which are white space."""
    places = (
        b"%sTransfer-Encoding: chunked",
        b"Transfer-Encoding%s: chunked",
        b"Transfer-Encoding:%schunked",
        b"Transfer-Encoding: chunked%s",
    )
    for number in (*range(0x20), *range(0x7F, 0x100)):
        for place in places:
            if number == 9 and place.index(b"%s") > place.index(b":"):
                continue
            line = place.replace(b"%s", bytes((number,)))
            yield repr(line), _post(line)


TE_OBFUSCATED: Variants = [
    *odd_bytes_around_transfer_encoding(),
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
]

LENGTHS: Variants = [
    (repr(value[:40]), _post(b"Content-Length: " + value, body=b"hello")) for value in _LENGTHS
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
    )
]
