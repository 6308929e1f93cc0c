"""From HTTP/2's fields to a head in HTTP/1.1's grammar: a security boundary.

A request is written down as an HTTP/1.1 head and read by the one reader there is, so that the
same rules, limits and normal forms hold for both, and nothing reaches a backend that was not read
so. Before that come the rules of HTTP/2 itself (RFC 9113 section 8), which leave no byte that
could end a line.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from veloflux.core.model.traffic import Limits
from veloflux.core.wire import grammar
from veloflux.core.wire.error import ProtocolError, bad_request
from veloflux.core.wire.framing import is_trailer
from veloflux.core.wire.http1 import RequestHead, read_request
from veloflux.core.wire.http2.error import malformed
from veloflux.core.wire.http2.unpacking import Fields
from veloflux.core.wire.target import normalise_host

# Field lines by section 8.2.1: lower case, and no white space around a value; as strict as
# HTTP/1.1 on what else may be in one.
_LINES = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9a-z]++: "
    rb"(?:[\x21-\x7e\x80-\xff]++(?:[\t ]++[\x21-\x7e\x80-\xff]++)*+)?\r\n)*+"
)
_METHOD = re.compile(grammar.TOKEN)
_VISIBLE = re.compile(rb"[\x21-\x7e]++")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority", b":protocol"))
# Section 8.2.2: they speak of a connection that HTTP/2 has other words for.
CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
# Fields that are looked at; RFC 8441 has no use for the key, which is made here for the backend.
_SINGULAR = (b"content-length", b"host", b"te")
_MATTERS = CONNECTION | {b"cookie", b"sec-websocket-key", *_SINGULAR}
# Methods of which a backend may insist to hear the length, be it 0 (411; RFC 9110 section 8.6).
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
_HANDSHAKE = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: %b\r\n"

NewKey = Callable[[], bytes]


class Opening(NamedTuple):
    """What opens a stream. `problem` is what HTTP/1.1's rules or the limits have against it, and
    then there is no head; `expected` is the body's length if it was said, else -1; `is_tunnel` is
    for a WebSocket."""

    head: RequestHead | None
    problem: ProtocolError | None
    method: bytes
    expected: int
    is_tunnel: bool


def opening(
    fields: Fields | None,
    limits: Limits,
    last: RequestHead | None,
    new_key: NewKey | None,
    *,
    ended: bool,
) -> Opening:
    """Read a request; `fields` are None when there were too many, `ended` says that no body comes.

    `last` is the head before on this connection, whose fields are used again when they are the
    same. `new_key` makes a Sec-WebSocket-Key; None when there are no tunnels. Raises
    BrokenStreamError for what HTTP/2 calls malformed.
    """
    if fields is None:
        problem = ProtocolError(431, "headers", "The headers are too many or too large.")
        return Opening(None, problem, b"", -1, False)
    pseudo = _pseudo(fields)
    lines, seen = _lines(fields, len(pseudo))
    method = pseudo.get(b":method", b"")
    if _METHOD.fullmatch(method) is None:
        raise malformed("The method is not a token.")
    expected = _expected(seen, ended=ended)
    is_connect = method == b"CONNECT"
    _check_pseudo(pseudo, is_connect=is_connect, tunnels=new_key is not None)
    try:
        host = _host(pseudo.get(b":authority"), seen.get(b"host"))
        if is_connect:
            raw = _handshake(pseudo, host, lines, new_key, ended=ended, expected=expected)
        else:
            end = _end_of_body(method, ended=ended, expected=expected)
            raw = b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method, pseudo[b":path"], host, lines, end)
        head = read_request(raw, limits, last)
    except ProtocolError as problem:
        return Opening(None, problem, method, expected, False)
    assert head is not None
    assert len(head.raw) == len(raw)
    return Opening(head, None, method, expected, is_connect)


def trailers(fields: Fields | None) -> bytes:
    """Trailers as field lines, less those that may not be there.

    Raises BrokenStreamError, for too many as well.
    """
    if fields is None:
        raise malformed("The trailers are too many or too large.")
    check_lines(b"".join([b"%b: %b\r\n" % field for field in fields]), len(fields))
    if any(name in CONNECTION for name, _ in fields):
        raise malformed("A trailer is about the connection.")
    return b"".join([b"%b: %b\r\n" % field for field in fields if is_trailer(field[0])])


def _pseudo(fields: Fields) -> dict[bytes, bytes]:
    """The pseudo-fields, which come first and once (section 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in fields:
        if not name.startswith(b":"):
            break
        if name not in _PSEUDO or name in pseudo:
            raise malformed("A pseudo-field is unknown, or there twice.")
        pseudo[name] = value
    return pseudo


def _lines(fields: Fields, start: int) -> tuple[bytes, dict[bytes, bytes]]:
    """The other fields as lines, the crumbs of a cookie in one (section 8.2.3); and the values of
    those that bear on the message, which are not all among the lines."""
    lines: list[bytes] = []
    crumbs: list[bytes] = []
    seen: dict[bytes, bytes] = {}
    for name, value in fields[start:] if start else fields:
        if name not in _MATTERS:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif name == b"cookie":
            crumbs.append(value)
        elif name in CONNECTION:
            raise malformed("A field is about the connection.")
        elif name in seen:
            raise malformed("A field that can be there once is there twice.")
        elif name != b"sec-websocket-key":
            seen[name] = value
            if name != b"host":
                lines.append(b"%b: %b\r\n" % (name, value))
    block = b"".join(lines)
    apart = b"".join([b"cookie: %b\r\n" % crumb for crumb in crumbs])
    # A pseudo-field among them fails here too: its name is not a token.
    check_lines(block + apart, len(lines) + len(crumbs))
    if crumbs:
        block += b"cookie: %b\r\n" % b"; ".join(filter(None, crumbs))
    if seen.get(b"te", b"trailers").lower() != b"trailers":
        raise malformed("TE says something other than trailers.")
    return block, seen


def check_lines(block: bytes, count: int) -> None:
    """Raise BrokenStreamError when `block` is not `count` field lines."""
    # As many ends of lines as there are fields: one inside a value would make two of it.
    if block.count(b"\n") != count or _LINES.fullmatch(block) is None:
        raise malformed("A field is not a lower-case name and a value.")


def _expected(seen: dict[bytes, bytes], *, ended: bool) -> int:
    length = seen.get(b"content-length")
    if length is None:
        return -1
    if grammar.CONTENT_LENGTH.fullmatch(length) is None:
        raise malformed("Content-Length is not a plain decimal number.")
    expected = int(length)
    if ended and expected:
        raise malformed("A body was announced and none comes.")
    return expected


def _end_of_body(method: bytes, *, ended: bool, expected: int) -> bytes:
    """The line by which HTTP/1.1 tells where the body ends, if there is to be another."""
    if expected >= 0:
        return b""
    if not ended:
        return b"transfer-encoding: chunked\r\n"
    return b"content-length: 0\r\n" if method in _WITH_BODY else b""


def _check_pseudo(pseudo: dict[bytes, bytes], *, is_connect: bool, tunnels: bool) -> None:
    """Sections 8.3.1 and 8.5, and RFC 8441 section 4."""
    path, scheme = pseudo.get(b":path"), pseudo.get(b":scheme")
    if b":protocol" in pseudo:
        if not is_connect or not tunnels:
            raise malformed("There is a :protocol where none is known.")
    elif is_connect:
        if path is not None or scheme is not None or not pseudo.get(b":authority"):
            raise malformed("CONNECT needs an authority and nothing else.")
        return
    if scheme not in (b"http", b"https"):
        raise malformed("The scheme is neither http nor https.")
    if path is None or _VISIBLE.fullmatch(path) is None:
        raise malformed("The path is missing, or has bytes that no path has.")
    # Any other would be read as an absolute target, which overrides the authority.
    if not path.startswith(b"/") and path != b"*":
        raise malformed("The path does not begin with a slash.")
    if path == b"*" and pseudo[b":method"] != b"OPTIONS":
        raise malformed("The path * is for OPTIONS alone.")


def _host(authority: bytes | None, host: bytes | None) -> bytes:
    """The Host line. Raises BrokenStreamError when the two differ (section 8.3.1), ProtocolError
    for what is no host."""
    if authority is not None and host is not None:
        if normalise_host(authority) != normalise_host(host):
            raise malformed("The authority and the Host field differ.")
    elif authority is None:
        authority = host
    if authority is None:
        return b""
    # Normalised: what is no host, such as a line's end, does not get further than this.
    return b"host: %b\r\n" % normalise_host(authority)[1]


def _handshake(
    pseudo: dict[bytes, bytes],
    host: bytes,
    lines: bytes,
    new_key: NewKey | None,
    *,
    ended: bool,
    expected: int,
) -> bytes:
    """A WebSocket's opening as HTTP/1.1 has it (RFC 8441 section 5). Raises ProtocolError."""
    if new_key is None or b":protocol" not in pseudo:
        raise ProtocolError(501, "method", "CONNECT is not served here.")
    if pseudo[b":protocol"] != b"websocket":
        raise ProtocolError(501, "upgrade", "The only protocol to connect by is websocket.")
    if ended or expected >= 0:
        raise bad_request("upgrade", "A tunnel has no length and no end in its first frame.")
    handshake = _HANDSHAKE % new_key()
    return b"GET %b HTTP/1.1\r\n%b%b%b\r\n" % (pseudo[b":path"], host, lines, handshake)
