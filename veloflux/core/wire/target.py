"""One form for a request's host and path, the same for routing, policies and the backend.

Two readers that normalise differently are two readers that can be played against each other, so
there is one normaliser, and what it could read in two ways is refused.
"""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from veloflux.core.wire.error import ProtocolError, bad_request

_HOST = re.compile(
    rb"(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9_.~!$&'*+=-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]{2,45}\])"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
# What DNS can carry (RFC 1035 section 2.3.4); the memory of names read would hold any length.
_LONGEST_NAME = 253
# A path that stands as it is: no escape, no empty segment, none that begins with a dot.
_PLAIN = re.compile(
    rb"/(?:[A-Za-z0-9_~!$&'()*+,;=:@|\"<>^`{}-][A-Za-z0-9._~!$&'()*+,;=:@|\"<>^`{}-]*+/?+)*+"
)
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
# %2f and %5c are separators to some readers, %00 an end: RFC 3986 section 2.2 makes them differ
# from the plain byte, so decoding is wrong and passing on is a guess.
_AMBIGUOUS = frozenset(b"/\\\0")
# A parameter (RFC 3986 section 3.3) that some servers take off before they resolve dots, and so
# climb where others find a name.
_DOTS_AND_MORE = (b".;", b"..;", b".%3B", b"..%3B")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# Bytes that no UTF-8 text has, and the first half of forms longer than need be (RFC 3629).
_OVERLONG = re.compile(rb"[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")


@lru_cache(maxsize=1024)
def normalise_host(value: bytes) -> tuple[bytes, bytes]:
    """Return (name, authority): lower case, no final dot; the authority keeps its port.

    Raises ProtocolError (RFC 9112 section 3.2: an invalid Host is answered 400).
    """
    match = _HOST.fullmatch(value)
    if match is None:
        raise bad_request("host", "The Host field is not a host and an optional port.")
    name, port = match["name"].lower(), match["port"]
    if name.endswith(b"."):
        name = name[:-1]
    if len(name) > _LONGEST_NAME:
        raise bad_request("host", "The Host field is longer than a name can be.")
    if b".." in name and not name.startswith(b"["):
        raise bad_request("host", "The Host field has an empty label.")
    if port and int(port) > 65535:
        raise bad_request("host", "The Host field has a port over 65535.")
    return name, name + b":" + port if port else name


def split_target(target: bytes) -> tuple[bytes | None, bytes, bytes]:
    """Split a request target into (authority or None, path, query with its `?`).

    Origin and absolute form (RFC 9112 section 3.2); `*` is for OPTIONS, which its caller knows.
    """
    authority = None
    if not target.startswith(b"/"):
        scheme, found, rest = target.partition(b"://")
        if not found or scheme.lower() not in (b"http", b"https"):
            raise bad_request("target", "The request target is neither a path nor an http URI.")
        cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
        authority, target = rest[:cut], rest[cut:]
        if not target.startswith(b"/"):
            target = b"/" + target
    path, mark, query = target.partition(b"?")
    if b"#" in target:
        raise bad_request("target", "The request target has a fragment.")
    return authority, path, mark + query


def normalise_path(path: bytes) -> bytes:
    """Decode what needs no escape, upper-case the escapes, merge slashes, resolve dots.

    RFC 3986 section 6.2.2. Raises ProtocolError for bad escapes, `%2F`, `%5C`, `%00`, a backslash,
    bytes that cannot be UTF-8, `..;`, and a path that climbs above its root.
    """
    if _PLAIN.fullmatch(path):
        return path
    if b"\\" in path:
        raise bad_request("path", "The path has a backslash.")
    if b"%" in path:
        path = _ESCAPE.sub(_canonical, path)
        if _OVERLONG.search(unquote_to_bytes(path)):
            raise bad_request("path", "The path has escapes that are not UTF-8.")
    segments: list[bytes] = []
    last = b""
    for last in path.split(b"/"):
        if last == b"..":
            if not segments:
                raise bad_request("path", "The path climbs above its root.")
            segments.pop()
        elif last and last != b".":
            if last.startswith(_DOTS_AND_MORE):
                raise bad_request("path", "The path has dots with a parameter.")
            segments.append(last)
    joined = b"/" + b"/".join(segments)
    return joined + b"/" if segments and last in (b"", b".", b"..") else joined


def _canonical(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    if digits is None:
        raise bad_request("path", "The path has a percent sign without two hexadecimal digits.")
    byte = int(digits, 16)
    if byte in _AMBIGUOUS:
        raise ProtocolError(400, "path", "The path has an escaped separator or NUL.")
    return bytes((byte,)) if byte in _UNRESERVED else b"%" + digits.upper()
