"""The decisions in the life of one request: how its bodies are framed, what failures mean, what
is tried again. The edge carries them out.
"""

from typing import NamedTuple

from veloflux.core.policy.retry import IDEMPOTENT
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.fields import without
from veloflux.core.wire.framing import Body, Chunked, Counted, Framed, UntilClose
from veloflux.core.wire.http1 import BODILESS, RequestHead, ResponseHead

KNOWN_METHODS = IDEMPOTENT | {b"POST", b"PATCH", b"TRACE", b"CONNECT"}
# More than any path has.
_MOST_HOPS = 999_999_999


class Failure(NamedTuple):
    """Why a request got no answer from a backend.

    `termination` is two letters as in HAProxy's log: who ended it (C client, S server, P proxy,
    R resources; small for a timeout) and in which phase (R request, Q queue, C connect, H head,
    D data).
    """

    status: int
    termination: str
    reason: str
    detail: str


NO_BACKEND = Failure(503, "SC", "no_backend", "No backend can take the request now.")
REFUSED = Failure(503, "SC", "refused", "No backend accepts connections now.")
UNRESOLVED = Failure(502, "SC", "unresolved", "The backend cannot be found.")
CONNECT_TIMEOUT = Failure(504, "sC", "connect_timeout", "The backend cannot be reached in time.")
TLS_FAILED = Failure(502, "SC", "tls", "The backend does not speak TLS as it should.")
UNTRUSTED = Failure(502, "SC", "tls_untrusted", "The backend cannot prove who it is.")
EXHAUSTED = Failure(503, "RC", "resources", "The proxy has no connection left for the backend.")
CIRCUIT_OPEN = Failure(503, "PC", "circuit_open", "The backends have failed too often of late.")
BUSY = Failure(503, "RQ", "busy", "Too many requests wait for a backend already.")
QUEUE_TIMEOUT = Failure(503, "sQ", "queue_timeout", "No backend was free in time.")
NO_TUNNEL = Failure(501, "PR", "no_tunnel", "There are no WebSockets to these backends.")
UNPROCESSED = Failure(503, "SH", "refused", "The backend takes no more requests now.")
RESET = Failure(502, "SH", "reset", "The backend closed the connection without an answer.")
FIRST_BYTE = Failure(504, "sH", "first_byte_timeout", "The backend did not answer in time.")
BAD_ANSWER = Failure(502, "PH", "bad_answer", "The backend's answer is not valid.")
TOTAL = Failure(504, "sH", "total_timeout", "The request took too long.")
SLOW_BACKEND = Failure(504, "sD", "backend_stalled", "The backend stopped taking the request.")

# An answer that the pool takes for a failure, when it is not asked again.
UNWANTED = Failure(502, "SH", "unwanted_status", "The backend answered with a failure.")


class Relay(NamedTuple):
    """How an answer is passed on: `body` decodes the backend's bytes (None: there are none),
    `framing` are header lines, `chunked` says whether the payload is encoded again, and
    `until_close` that only the end of the client's connection ends it."""

    body: Body | None
    framing: bytes
    chunked: bool
    until_close: bool


_EMPTY = Relay(None, b"Content-Length: 0\r\n", False, False)
_NOTHING = Relay(None, b"", False, False)


# Methods that `check_method` has something to say about.
CHECKED_METHODS = frozenset((b"TRACE", b"CONNECT", b"OPTIONS"))


def check_method(head: RequestHead) -> None:
    """Raise ProtocolError for what a gateway does not pass on.

    TRACE would show a client the fields that were added behind its back, CONNECT open a way past
    this hop; an OPTIONS that may go no further is answered here (RFC 9110 section 7.6.2).
    """
    if head.method in (b"TRACE", b"CONNECT"):
        raise ProtocolError(501, "method", f"{head.method.decode()} is not served here.")
    if head.method == b"OPTIONS" and _hops(head) == 0:
        raise ProtocolError(204, "max_forwards", "This is as far as it may go.")


def one_hop_less(head: RequestHead, lines: bytes) -> bytes:
    """The field lines of an OPTIONS with its Max-Forwards counted down (RFC 9110 section 7.6.2)."""
    hops = _hops(head)
    if hops is None:
        return lines
    return without(lines, (b"max-forwards",)) + b"Max-Forwards: %d\r\n" % (hops - 1)


def _hops(head: RequestHead) -> int | None:
    """What Max-Forwards says; None when that is no number, or there is none."""
    value = head.fields.value(b"max-forwards")
    if value is None or not value.isdigit():
        return None
    digits = value.lstrip(b"0")
    return min(int(digits[:10] or b"0"), _MOST_HOPS)


def request_body(
    head: RequestHead, limit: int, unframed: type[Chunked] | type[Framed] = Chunked
) -> Body:
    """The decoder for a request's body; `limit` in bytes, 0 for none, and
    `unframed` is for a length that is not known.

    Raises ProtocolError 413 for an announced length over the limit.
    """
    length = head.fields.length
    if length is None:
        return Framed() if unframed is Framed else Chunked(nominated=head.fields.nominated)
    if limit and length > limit:
        raise too_large(limit)
    return Counted(length)


def unrouted() -> ProtocolError:
    """For a request that no route takes."""
    return ProtocolError(404, "route", "No route leads there.")


def misdirected(*, is_secure: bool) -> ProtocolError:
    """For a host that is none of the connection's certificate, or an https URI on a connection that
    has none (RFC 9110 section 15.5.20)."""
    detail = "An https URI is not asked for in clear text."
    if is_secure:
        detail = "This connection's certificate is for other hosts."
    return ProtocolError(421, "misdirected", detail)


def too_large(limit: int) -> ProtocolError:
    return ProtocolError(413, "body", f"The body is over {limit} bytes.")


def relay(
    head: ResponseHead, method: bytes, client_minor: int, framed: Framed | None = None
) -> Relay:
    """How to pass an answer on (RFC 9112 section 6.3); `framed` is the decoder of one whose end
    frames tell."""
    fields = head.fields
    length = fields.length
    if method == b"HEAD" or head.status in BODILESS:
        if length is None or head.status == 204:
            return _NOTHING
        return Relay(None, fields.length_line, False, False)
    if length == 0:
        return _EMPTY
    if length is not None:
        return Relay(framed or Counted(length), fields.length_line, False, False)
    body = framed or (Chunked(502, fields.nominated) if fields.chunked else UntilClose())
    if client_minor == 0:
        return Relay(body, b"", False, True)
    return Relay(body, b"Transfer-Encoding: chunked\r\n", True, False)


def framed(relay: Relay) -> Relay:
    """How an answer is passed on where frames say where its body ends (RFC 9113 section 8.1)."""
    return relay._replace(framing=b"", chunked=False) if relay.chunked else relay


def may_repeat(head: RequestHead) -> bool:
    """Whether a request may be sent again although a backend may have begun with it."""
    # Most requests with a body have no such key, and to look for it in the bytes is cheap.
    return head.method in IDEMPOTENT or b"idempotency-key" in head.fields.kept.lower()
