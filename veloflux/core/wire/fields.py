"""What a proxy reads in a field block, and the lines it passes on untouched.

A block is read once: connections repeat their fields from message to message, so a codec keeps
the last block with its reading and compares bytes before it parses (`same_block`).
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from re import Pattern

from veloflux.core.wire import grammar
from veloflux.core.wire.error import ProtocolError, bad_answer, bad_request
from veloflux.core.wire.target import normalise_host

Seen = dict[bytes, list[bytes]]

# Fields meant for every recipient. Naming one in Connection asks the next hop to drop what the
# backend relies on (hop-by-hop header abuse); RFC 9110 section 7.6.1 forbids it, so it is ignored.
_END_TO_END = frozenset(
    (
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"host",
        b"set-cookie",
        b"via",
    )
)


# What stands in Connection without naming a line to drop, beside those.
_NOT_NOMINATED = _END_TO_END | {b"", b"close", b"keep-alive", b"upgrade", b"te"}


class RequestFields:
    """A request's field block, read.

    `kept` holds the lines to forward, `seen` the values of those that are not, by lower-case name.
    `length` is the body's length in bytes, None when it is chunked; `persistent` says whether the
    client wants its connection kept. `nominated` are the names, lower case, of fields and trailers
    that Connection keeps to this hop.
    """

    __slots__ = (
        "authority",
        "block",
        "expects_continue",
        "has_length",
        "host",
        "kept",
        "length",
        "minor",
        "nominated",
        "persistent",
        "seen",
        "upgrade",
        "wants_trailers",
    )

    def __init__(self, block: bytes, minor: int) -> None:
        """Read `block` of an HTTP/1.`minor` request; raises ProtocolError."""
        if grammar.FIELDS.fullmatch(block) is None:
            raise bad_request("field", "A header line is not a name, a colon and a value.")
        self.block = block
        self.minor = minor
        self.kept, self.seen = _divide(block, grammar.REQUEST_MATTERS)
        seen = self.seen
        self.length = _request_length(seen, minor)
        self.has_length = b"content-length" in seen
        self.host, self.authority = _host(seen, minor)
        options = _options(seen)
        self.persistent = b"close" not in options and (minor == 1 or b"keep-alive" in options)
        self.nominated = frozenset(options) - _NOT_NOMINATED
        if self.nominated:
            self.kept = without(self.kept, self.nominated)
        self.expects_continue = _expects_continue(seen, minor)
        self.wants_trailers = b"trailers" in _listed(seen, b"te")
        # h2c is never upgraded to: it would carry requests past this hop's eyes.
        self.upgrade = (
            minor == 1 and b"upgrade" in options and _listed(seen, b"upgrade") == (b"websocket",)
        )

    def value(self, name: bytes) -> bytes | None:
        """The value of the field `name` (lower case), lines joined by commas, or None."""
        values = self.seen.get(name)
        if values is None:
            values = [
                match[2].strip(b" \t")
                for match in grammar.ANY_FIELD.finditer(self.kept)
                if match[1].lower() == name
            ]
        return b", ".join(values) if values else None


def request_fields(block: bytes, minor: int) -> RequestFields:
    """Read `block`, or find it among those read of late: a client's next connection says the same,
    and so does the next client with the same software. Raises ProtocolError."""
    return _known(block, minor) if len(block) <= _SHORT else RequestFields(block, minor)


# Whoever sends others all the time makes us forget, and costs no more than that.
_known = lru_cache(maxsize=1024)(RequestFields)
# Bytes of a block worth remembering; longer ones hold what is one client's own.
_SHORT = 1024


class ResponseFields:
    """A response's field block, read; `length` is what Content-Length says, or None, and
    `length_line` says it again. `nominated` is as a request's."""

    __slots__ = (
        "accept",
        "block",
        "chunked",
        "has_date",
        "kept",
        "length",
        "length_line",
        "minor",
        "nominated",
        "persistent",
        "upgrade",
    )

    def __init__(self, block: bytes, minor: int) -> None:
        """Read `block` of an HTTP/1.`minor` response; raises ProtocolError with status 502."""
        if grammar.FIELDS.fullmatch(block) is None:
            raise bad_answer("field", "The backend's answer has a malformed header line.")
        self.block = block
        self.minor = minor
        self.kept, seen = _divide(block, grammar.RESPONSE_MATTERS)
        lengths, codings = seen.get(b"content-length"), seen.get(b"transfer-encoding")
        if codings and (
            minor == 0 or lengths or len(codings) > 1 or codings[0].lower() != b"chunked"
        ):
            raise bad_answer(
                "framing", "The backend's answer has a transfer coding that is not plain chunked."
            )
        self.chunked = codings is not None
        self.length = _content_length(lengths, bad_answer)
        self.length_line = b"" if self.length is None else b"Content-Length: %d\r\n" % self.length
        options = _options(seen)
        self.persistent = b"close" not in options and (minor == 1 or b"keep-alive" in options)
        self.nominated = frozenset(options) - _NOT_NOMINATED
        if self.nominated:
            self.kept = without(self.kept, self.nominated)
        self.has_date = b"date" in seen
        if self.has_date:
            self.kept += b"Date: " + seen[b"date"][0] + b"\r\n"
        self.upgrade = (
            minor == 1 and b"upgrade" in options and _listed(seen, b"upgrade") == (b"websocket",)
        )
        accepts = seen.get(b"sec-websocket-accept", ())
        self.accept = accepts[0] if len(accepts) == 1 else b""


