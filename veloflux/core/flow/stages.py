"""What a route does to its requests and answers, compiled: what it leaves out costs nothing.

A request is asked, in this order: may its client come in, is its method passed on, is it sent
elsewhere, does a browser only ask what it may (CORS), has its client had too many, is its body too
long. Who may not come in learns nothing of what comes after. A browser's question is answered
before it would count: it carries none of the headers and cookies that tell clients apart, no
backend works for it, and a refusal would look to the page like a forbidden origin.
"""

import re
from collections.abc import Callable

from veloflux.core.flow.exchange import CHECKED_METHODS, check_method
from veloflux.core.flow.quota import Quota
from veloflux.core.model.traffic import HeaderEdits, Limits, Redirect, Route
from veloflux.core.policy import cors
from veloflux.core.policy.access import access
from veloflux.core.wire.error import DeclinedError, ProtocolError
from veloflux.core.wire.fields import without
from veloflux.core.wire.grammar import ANY_FIELD, FIELD
from veloflux.core.wire.http1 import RequestHead
from veloflux.core.wire.upgrade import check_handshake

_REFERENCE = re.compile(r"[\x21-\x7e]+")

Edit = Callable[[bytes], bytes]

# The proxy writes its own, which is the log's: a second one would be another id for somebody.
_OURS = b"x-request-id"

# For browsers; a backend's own word on any of them stands.
_SECURITY = (
    (b"x-content-type-options", b"X-Content-Type-Options: nosniff\r\n"),
    (b"x-frame-options", b"X-Frame-Options: DENY\r\n"),
    (b"referrer-policy", b"Referrer-Policy: strict-origin-when-cross-origin\r\n"),
)


class Stages:
    """One route, compiled; an edit is None where the route asks for none."""

    __slots__ = (
        "_access",
        "_cors",
        "_edit_response",
        "_is_silent",
        "_redirect",
        "dresses",
        "edit_request",
        "keeps_host",
        "quota",
        "route",
        "strip",
    )

    def __init__(self, route: Route) -> None:
        self.route = route
        prefix = route.path_prefix.rstrip("/")
        self.keeps_host = route.preserve_host
        self.strip = len(prefix) if route.strip_prefix else 0
        self.edit_request = _editing(route.request_headers)
        self._edit_response = _securing(_editing(route.response_headers), route.security_headers)
        self._redirect = route.redirect
        self._access = access(route.allow, route.deny)
        self._cors = None if route.cors is None else cors.Rule(route.cors)
        # Only a browser's questions come to it by OPTIONS: see `Table.add`.
        self._is_silent = bool(route.methods) and "OPTIONS" not in route.methods
        self.quota = None if route.rate_limit is None else Quota(route.id, route.rate_limit)
        # Whether answers are more than what the backend says.
        added = (self._edit_response, self._cors, self.quota)
        self.dresses = any(each is not None for each in added)
        if route.redirect is not None and _REFERENCE.fullmatch(route.redirect.to) is None:
            raise ValueError(f"{route.redirect.to!r} cannot be the value of Location")

    def judges(self, head: RequestHead) -> bool:
        """Whether `admit` has anything to say of requests with this head."""
        return (
            head.method in CHECKED_METHODS
            or self._redirect is not None
            or self.quota is not None
            or head.fields.upgrade
        )

    def admit(self, head: RequestHead, client: str) -> bytes | None:
        """Raise ProtocolError for a request that is answered here, redirects included; `client` is
        the address it comes from. What it may say depends on these alone.

        Return what a backend must answer to a WebSocket handshake, None when this is none (or the
        route allows none: then the wish to upgrade is not passed on).
        """
        if self._access is not None and not self._access.admits(client):
            raise DeclinedError(403, "address", "This is not open to your address.")
        if head.method in CHECKED_METHODS:
            check_method(head)
        if self._redirect is not None:
            raise _redirection(self._redirect, head)
        if self._cors is not None and head.method == b"OPTIONS" and self._is_question(head):
            lines = self._cors.preflight(head.fields.value)
            raise ProtocolError(204, "preflight", "It may, or not.", lines)
        return check_handshake(head) if head.fields.upgrade and self.route.websocket else None

    def body_limit(self, limits: Limits) -> int:
        """The bytes that a request's body may have at a listener with these limits, 0 for any."""
        own = self.route.max_body_bytes
        return limits.max_body_bytes if own is None else own

    def _is_question(self, head: RequestHead) -> bool:
        """Whether an OPTIONS is a browser's, about a request to come."""
        value = head.fields.value
        return self._is_silent or bool(value(b"origin") and value(cors.REQUEST_METHOD))

    def lines(self, head: RequestHead, told: bytes = b"") -> bytes:
        """The lines that every answer to the request has, whoever gives it; `told` are what its
        limit tells."""
        return told if self._cors is None else self._cors.lines(head.fields.value) + told

    def dress(self, lines: bytes, head: RequestHead, told: bytes) -> bytes:
        """The lines of a backend's answer to `head`, with what the route adds and changes. The
        operator's edits come last, as the last word."""
        if self._cors is not None:
            lines = without(lines, cors.FIELDS)
        lines += self.lines(head, told)
        return lines if self._edit_response is None else self._edit_response(lines)

    def prelude(self, head: RequestHead, authority: bytes, lines: bytes) -> bytes:
        """The head for the backend up to the value of X-Request-ID, which is its last line.

        Its target is the normalised path, less a stripped prefix.
        """
        path = (head.path[self.strip :] or b"/") if self.strip else head.path
        return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%bX-Request-ID: " % (
            head.method,
            path,
            head.query,
            authority,
            lines,
        )


def _redirection(redirect: Redirect, head: RequestHead) -> ProtocolError:
    """The answer of a route that redirects; `to` ending in a slash gets the path and query."""
    to = redirect.to.encode("ascii")
    if to.endswith(b"/") and head.path != b"*":
        to = to[:-1] + head.path + head.query
    detail = "What was asked for is at the address in Location."
    return ProtocolError(redirect.status, "redirect", detail, b"Location: %b\r\n" % to)


def _editing(edits: HeaderEdits) -> Edit | None:
    if not (edits.set or edits.add or edits.remove):
        return None
    gone = {name.lower().encode("ascii") for name in edits.remove}
    gone.update(name.lower().encode("ascii") for name, _ in edits.set)
    if _OURS in gone or any(name.lower() == _OURS.decode() for name, _ in edits.add):
        raise ValueError("X-Request-ID cannot be edited")
    more = b"".join(_line(name, value) for name, value in (*edits.set, *edits.add))
    if not gone:
        return (lambda lines: lines + more) if more else None
    return lambda lines: without(lines, gone) + more


def _securing(edit: Edit | None, wanted: bool) -> Edit | None:
    if not wanted:
        return edit

    def secure(lines: bytes) -> bytes:
        if edit is not None:
            lines = edit(lines)
        said = {match[1].lower() for match in ANY_FIELD.finditer(lines)}
        return lines + b"".join(line for name, line in _SECURITY if name not in said)

    return secure


def _line(name: str, value: str) -> bytes:
    """One header line. Raises ValueError for what could end a line or is not a name: the one
    place where configured text becomes header bytes."""
    line = f"{name}: {value}\r\n".encode("latin-1")
    if FIELD.fullmatch(line) is None or ":" in name:
        raise ValueError(f"{name!r}: {value!r} cannot be a header line")
    return line
