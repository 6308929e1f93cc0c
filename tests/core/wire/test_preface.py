import struct
from ipaddress import IPv4Address, IPv6Address

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support import messages
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.preface import (
    LONGEST_V1,
    LONGEST_V2,
    SIGNATURE,
    UNIX,
    Endpoint,
    Preface,
    crc32c,
    own_preface,
    read_preface,
    write_preface,
)

A, B = Endpoint("192.0.2.1", 40000), Endpoint("198.51.100.2", 443)
A6, B6 = Endpoint("2001:db8::1", 40000), Endpoint("2001:db8::2", 443)
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n"
ADDRESSES = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 40000, 443)


def binary(block: bytes, kind: int = 0x11, command: int = 0x21) -> bytes:
    """A version 2 header of `block`."""
    return SIGNATURE + bytes([command, kind]) + len(block).to_bytes(2) + block


def extension(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2) + value


def checked(block: bytes, kind: int = 0x11) -> bytes:
    """A version 2 header with a right checksum at its end."""
    blank = binary(block + extension(3, bytes(4)), kind)
    return blank[:-4] + crc32c(blank).to_bytes(4)


def read_in_pieces(wire: bytes, cuts: list[int]) -> Preface | str | None:
    """As a connection does: what is there, again and again; an error by its kind."""
    buffer = b""
    for piece in messages.pieces(wire, cuts):
        buffer += piece
        try:
            preface = read_preface(buffer)
        except ProtocolError as problem:
            return problem.kind
        if preface is not None:
            return preface
    return None


PORTS = st.integers(0, 65535)
HOSTS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ENDS = st.builds(Endpoint, HOSTS, PORTS)


def plain(end: Endpoint) -> Endpoint:
    ip = IPv6Address(end.host) if ":" in end.host else IPv4Address(end.host)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return Endpoint(str(mapped or ip), end.port)


