"""HTTP/1.1 heads out of bytes: requests from clients, responses from backends (RFC 9112)."""

import re

from veloflux.core.model.traffic import Limits
from veloflux.core.wire import grammar
from veloflux.core.wire.error import ProtocolError, bad_answer, bad_request
from veloflux.core.wire.fields import RequestFields, ResponseFields, request_fields
from veloflux.core.wire.target import normalise_host, normalise_path, split_target

END = b"\r\n\r\n"
MAX_RESPONSE_HEAD = 64 * 1024
# Bytes of the largest head that a connection keeps to compare the next one with; each idle
# connection may hold one.
REMEMBERED = 4096
# Statuses without a body, whatever their fields say (RFC 9112 section 6.3).
BODILESS = frozenset((204, 304))
_OTHER_VERSION = re.compile(rb"HTTP/(?!1\.[01])[0-9]\.[0-9]")


class RequestHead:
    """One request's head, read from `raw`; `path` and `host` are normalised, `query` begins with
    `?` or is empty.

    `authority` is what the backend gets as Host, empty when an HTTP/1.0 client sent none;
    `is_https` says whether the target was an https URI. `as_json` and `as_combined` are for whoever
    logs it to remember how, since a head often comes again.
    """

    __slots__ = (
        "as_combined",
        "as_json",
        "authority",
        "fields",
        "host",
        "is_https",
        "method",
        "path",
        "query",
        "raw",
    )

    def __init__(
        self, method: bytes, path: bytes, query: bytes, fields: RequestFields, raw: bytes
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.host = fields.host
        self.authority = fields.authority
        self.raw = raw
        self.is_https = False
        self.as_json = ""
        self.as_combined: tuple[str, str] | None = None


class ResponseHead:
    """One response's head, read from `raw`; `status_line` is the code and the reason.

    `whole` is the length of the body that a request other than HEAD gets with it, None where only
    its framing tells. `prelude` is for whoever passes it on to remember how, since a head often
    comes again.
    """

    __slots__ = ("fields", "minor", "prelude", "raw", "status", "status_line", "whole")

    def __init__(self, status_line: bytes, minor: int, fields: ResponseFields, raw: bytes) -> None:
        self.status = int(status_line[:3])
        self.status_line = status_line
        self.minor = minor
        self.fields = fields
        self.raw = raw
        self.whole = None if self.status in BODILESS else fields.length
        self.prelude = b""


def read_request(
    buffer: bytes, limits: Limits, last: RequestHead | None, seen: int = 0
) -> RequestHead | None:
    """Read the head at the start of `buffer`; None when more bytes are needed.

    `last` is the head of the request before on this connection: the same bytes mean the same, so
    the same head is returned for them, and the same fields for a block that comes again. `seen` is
    how much of `buffer` was there the last time. Raises ProtocolError.
    """
    if last is not None and buffer.startswith(last.raw):
        return last
    # One empty line before a request is an old client's way (RFC 9112 section 2.2).
    start = 2 if buffer.startswith(b"\r\n") else 0
    end = buffer.find(END, max(start, seen - 3))
    if end < 0:
        _refuse_early(buffer[start:], limits, max(0, seen - start))
        return None
    eol = buffer.find(b"\r\n", start)
    block = buffer[eol + 1 : end + 4]
    match = grammar.REQUEST_LINE.fullmatch(buffer, start, eol)
    if match is None:
        raise _bad_request_line(buffer[start:eol], limits)
    method, target, minor = match.groups()
    version = 1 if minor == b"1" else 0
    if last is not None and last.fields.block == block and last.fields.minor == version:
        fields = last.fields
    else:
        _check_sizes(block, limits)
        fields = request_fields(block, version)
    if len(target) > limits.max_target_bytes:
        raise _long_target(limits)
    if target.startswith(b"/") and b"#" not in target:
        path, mark, query = target.partition(b"?")
        return RequestHead(method, normalise_path(path), mark + query, fields, buffer[: end + 4])
    return _unusual(method, target, fields, buffer[: end + 4])


def read_response(buffer: bytes, last: ResponseHead | None, seen: int = 0) -> ResponseHead | None:
    """Read the head at the start of `buffer`; None when more bytes are needed.

    `last` is the head before on this connection and `seen` what was there before, as in
    `read_request`. Raises ProtocolError with status 502.
    """
    if last is not None and buffer.startswith(last.raw):
        return last
    end = buffer.find(END, seen - 3 if seen > 3 else 0)
    if end < 0:
        if len(buffer) > MAX_RESPONSE_HEAD:
            raise bad_answer("size", "The backend's answer has too large a head.")
        if grammar.BROKEN.search(buffer, seen - 1 if seen else 0):
            raise bad_answer("field", "The backend's answer has a control character in its head.")
        return None
    if end > MAX_RESPONSE_HEAD:
        raise bad_answer("size", "The backend's answer has too large a head.")
    eol = buffer.find(b"\r\n")
    match = grammar.STATUS_LINE.fullmatch(buffer, 0, eol)
    if match is None:
        raise bad_answer("status-line", "The backend's answer has a malformed status line.")
    block = buffer[eol + 1 : end + 4]
    minor = 1 if match[1] == b"1" else 0
    if last is not None and last.fields.block == block and last.minor == minor:
        fields = last.fields
    else:
        fields = ResponseFields(block, minor)
    status_line = buffer[9:eol] if eol > 12 else buffer[9:eol] + b" "
    return ResponseHead(status_line, minor, fields, buffer[: end + 4])


def _unusual(method: bytes, target: bytes, fields: RequestFields, raw: bytes) -> RequestHead:
    """Targets other than a path: `*` with OPTIONS, and the absolute form."""
    if method == b"CONNECT":
        raise ProtocolError(501, "method", "CONNECT is not served here.")
    if target == b"*":
        if method != b"OPTIONS":
            raise bad_request("target", "The target * is for OPTIONS alone.")
        return RequestHead(method, b"*", b"", fields, raw)
    authority, path, query = split_target(target)
    if method == b"OPTIONS" and target.count(b"/") == 2 and not query:
        # Without a path it is for the whole server (RFC 9112 section 3.2.4).
        head = RequestHead(method, b"*", b"", fields, raw)
    else:
        head = RequestHead(method, normalise_path(path), query, fields, raw)
    if authority is not None:
        # The absolute form wins over Host (RFC 9112 section 3.2.2).
        head.host, head.authority = normalise_host(authority)
        head.is_https = target[:5].lower() == b"https"
    return head


def _check_sizes(block: bytes, limits: Limits) -> None:
    if len(block) - 3 > limits.max_header_bytes:
        raise ProtocolError(
            431, "headers", f"The headers are over {limits.max_header_bytes} bytes."
        )
    if block.count(b"\n") - 2 > limits.max_headers:
        raise ProtocolError(431, "headers", f"There are over {limits.max_headers} headers.")


def _long_target(limits: Limits) -> ProtocolError:
    return ProtocolError(414, "target", f"The target is over {limits.max_target_bytes} bytes.")


def _refuse_early(buffer: bytes, limits: Limits, seen: int) -> None:
    """Refuse a head that is not whole yet but can no longer become a good one."""
    eol = buffer.find(b"\r\n")
    line = buffer if eol < 0 else buffer[:eol]
    space = line.find(b" ")
    if (space < 0 and len(line) > grammar.LONGEST_METHOD) or grammar.BROKEN.search(
        buffer, seen - 1 if seen else 0
    ):
        raise bad_request("grammar", "These bytes are not an HTTP/1.1 request.")
    if eol < 0:
        if len(line) - space > limits.max_target_bytes + len(b"  HTTP/1.1\r"):
            raise _long_target(limits)
        return
    if grammar.REQUEST_LINE.fullmatch(line) is None:
        raise _bad_request_line(line, limits)
    if len(buffer) - eol > limits.max_header_bytes + 4:
        raise ProtocolError(
            431, "headers", f"The headers are over {limits.max_header_bytes} bytes."
        )
    if buffer.count(b"\n") - 1 > limits.max_headers:
        raise ProtocolError(431, "headers", f"There are over {limits.max_headers} headers.")


def _bad_request_line(line: bytes, limits: Limits) -> ProtocolError:
    parts = line.split(b" ")
    if len(line) > limits.max_target_bytes + grammar.LONGEST_METHOD + len(b"  HTTP/1.1"):
        return _long_target(limits)
    if len(parts) == 3 and _OTHER_VERSION.fullmatch(parts[2]):
        return ProtocolError(505, "version", "The version is not HTTP/1.0 or HTTP/1.1.")
    return bad_request("request-line", "The request line is not a method, a target and a version.")
