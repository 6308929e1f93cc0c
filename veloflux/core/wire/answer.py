"""Answers that VeloFlux gives itself: small, correct, and silent about what is inside.

The body is a problem document (RFC 9457); `instance` is the request's id, which the log has too.
"""

import json
from http import HTTPStatus

_NO_BODY = frozenset((204, 304))
# Caches could keep some of these by a rule of thumb (RFC 9111 section 4.2.2).
_PROBLEM = (
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"
)


def reason(status: int) -> bytes:
    """`404 Not Found`."""
    try:
        return b"%d %b" % (status, HTTPStatus(status).phrase.encode("ascii"))
    except ValueError:
        return b"%d " % status


def answer(
    status: int,
    detail: str,
    request_id: bytes,
    date: bytes,
    *,
    lines: bytes = b"",
    connection: bytes = b"",
    bodiless: bool = False,
) -> bytes:
    """A whole response. `lines` and `connection` are header lines; `bodiless` is for HEAD."""
    body, described = b"", b"" if status in _NO_BODY else b"Content-Length: 0\r\n"
    if status >= 400:
        body = _problem(status, detail, request_id)
        described = _PROBLEM % len(body)
    return b"HTTP/1.1 %b\r\nDate: %b\r\n%b%bX-Request-ID: %b\r\n%b\r\n%b" % (
        reason(status),
        date,
        described,
        lines,
        request_id,
        connection,
        b"" if bodiless else body,
    )


def _problem(status: int, detail: str, request_id: bytes) -> bytes:
    document = {
        "type": "about:blank",
        "title": reason(status)[4:].decode("ascii"),
        "status": status,
        "detail": detail,
        "instance": request_id.decode("ascii"),
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")