class ReadingTests(SynchronousTestCase):
    def refused(self, wire: bytes) -> str:
        return self.assertRaises(ProtocolError, read_preface, wire).kind

    def test_the_line_of_version_1(self) -> None:
        self.assertEqual(read_preface(V1 + b"GET"), Preface(len(V1), A, B))

    def test_the_line_with_ipv6(self) -> None:
        line = b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 40000 443\r\n"
        self.assertEqual(read_preface(line), Preface(len(line), A6, B6))

    def test_unknown_keeps_the_peer(self) -> None:
        """Section 2.1: what follows UNKNOWN is ignored."""
        long = b"PROXY UNKNOWN " + b"ffff:" * 18 + b"\r\n"
        for line in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN \r\n", b"PROXY UNKNOWN a b\r\n", long):
            self.assertEqual(read_preface(line), Preface(len(line)), line)

    def test_the_longest_line(self) -> None:
        """Section 2.1: 107 bytes, CRLF included."""
        line = b"PROXY UNKNOWN ".ljust(LONGEST_V1 - 2, b"x") + b"\r\n"
        self.assertEqual(read_preface(line), Preface(LONGEST_V1))
        self.assertEqual(self.refused(line[:-2] + b"x\r\n"), "length")
        self.assertEqual(self.refused(line[:-2] + b"xx"), "length")

    def test_refuses_malformed_lines(self) -> None:
        for line in (
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\n",
            b"PROXY TCP4  192.0.2.1 198.51.100.2 40000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 \r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 040000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            b"PROXY TCP4 192.0.2.01 198.51.100.2 40000 443\r\n",
            b"PROXY TCP4 192.0.2.256 198.51.100.2 40000 443\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 40000 443\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.2 40000 443\r\n",
            b"PROXY TCP6 fe80::1%eth0 2001:db8::2 40000 443\r\n",
            b"PROXY TCP5 192.0.2.1 198.51.100.2 40000 443\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.2 40000 443\r\n",
            b"PROXY UNKNOWNx\r\n",
            b"PROXY UNKNOWN a\rb\r\n",
            b"PROXY \r\n",
        ):
            with self.assertRaises(ProtocolError, msg=line):
                read_preface(line)

    def test_refuses_what_is_no_header_at_its_first_wrong_byte(self) -> None:
        for wire in (b"G", b"GET / HTTP/1.1\r\n\r\n", b"PROXX", b"proxy ", b"\r\n\r\nx", b"\x16"):
            self.assertEqual(self.refused(wire), "signature", wire)

    def test_the_binary_header(self) -> None:
        wire = binary(ADDRESSES)
        self.assertEqual(read_preface(wire + b"GET"), Preface(len(wire), A, B))

    def test_the_binary_header_with_ipv6(self) -> None:
        block = IPv6Address(A6.host).packed + IPv6Address(B6.host).packed + ADDRESSES[-4:]
        wire = binary(block, 0x21)
        self.assertEqual(read_preface(wire), Preface(len(wire), A6, B6))

    def test_an_address_has_one_spelling(self) -> None:
        """Else a client is another one to limits and access lists when it comes over IPv6."""
        for wire in (
            b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 40000 443\r\n",
            binary(
                IPv6Address("::ffff:192.0.2.1").packed
                + IPv6Address("::ffff:198.51.100.2").packed
                + ADDRESSES[-4:],
                0x21,
            ),
        ):
            self.assertEqual(read_preface(wire), Preface(len(wire), A, B))

    def test_unix_sockets_have_no_address(self) -> None:
        """Their paths may be any bytes, which nobody gets to see."""
        wire = binary(b'/tmp/"\n'.ljust(108, b"\0") + b"\xff" * 108, 0x31)
        self.assertEqual(read_preface(wire), Preface(len(wire), UNIX, UNIX))

    def test_local_keeps_the_peer(self) -> None:
        """Section 2.2: whatever else it says is discarded, its family and checksum too."""
        for wire in (
            binary(b"", 0, 0x20),
            binary(ADDRESSES, 0x11, 0x20),
            binary(b"\x03", 0xFF, 0x20),
        ):
            self.assertEqual(read_preface(wire), Preface(len(wire)))

    def test_unspecified_and_datagrams_keep_the_peer(self) -> None:
        for kind in (0x00, 0x01, 0x10, 0x12):
            wire = binary(ADDRESSES if kind > 0xF else b"", kind)
            self.assertEqual(read_preface(wire), Preface(len(wire)), hex(kind))

    def test_refuses_what_the_document_leaves_open(self) -> None:
        """Section 2.2: receivers must drop connections presenting unexpected values."""
        for wire, kind in (
            (binary(ADDRESSES, 0x41), "family"),
            (binary(ADDRESSES, 0x13), "family"),
            (binary(ADDRESSES, 0x11, 0x22), "command"),
            (binary(ADDRESSES, 0x11, 0x11), "command"),
            (binary(ADDRESSES[:-1]), "address"),
            (binary(ADDRESSES, 0x21), "address"),
            (binary(ADDRESSES + b"\x04"), "extension"),
            (binary(ADDRESSES + b"\x04\x00"), "extension"),
            (binary(ADDRESSES + b"\x04\x00\x02x"), "extension"),
        ):
            self.assertEqual(self.refused(wire), kind, wire)

    def test_refuses_another_command_at_once(self) -> None:
        self.assertEqual(self.refused(SIGNATURE + b"\x22"), "command")

    def test_the_size_is_bounded(self) -> None:
        """It is refused by its announced length, before its bytes come."""
        over = SIGNATURE + b"\x21\x11" + (LONGEST_V2 + 1).to_bytes(2)
        self.assertEqual(self.refused(over), "length")
        room = LONGEST_V2 - len(ADDRESSES) - 3
        wire = binary(ADDRESSES + extension(4, bytes(room)))
        self.assertEqual(read_preface(wire), Preface(16 + LONGEST_V2, A, B))

    def test_the_checksum_is_verified(self) -> None:
        block = ADDRESSES + extension(0x05, b"unique")
        wire = checked(block)
        self.assertEqual(read_preface(wire), Preface(len(wire), A, B))
        for n in set(range(16, len(wire))) - {len(wire) - 7}:  # there is none without its type
            broken = wire[:n] + bytes([wire[n] ^ 1]) + wire[n + 1 :]
            with self.assertRaises(ProtocolError, msg=n):
                read_preface(broken)

    def test_one_checksum_is_enough(self) -> None:
        wire = binary(ADDRESSES + extension(3, bytes(4)) * 2)
        self.assertEqual(self.refused(wire), "checksum")
        self.assertEqual(self.refused(binary(ADDRESSES + extension(3, b"abc"))), "checksum")

    def test_castagnolis_crc(self) -> None:
        """RFC 3720 appendix B.4."""
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)
        self.assertEqual(crc32c(b"\xff" * 32), 0x62A8AB43)
        self.assertEqual(crc32c(bytes(range(32))), 0x46DD794E)

    @given(
        st.one_of(
            st.sampled_from((V1, b"PROXY UNKNOWN x\r\n", binary(ADDRESSES), checked(ADDRESSES))),
            st.builds(lambda tail: SIGNATURE + b"\x21" + tail, st.binary(max_size=60)),
            st.builds(lambda tail: b"PROXY " + tail, st.binary(max_size=120)),
            st.binary(max_size=40),
        ),
        st.binary(max_size=8),
        messages.CUTS,
    )
    @example(b"PROXY UNKNOWN " + b"x" * 93, b"", [106])
    def test_may_be_split_anywhere(self, wire: bytes, rest: bytes, cuts: list[int]) -> None:
        """Any bytes are a header, the beginning of one, or refused; however they come."""
        whole = read_in_pieces(wire + rest, [])
        self.assertEqual(read_in_pieces(wire + rest, cuts), whole)
        if isinstance(whole, Preface):
            self.assertLessEqual(whole.length, len(wire + rest))


class WritingTests(SynchronousTestCase):
    @given(ENDS, ENDS, st.sampled_from(("v1", "v2")))
    def test_what_is_written_is_read(
        self, source: Endpoint, destination: Endpoint, version: str
    ) -> None:
        wire = write_preface(version, source, destination)  # type: ignore[arg-type]
        self.assertEqual(read_preface(wire), Preface(len(wire), plain(source), plain(destination)))

    def test_the_bytes(self) -> None:
        self.assertEqual(write_preface("v1", A, B), V1)
        self.assertEqual(write_preface("v2", A, B), binary(ADDRESSES))

    def test_two_families_become_one(self) -> None:
        self.assertEqual(
            write_preface("v1", A6, B), b"PROXY TCP6 2001:db8::1 ::ffff:198.51.100.2 40000 443\r\n"
        )

    def test_a_zone_stays_here(self) -> None:
        source = Endpoint("fe80::1%eth0", 1)
        self.assertEqual(
            write_preface("v1", source, B6), b"PROXY TCP6 fe80::1 2001:db8::2 1 443\r\n"
        )

    def test_who_has_no_address_is_unknown(self) -> None:
        self.assertEqual(write_preface("v1", UNIX, B), b"PROXY UNKNOWN\r\n")
        self.assertEqual(write_preface("v2", A, UNIX), binary(b"", 0))

    def test_our_own_connections_are_nobodys(self) -> None:
        self.assertEqual(own_preface("v1"), b"PROXY UNKNOWN\r\n")
        self.assertEqual(own_preface("v2"), binary(b"", 0, 0x20))
