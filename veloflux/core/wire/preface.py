"""Whose connection is it, really? The PROXY protocol's header, read and written.

Source: HAProxy's doc/proxy-protocol.txt (2020/03/05): version 1 is a line of text, version 2 is
binary. What it leaves to the receiver is refused here: a peer that is believed must be clear.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from re import compile as pattern
from typing import Literal, NamedTuple

from veloflux.core.wire.error import bad_request

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# With its CRLF: the worst case that section 2.1 counts out.
LONGEST_V1 = 107
# Addresses and extensions of a version 2 header. The document allows 64 KiB; what is known to be
# sent, certificates' names and cookies of clouds included, is some hundred bytes.
LONGEST_V2 = 4096
_HEADER = 16
_BEGINNING = b"PROXY "
_LINE = pattern(
    rb"PROXY TCP([46]) ([0-9A-Fa-f.:]{2,45}) ([0-9A-Fa-f.:]{2,45}) "
    rb"(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
# What follows UNKNOWN is to be ignored, but no line holds another line's end.
_UNKNOWN = pattern(rb"PROXY UNKNOWN(?: [^\r\n\0]*)?\r\n")
# Bytes of both addresses with their ports, by family.
_SIZES = {0: 0, 1: 12, 2: 36, 3: 216}
_STREAM, _DATAGRAM = 1, 2
_CRC32C = 3


class Endpoint(NamedTuple):
    """One end of a connection; a Unix socket's is UNIX: its path can be any bytes."""

    host: str
    port: int


UNIX = Endpoint("unix:", 0)


class Preface(NamedTuple):
    """What a header of `length` bytes says; `source` and `destination` are None where it leaves
    the connection's own addresses in force."""

    length: int
    source: Endpoint | None = None
    destination: Endpoint | None = None


def read_preface(buffer: bytes) -> Preface | None:
    """Read the header at the start of `buffer`; None when more bytes are needed.

    Raises ProtocolError for anything that is no header, or cannot become one.
    """
    if buffer.startswith(SIGNATURE):
        return _read_binary(buffer)
    if SIGNATURE.startswith(buffer):
        return None
    if not buffer.startswith(_BEGINNING[: len(buffer)]):
        raise bad_request("signature", "The connection does not begin with a PROXY header.")
    end = buffer.find(b"\n", 0, LONGEST_V1)
    if end < 0:
        if len(buffer) >= LONGEST_V1:
            raise bad_request("length", "The PROXY line has no end.")
        return None
    return _read_text(buffer[: end + 1])


def _read_text(line: bytes) -> Preface:
    match = _LINE.fullmatch(line)
    if match is None:
        if _UNKNOWN.fullmatch(line) is None:
            raise bad_request("line", "The PROXY line is malformed.")
        return Preface(len(line))
    family, *hosts = match.groups()[:3]
    ports = [int(port) for port in match.groups()[3:]]
    kind = IPv4Address if family == b"4" else IPv6Address
    try:
        ends = [
            Endpoint(_plain(kind(host.decode())), port)
            for host, port in zip(hosts, ports, strict=True)
        ]
    except ValueError:
        raise bad_request("address", "The PROXY line has no valid address.") from None
    if max(ports) > 65535:
        raise bad_request("address", "The PROXY line has a port over 65535.")
    return Preface(len(line), *ends)


