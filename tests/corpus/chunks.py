"""Chunked bodies: those that must be refused, and those that are good in an unusual form.

What is refused comes from RFC 9112 section 7.1 and from reports of parsers that took it.
"""

Bodies = list[tuple[str, bytes]]

SIZES: Bodies = [
    (repr(size[:40]), size + b"\r\nhello\r\n0\r\n\r\n")
    for size in (
        b"0x5",
        b"0X5",
        b"+5",
        b"-5",
        b"-0",
        b"5 ",
        b"5\t",
        b" 5",
        b"\t5",
        b"5_0",
        b"0_5",
        b"g",
        b"5g",
        b"5h",
        b"#5",
        b"$5",
        b"5.0",
        b"5,",
        b"'5'",
        b"\xb2",
        "٥".encode(),
        b"5\x00",
        b"\x005",
        b"5\x0b",
        b"5\x0c",
        b"5\x85",
        b"5\xa0",
        b"",
        b"\r\n5",
        b"0" * 16 + b"5",
        b"0" * 1000 + b"5",
        b"f" * 16,
        b"f" * 17,
        b"8" + b"0" * 15,
        b"1" + b"0" * 16,
        b"f" * 4000,
    )
]

ENDS: Bodies = [
    ("LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    ("CR after the size", b"5\rhello\r\n0\r\n\r\n"),
    ("CR CR LF after the size", b"5\r\r\nhello\r\n0\r\n\r\n"),
    ("two bytes too many", b"5\r\nhelloXX0\r\n\r\n"),
    ("too long", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("too short", b"5\r\nhell\r\n0\r\n\r\n"),
    ("LF after the chunk", b"5\r\nhello\n0\r\n\r\n"),
    ("LF LF after the chunk", b"5\r\nhello\n\n0\r\n\r\n"),
    ("CR after the chunk", b"5\r\nhello\r0\r\n\r\n"),
    ("nothing after the chunk", b"5\r\nhello0\r\n\r\n"),
    ("LF after the last size", b"5\r\nhello\r\n0\n\r\n"),
    ("LF at the very end", b"5\r\nhello\r\n0\r\n\n"),
    ("LF LF at the end", b"5\r\nhello\r\n0\n\n"),
    ("a request at the end", b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a request after the last size", b"0\r\nGET /x HTTP/1.1\r\n\r\n"),
    ("CR within the end", b"0\r\n\rX"),
]

EXTENSIONS: Bodies = [
    ("LF in one", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("CR in one", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("LF after one", b"5;a\nhello\r\n0\r\n\r\n"),
    ("NUL in one", b"5;a\x00\r\nhello\r\n0\r\n\r\n"),
    ("control in one", b"5;a\x07\r\nhello\r\n0\r\n\r\n"),
    ("no name", b"5;\r\nhello\r\n0\r\n\r\n"),
    ("no value", b"5;a=\r\nhello\r\n0\r\n\r\n"),
    ("no name but a value", b"5;=b\r\nhello\r\n0\r\n\r\n"),
    ("two at once", b"5;;\r\nhello\r\n0\r\n\r\n"),
    ("space alone", b"5 a\r\nhello\r\n0\r\n\r\n"),
    ("a space at the end", b"5;a \r\nhello\r\n0\r\n\r\n"),
    ("quoted CRLF", b'5;a="x\r\ny"\r\nhello\r\n0\r\n\r\n'),
    ("quoted and escaped CRLF", b'5;a="x\\\r\ny"\r\nhello\r\n0\r\n\r\n'),
    ("quote without an end", b'5;a="x\r\nhello\r\n0\r\n\r\n'),
    ("comma", b"5,a\r\nhello\r\n0\r\n\r\n"),
    ("257 bytes", b"5;" + b"a" * 256 + b"\r\nhello\r\n0\r\n\r\n"),
    ("a megabyte", b"5;" + b"a" * 2**20 + b"\r\nhello\r\n0\r\n\r\n"),
    ("a megabyte after the last size", b"0;" + b"a" * 2**20 + b"\r\n\r\n"),
    (
        "thousands on a byte each",
        b"1;" + b"x" * 100 + b"\r\na\r\n" + (b"1;" + b"x" * 100 + b"\r\na\r\n") * 5000,
    ),
]

TRAILERS: Bodies = [
    ("no colon", b"0\r\nX\r\n\r\n"),
    ("space before the colon", b"0\r\nX : y\r\n\r\n"),
    ("folded", b"0\r\nX: y\r\n z\r\n\r\n"),
    ("LF", b"0\r\nX: y\nZ: w\r\n\r\n"),
    ("CR", b"0\r\nX: y\rZ: w\r\n\r\n"),
    ("NUL", b"0\r\nX: \x00\r\n\r\n"),
    ("no name", b"0\r\n: y\r\n\r\n"),
    ("space first", b"0\r\n X: y\r\n\r\n"),
    ("too long", b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n"),
    ("too many", b"0\r\n" + b"X: y\r\n" * 3000 + b"\r\n"),
    ("ten megabytes", b"0\r\nX: " + b"y" * 10 * 2**20),
]

# Each of these is `hello`.
GOOD: Bodies = [
    ("plain", b"5\r\nhello\r\n0\r\n\r\n"),
    ("leading zeros", b"000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("many zeros at the end", b"5\r\nhello\r\n000000000000000\r\n\r\n"),
    ("a byte each", b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + b"0\r\n\r\n"),
    ("an extension", b"5;a\r\nhello\r\n0\r\n\r\n"),
    ("an extension with a value", b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    ("a quoted value", b'5;a="b; \\" c"\r\nhello\r\n0\r\n\r\n'),
    ("two extensions", b"5;a=b;c\r\nhello\r\n0\r\n\r\n"),
    ("white space around", b'5 ; a = b\t;c="d"\r\nhello\r\n0\r\n\r\n'),
    ("an extension of 256 bytes", b"5;" + b"a" * 255 + b"\r\nhello\r\n0\r\n\r\n"),
    ("an extension at the end", b"5\r\nhello\r\n0;a=b\r\n\r\n"),
    ("a trailer", b"5\r\nhello\r\n0\r\nX-T: y\r\n\r\n"),
]