def without(lines: bytes, names: Iterable[bytes]) -> bytes:
    """`lines` less the fields called `names` (lower case)."""
    drop = frozenset(names)
    return b"".join(
        match[0] for match in grammar.ANY_FIELD.finditer(lines) if match[1].lower() not in drop
    )


def _divide(block: bytes, matters: Pattern[bytes]) -> tuple[bytes, Seen]:
    """Cut the lines that matter out of `block`: (the rest, their values by lower-case name)."""
    seen: Seen = {}
    rest = []
    start = 1
    for match in matters.finditer(block):
        rest.append(block[start : match.start() + 1])
        start = match.end() + 1
        seen.setdefault(match[1].lower(), []).append(match[2].strip(b" \t"))
    rest.append(block[start:-2])
    return b"".join(rest), seen


def _listed(seen: Seen, name: bytes) -> tuple[bytes, ...]:
    values = seen.get(name)
    return grammar.tokens(b",".join(values)) if values else ()


def _options(seen: Seen) -> tuple[bytes, ...]:
    """The connection options; Proxy-Connection counts, as old clients mean it (RFC 9112 C.2.2)."""
    return _listed(seen, b"connection") + _listed(seen, b"proxy-connection")


def _request_length(seen: Seen, minor: int) -> int | None:
    """The body's length, None when chunked (RFC 9112 section 6; what two hops could read
    differently is refused)."""
    codings, lengths = seen.get(b"transfer-encoding"), seen.get(b"content-length")
    if codings is None:
        return _content_length(lengths, bad_request) or 0
    if lengths is not None:
        raise bad_request("framing", "The request has both Content-Length and Transfer-Encoding.")
    if minor == 0:
        raise bad_request("framing", "An HTTP/1.0 request cannot have Transfer-Encoding.")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise bad_request("framing", "The only transfer coding understood is one chunked.")
    return None


def _content_length(
    lengths: list[bytes] | None, error: Callable[[str, str], ProtocolError]
) -> int | None:
    if lengths is None:
        return None
    if len(lengths) > 1:
        raise error("framing", "Content-Length is there more than once.")
    if grammar.CONTENT_LENGTH.fullmatch(lengths[0]) is None:
        raise error("framing", "Content-Length is not a plain decimal number.")
    return int(lengths[0])


def _host(seen: Seen, minor: int) -> tuple[bytes, bytes]:
    hosts = seen.get(b"host", [])
    if not hosts and minor == 0:
        return b"", b""
    if len(hosts) != 1:
        raise bad_request("host", "The request needs exactly one Host field.")
    return normalise_host(hosts[0])


def _expects_continue(seen: Seen, minor: int) -> bool:
    """Whether to expect 100-continue; HTTP/1.0 has no expectations (RFC 9110 section 10.1.1)."""
    expectations = seen.get(b"expect")
    if expectations is None or minor == 0:
        return False
    if [value.lower() for value in expectations] != [b"100-continue"]:
        raise ProtocolError(417, "expect", "The only expectation understood is 100-continue.")
    return True