def _read_binary(buffer: bytes) -> Preface | None:
    if len(buffer) > 12:
        version, command = divmod(buffer[12], 16)
        if version != 2 or command > 1:
            raise bad_request("command", "The PROXY header has an unknown version or command.")
    if len(buffer) < _HEADER:
        return None
    size = int.from_bytes(buffer[14:16])
    if size > LONGEST_V2:
        raise bad_request("length", f"The PROXY header is over {LONGEST_V2} bytes.")
    end = _HEADER + size
    if len(buffer) < end:
        return None
    if buffer[12] == 0x20:
        # LOCAL: the sender speaks for itself, and all the rest is to be discarded.
        return Preface(end)
    family, transport = divmod(buffer[13], 16)
    if family not in _SIZES or transport > _DATAGRAM:
        raise bad_request("family", "The PROXY header has an unknown family or transport.")
    if size < _SIZES[family]:
        raise bad_request("address", "The PROXY header has no room for its addresses.")
    _check_extensions(buffer[:end], _HEADER + _SIZES[family])
    if transport != _STREAM or not family:
        # Unspecified, or of datagrams: it is not this connection that is meant.
        return Preface(end)
    return Preface(end, *_ends(family, buffer[_HEADER:end]))


def _ends(family: int, block: bytes) -> tuple[Endpoint, Endpoint]:
    if family == 3:
        return UNIX, UNIX
    size = 4 if family == 1 else 16
    kind = IPv4Address if family == 1 else IPv6Address
    source, destination = _plain(kind(block[:size])), _plain(kind(block[size : 2 * size]))
    ports = block[2 * size : 2 * size + 4]
    return (
        Endpoint(source, int.from_bytes(ports[:2])),
        Endpoint(destination, int.from_bytes(ports[2:])),
    )


def _check_extensions(header: bytes, at: int) -> None:
    """Walk the type-length-value vectors (section 2.2) from `at`; verify a checksum among them."""
    seen = False
    while at < len(header):
        value = at + 3
        after = value + int.from_bytes(header[at + 1 : value])
        if value > len(header) or after > len(header):
            raise bad_request("extension", "The PROXY header has an extension that is cut off.")
        if header[at] == _CRC32C:
            if seen or after - value != 4:
                raise bad_request("checksum", "The PROXY header has a malformed checksum.")
            seen = True
            blank = header[:value] + bytes(4) + header[after:]
            if crc32c(blank) != int.from_bytes(header[value:after]):
                raise bad_request("checksum", "The PROXY header's checksum is wrong.")
        at = after


def _plain(ip: IPv4Address | IPv6Address) -> str:
    """One client, one spelling: an IPv4 address in IPv6's clothes is the IPv4 address."""
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return str(mapped or ip)


def own_preface(version: Literal["v1", "v2"]) -> bytes:
    """The header for a connection of our own, such as a health check's: on nobody's behalf."""
    return b"PROXY UNKNOWN\r\n" if version == "v1" else SIGNATURE + b"\x20\0\0\0"


def write_preface(version: Literal["v1", "v2"], source: Endpoint, destination: Endpoint) -> bytes:
    """The header that says whose connection it is.

    An end without an address makes it one of an unknown kind: the client is then not ourselves,
    but nothing can be said of it. With ends of both families the IPv4 one is written as IPv6.
    """
    try:
        ends = [ip_address(_unscoped(end.host)) for end in (source, destination)]
    except ValueError:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else SIGNATURE + b"\x21\0\0\0"
    hosts = [_plain(ip) for ip in ends]
    is_v4 = not any(":" in host for host in hosts)
    if not is_v4:
        hosts = [host if ":" in host else "::ffff:" + host for host in hosts]
    if version == "v1":
        ports = f"{source.port} {destination.port}"
        return f"PROXY TCP{4 if is_v4 else 6} {hosts[0]} {hosts[1]} {ports}\r\n".encode("ascii")
    block = b"".join(ip_address(host).packed for host in hosts)
    block += source.port.to_bytes(2) + destination.port.to_bytes(2)
    return SIGNATURE + (b"\x21\x11" if is_v4 else b"\x21\x21") + len(block).to_bytes(2) + block


def _unscoped(host: str) -> str:
    """Less its zone (RFC 4007), which means nothing on another host."""
    return host.partition("%")[0]


def _remainders() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_REMAINDERS = _remainders()


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC (RFC 3720 appendix B.4 has examples)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _REMAINDERS[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
