"""Which lines go on to the next hop: the hop-by-hop ones do not, ours are added.

Sources: RFC 9110 section 7.6 (Connection, Via), RFC 7239 (Forwarded), and the X-Forwarded-*
fields by convention. What a client says of itself is believed only from a trusted proxy.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address

from veloflux.core.wire.fields import RequestFields, Seen
from veloflux.core.wire.grammar import REQUEST_ID, TOKEN
from veloflux.core.wire.trace import trace_of

# What a message came by (RFC 9110 section 7.6.3), by the minor version of its head. HTTP/2 has no
# such version, and its heads are read as those of HTTP/1.1.
VIAS = (b"Via: 1.0 veloflux\r\n", b"Via: 1.1 veloflux\r\n")
HTTP2_VIAS = (b"Via: 2.0 veloflux\r\n", b"Via: 2.0 veloflux\r\n")
_TOKEN = re.compile(TOKEN)
_COOKIE = re.compile(rb"^(cookie:[ \t]*)([^\r\n]*)\r\n", re.I | re.M)
# From a trusted proxy these are passed on as they came; others may not say them.
_BELIEVED = (b"x-real-ip",)
_TRACE = (b"traceparent", b"tracestate")


def with_cookies(lines: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """Field lines with `edit` made of each Cookie's value; one that comes out empty is left out."""

    def line(match: re.Match[bytes]) -> bytes:
        value = edit(match[2])
        return match[1] + value + b"\r\n" if value else b""

    return _COOKIE.sub(line, lines)


def client_address(fields: RequestFields, peer: str, trusts: Callable[[str], bool]) -> str:
    """The address of the client: the last one in X-Forwarded-For that no trusted proxy added.

    `trusts` says whether an address is a trusted proxy's; `peer` is one.
    """
    client = peer
    for value in reversed(b",".join(fields.seen.get(b"x-forwarded-for", ())).split(b",")):
        text = value.strip(b" \t[]").decode("ascii", "replace")
        try:
            address = str(ip_address(text))
        except ValueError:
            break
        if "%" in text:
            # A zone (RFC 4007) has no meaning on another host, and can be any text at all.
            break
        client = address
        if not trusts(address):
            break
    return client


def request_lines(
    fields: RequestFields,
    authority: bytes,
    peer: str,
    scheme: bytes,
    via: bytes,
    trusted: bool,
    subject: bytes = b"",
) -> bytes:
    """The lines for the backend, less Host and X-Request-ID.

    `authority` is what the request is for, `peer` the address the connection comes from, `via` the
    line of `VIAS` for it, `subject` the line that names the client by its certificate. The lines
    depend on these and the field block alone, so they can be kept with them.
    """
    lines = [fields.kept]
    if fields.length is None:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif fields.has_length:
        lines.append(b"Content-Length: %d\r\n" % fields.length)
    if fields.expects_continue:
        lines.append(b"Expect: 100-continue\r\n")
    if fields.wants_trailers and not fields.upgrade:
        lines.append(b"TE: trailers\r\nConnection: TE\r\n")
    if trusted:
        said = fields.seen
        if subject:
            # Who has shown a certificate here has no word on who has shown one elsewhere.
            said = {name: said[name] for name in said if name != b"x-forwarded-client-cert"}
        lines.append(_forwarded_on(authority, peer, scheme, said))
    else:
        lines.append(_forwarded(authority, peer, scheme))
    lines.append(subject)
    lines.append(via)
    return b"".join(lines)


def request_id(fields: RequestFields) -> bytes | None:
    """A trusted peer's request id, if it is one: short, and of harmless characters."""
    values = fields.seen.get(b"x-request-id", ())
    return values[0] if len(values) == 1 and REQUEST_ID.fullmatch(values[0]) else None


@lru_cache(maxsize=1024)
def _forwarded(authority: bytes, peer: str, scheme: bytes) -> bytes:
    """The forwarding fields for a client whose own word on them is not believed."""
    return _forwarded_on(authority, peer, scheme, {})


def _forwarded_on(authority: bytes, peer: str, scheme: bytes, said: Seen) -> bytes:
    """The forwarding fields, going on from what a trusted proxy said."""
    # A client on a Unix socket has no address (RFC 7239 section 6.2).
    address = b"unknown" if peer.startswith("unix:") else peer.encode("ascii", "replace")
    chain = b", ".join([*said.get(b"x-forwarded-for", ()), address])
    lines = [b"X-Forwarded-For: %b\r\n" % chain]
    lines.append(b"X-Forwarded-Proto: %b\r\n" % said.get(b"x-forwarded-proto", (scheme,))[0])
    host = said.get(b"x-forwarded-host", (authority,))[0]
    if host:
        lines.append(b"X-Forwarded-Host: %b\r\n" % host)
    believed = _BELIEVED + _TRACE if trace_of(said.get(b"traceparent", ())) else _BELIEVED
    for name, values in said.items():
        known = name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
        if name in believed or (name.startswith(b"x-forwarded-") and not known):
            lines.extend(b"%b: %b\r\n" % (name, value) for value in values)
    node = b'"[%b]"' % address if b":" in address else address
    element = b"for=%b;proto=%b" % (node, scheme)
    if authority:
        is_token = _TOKEN.fullmatch(authority) is not None
        element += b";host=" + authority if is_token else b';host="%b"' % authority
    lines.append(b"Forwarded: %b\r\n" % b", ".join([*said.get(b"forwarded", ()), element]))
    return b"".join(lines)
