"""Field blocks into HPACK (RFC 7541), without a dynamic table.

A block is then a function of its lines alone: what was made for one connection serves
all, nothing is kept for any, and the peer's table size does not matter. It is some hundred bytes
longer than it could be (nginx does the same).
"""

import re
from functools import lru_cache

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from veloflux.core.wire import grammar
from veloflux.core.wire.error import bad_answer

# Begins a connection's first block: from here on the table's size is 0 (section 6.3), which is
# never over what the peer allows.
NO_TABLE = b"\x20"

_BY_NAME = {name: found[0] for name, found in HeaderTable.STATIC_TABLE_MAPPING.items()}
_WHOLE = {entry: index for index, entry in enumerate(HeaderTable.STATIC_TABLE, 1) if entry[1]}
_CODER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
# Of the connection, not of the message (RFC 9113 section 8.2.2).
_DROPPED = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
# A request may say of its connection that it takes trailers; its host has another name there.
_DROPPED_OF_REQUESTS = (_DROPPED - {b"te"}) | {b"host"}
# Values that come again and again are worth the work of Huffman's code; they are remembered.
_STEADY = frozenset(
    (
        b"accept-ranges",
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"alt-svc",
        b"cache-control",
        b"content-encoding",
        b"content-security-policy",
        b"content-type",
        b"date",
        b"referrer-policy",
        b"server",
        b"strict-transport-security",
        b"vary",
        b"via",
        b"x-content-type-options",
        b"x-frame-options",
        b"x-powered-by",
    )
)
_LONGEST_STEADY = 128
# Bytes of lines that are remembered as a block.
_LONGEST_BLOCK = 1024
_HOST = re.compile(rb"Host:[\t ]*+([^\r]*+)\r\n")
_ID = b"X-Request-ID: "


def answer_block(status: bytes, lines: bytes, request_id: bytes = b"") -> bytes:
    """The block of an answer's head: `status` is three digits, `lines` are field lines as HTTP/1.1
    has them, of which those that speak of the connection are left out.

    Raises ProtocolError 502 for lines that are none.
    """
    fixed = _remembered(status, lines) if len(lines) <= _LONGEST_BLOCK else _pack(status, lines)
    return fixed + _REQUEST_ID + _string(request_id) if request_id else fixed


def request_block(prelude: bytes, scheme: bytes, request_id: bytes, more: bytes = b"") -> bytes:
    """The block of a request's head: `prelude` is what HTTP/1.1 has up to the value of
    X-Request-ID, the name in its last line; `more` are further field lines.

    Raises ProtocolError 502 for what is no such head.
    """
    read = _asked if len(prelude) <= _LONGEST_BLOCK else _ask
    block = read(prelude, scheme) + _REQUEST_ID + _string(request_id)
    return block + _fields(more, _DROPPED_OF_REQUESTS) if more else block


def _ask(prelude: bytes, scheme: bytes) -> bytes:
    end = prelude.find(b"\r\n")
    match = grammar.REQUEST_LINE.fullmatch(prelude, 0, end)
    if match is None or not prelude.endswith(_ID):
        raise bad_answer("field", "The request for the backend has a malformed head.")
    lines = prelude[end + 2 : -len(_ID)]
    host = _HOST.match(lines)
    packed = [_field(b":method", match[1]), _field(b":scheme", scheme)]
    if host is not None and host[1]:
        packed.append(_field(b":authority", host[1]))
    packed.append(_field(b":path", match[2]))
    return b"".join(packed) + _fields(lines, _DROPPED_OF_REQUESTS)


_asked = lru_cache(maxsize=512)(_ask)


def trailer_block(lines: bytes) -> bytes:
    """The block of trailers; raises ProtocolError 502 for lines that are none."""
    return _pack(b"", lines)


def _pack(status: bytes, lines: bytes) -> bytes:
    return (_field(b":status", status) if status else b"") + _fields(lines, _DROPPED)


def _fields(lines: bytes, dropped: frozenset[bytes]) -> bytes:
    # The one place where lines become fields: what is not a line by the strict grammar ends here.
    if grammar.FIELDS.fullmatch(b"\n%b\r\n" % lines) is None:
        raise bad_answer("field", "There is a malformed header line.")
    packed = []
    for match in grammar.ANY_FIELD.finditer(lines):
        name = match[1].lower()
        if name not in dropped:
            packed.append(_field(name, match[2].strip(b" \t")))
    return b"".join(packed)


_remembered = lru_cache(maxsize=512)(_pack)


def _field(name: bytes, value: bytes) -> bytes:
    if name in _STEADY and len(value) <= _LONGEST_STEADY:
        return _steady(name, value)
    index = _WHOLE.get((name, value))
    if index is not None:
        return _number(index, 0x80, 0x7F)
    return _named(name) + _string(value)


@lru_cache(maxsize=1024)
def _steady(name: bytes, value: bytes) -> bytes:
    return _named(name) + _coded(value)


@lru_cache(maxsize=512)
def _named(name: bytes) -> bytes:
    """How a literal begins that goes into no table; a cookie is never to (section 7.1.3)."""
    first = 0x10 if name == b"set-cookie" else 0x00
    index = _BY_NAME.get(name)
    return bytes((first,)) + _coded(name) if index is None else _number(index, first, 0x0F)


def _coded(text: bytes) -> bytes:
    coded = _CODER.encode(text)
    if len(coded) >= len(text):
        return _string(text)
    return _number(len(coded), 0x80, 0x7F) + coded


def _string(text: bytes) -> bytes:
    return _number(len(text), 0x00, 0x7F) + text


def _number(value: int, first: int, mask: int) -> bytes:
    """An integer in the bits of `mask` (RFC 7541 section 5.1), after those of `first`."""
    if value < mask:
        return bytes((first | value,))
    octets = [first | mask]
    value -= mask
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


_REQUEST_ID = _named(b"x-request-id")
