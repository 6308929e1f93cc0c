import contextlib

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.hello import LONGEST, Reader

NAME = b"shop.example.org"


def real(name: bytes | None = NAME, version: int = SSL.TLS1_3_VERSION) -> bytes:
    """What OpenSSL says first."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    if name is not None:
        client.set_tlsext_host_name(name)
    with contextlib.suppress(SSL.WantReadError):
        client.do_handshake()
    return client.bio_read(1 << 16)


def record(content: bytes, kind: int = 22) -> bytes:
    return bytes([kind, 3, 1]) + len(content).to_bytes(2) + content


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + len(content).to_bytes(2) + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    entry = bytes([kind]) + len(name).to_bytes(2) + name
    return extension(0, len(entry).to_bytes(2) + entry)


def hello(
    *extensions: bytes,
    version: bytes = b"\x03\x03",
    session: bytes = b"",
    suites: bytes = b"\x13\x01",
    compression: bytes = b"\0",
    rest: bytes = b"",
) -> bytes:
    body = version + bytes(32) + bytes([len(session)]) + session
    body += len(suites).to_bytes(2) + suites + bytes([len(compression)]) + compression
    if extensions:
        together = b"".join(extensions)
        body += len(together).to_bytes(2) + together
    body += rest
    return b"\x01" + len(body).to_bytes(3) + body


def read(wire: bytes) -> bytes | None:
    return Reader().feed(wire)


def kind_of(wire: bytes) -> str:
    try:
        found = read(wire)
    except ProtocolError as problem:
        return problem.kind
    raise AssertionError(f"it was read: {found!r}")


class Hellos(SynchronousTestCase):
    def test_of_openssl(self) -> None:
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertEqual(read(real(version=version)), NAME)
            self.assertEqual(read(real(None, version)), b"")

    def test_need_all_of_it(self) -> None:
        wire = real()
        reader = Reader()
        for byte in wire[:-1]:
            self.assertIsNone(reader.feed(bytes([byte])))
        self.assertEqual(reader.feed(wire[-1:]), NAME)

    def test_in_several_records(self) -> None:
        message = real()[5:]
        for size in (1, 3, 4, 5, 100):
            pieces = [message[at : at + size] for at in range(0, len(message), size)]
            self.assertEqual(read(b"".join(map(record, pieces))), NAME)

    def test_with_what_comes_after(self) -> None:
        """Early data (RFC 8446 section 2.3) is for the backend to refuse."""
        self.assertEqual(read(real() + record(b"early", 23)), NAME)

    def test_without_extensions(self) -> None:
        self.assertEqual(read(record(hello())), b"")
        self.assertEqual(read(record(hello(b""))), b"")

    def test_names_are_told_as_they_came(self) -> None:
        """T1: what to make of them is another's."""
        for name in (b"a", b"192.0.2.1", b"a\0b", b"x" * 4000):
            self.assertEqual(read(record(hello(server_name(name)))), name)


class Malformed(SynchronousTestCase):
    """T1, T4"""

    def test_no_tls_at_all(self) -> None:
        for wire in (
            b"G",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x80\x2e\x01",
            b"\x16\x02",
            b"\x17\x03\x03",
        ):
            self.assertEqual(kind_of(wire), "not_tls", wire)

    def test_no_hello(self) -> None:
        good = server_name(b"a")
        for wire in (
            record(b"\x02" + hello()[1:]),
            record(hello(version=b"\x02\0")),
            record(hello(session=bytes(33))),
            record(hello(suites=b"")),
            record(hello(suites=b"\0\0\0")),
            record(hello(compression=b"")),
            record(hello(good, good)),
            record(hello(good, rest=b"x")),
            record(hello(server_name(b""))),
            record(hello(server_name(b"a", kind=1))),
            record(hello(extension(0, b""))),
            record(hello(extension(0, b"\0\x04\0\0\x01ax"))),
            record(hello(extension(0, b"\0\x08\0\0\x01a\0\0\x01b"))),
            record(hello(good[:-1])),
            record(hello() + b"\x01"),
            record(hello()[:1] + b"\0\0\x01\x03"),
            record(b""),
            b"\x16\x03\x01\x40\x01",
            record(b"\x01\x00\x40\x00"),
            record(b"\x01\xff\xff\xff"),
        ):
            self.assertEqual(kind_of(wire), "hello", wire)

    def test_as_soon_as_it_is_impossible(self) -> None:
        """No deadline is waited for."""
        for wire in (b"H", b"\x16\x04", b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\0\0"):
            self.assertIn(kind_of(wire), ("not_tls", "hello"))

    def test_is_bounded(self) -> None:
        longest = hello(extension(99, bytes(LONGEST - 4 - 41 - 2 - 4)))
        self.assertEqual(len(longest), LONGEST)
        self.assertEqual(read(record(longest)), b"")
        longer = hello(extension(99, bytes(LONGEST - 4 - 41 - 2 - 3)))
        self.assertEqual(kind_of(record(longer[:100])), "hello")

    @given(st.binary(max_size=600), st.integers(0, 600))
    def test_anything_is_read_or_refused(self, wire: bytes, at: int) -> None:
        for content in (wire, record(b"\x01" + len(wire).to_bytes(3) + wire)):
            try:
                whole: object = read(content)
            except ProtocolError as problem:
                whole = problem.kind
            reader = Reader()
            try:
                split: object = reader.feed(content[:at])
                if split is None:
                    split = reader.feed(content[at:]) if content[at:] else None
            except ProtocolError as problem:
                split = problem.kind
            self.assertEqual(split, whole)

    @given(st.data())
    def test_a_damaged_one_is_read_or_refused(self, data: st.DataObject) -> None:
        wire = bytearray(hello(server_name(b"example.org"), extension(16, b"\0\x03\x02h2")))
        for _ in range(data.draw(st.integers(1, 3))):
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
        try:
            found = read(record(bytes(wire)))
        except ProtocolError:
            return
        self.assertTrue(found is None or len(found) <= len(wire))
