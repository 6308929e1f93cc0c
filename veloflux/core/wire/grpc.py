"""What a proxy says of its own to gRPC's clients, and how it knows them (gRPC over HTTP/2,
github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/http-grpc-status-mapping.md).

They look for a status in trailers, and for an answer without messages in a head that ends it.
"""

from typing import NamedTuple
from urllib.parse import quote

from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.http1 import RequestHead

_TYPE = b"application/grpc"
# Seconds of silence that a call may have: it has a deadline of its own (grpc-timeout), and a stream
# may wait for an event for long. TCP keep-alive finds dead peers before that.
IDLE_S = 3600.0

UNKNOWN, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 2, 8, 12, 13, 14
PERMISSION_DENIED, UNAUTHENTICATED = 7, 16
# As the mapping has it; it says nothing of what is too large.
_STATUSES = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    413: RESOURCE_EXHAUSTED,
    429: UNAVAILABLE,
    431: RESOURCE_EXHAUSTED,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}
# What ends a call whose answer had begun.
BROKEN_OFF = b"grpc-status: %d\r\ngrpc-message: The answer broke off.\r\n" % UNAVAILABLE


class Refusal(NamedTuple):
    """The head of an answer that is nothing else."""

    status_line: bytes
    lines: bytes


def is_call(head: RequestHead) -> bool:
    """Whether a request is a gRPC call."""
    fields = head.fields
    # Most are not, and to look for it in the bytes is cheap.
    if _TYPE not in fields.kept:
        return False
    found = fields.value(b"content-type") or b""
    rest = found[len(_TYPE) : len(_TYPE) + 1]
    return found.startswith(_TYPE) and rest in (b"", b"+", b";")


def refusal(problem: ProtocolError, date: bytes) -> Refusal:
    """An answer to a call that goes to no backend, or got nothing from it."""
    status = _STATUSES.get(problem.status, UNKNOWN)
    # All but what is visible is encoded, the percent sign among it.
    message = quote(problem.detail, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")
    return Refusal(
        b"200 OK",
        b"Date: %b\r\nContent-Type: %b\r\n%bgrpc-status: %d\r\ngrpc-message: %b\r\n"
        % (date, _TYPE, problem.lines, status, message.encode("ascii")),
    )
