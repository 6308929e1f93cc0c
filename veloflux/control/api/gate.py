"""What holds for every request before it is routed, and for every answer.

The Host check is against DNS rebinding: a page on another site can make a browser look its own
name up as 127.0.0.1, and would then be let in as same-origin; but it cannot make the browser send
another name than its own. An address instead of a name is no such name.
"""

import re
import secrets
from collections.abc import Callable, Collection
from http import HTTPStatus
from ipaddress import ip_address

from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from veloflux.control.api.pages import Pages
from veloflux.control.api.problem import CONTENT_TYPE, Problem

_HEADERS = {
    b"Server": b"VeloFlux",
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
}
NOTHING_HERE = "There is nothing at this path."
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:/@\[\]\s]+))(?::\d{1,5})?")


def prepare(request: Request) -> None:
    """Give a request its id, and its answer the headers that all have."""
    for name, value in _HEADERS.items():
        request.setHeader(name, value)
    if request.isSecure():
        request.setHeader(b"Strict-Transport-Security", b"max-age=31536000")
    taken = request.getHeader(b"x-request-id") or b""
    if not _REQUEST_ID.fullmatch(taken):
        taken = secrets.token_hex(16).encode()
    request.setHeader(b"X-Request-ID", taken)


def compose(
    request: Request, status: int, body: bytes, content_type: bytes | None = CONTENT_TYPE
) -> bytes:
    """Set an answer's status and headers, and return the body, for whoever writes it."""
    # Twisted has no words for those of RFC 6585, such as 429.
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    if content_type is not None:
        request.setHeader(b"Content-Type", content_type)
    if status not in (204, 304):
        request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def compose_problem(request: Request, problem: Problem) -> bytes:
    """The same for a problem."""
    for name, value in problem.headers.items():
        request.setHeader(name, value)
    return compose(request, problem.status, problem.body(request_id(request)))


def write_problem(request: Request, problem: Problem) -> None:
    """Write a problem as the whole answer."""
    request.write(compose_problem(request, problem))
    request.finish()


def request_id(request: Request) -> str:
    """Return the id that `prepare` gave it."""
    return request.responseHeaders.getRawHeaders("X-Request-ID", [""])[0]


class Gate(Resource):
    """Stands before the routing; `names` are the hosts served beside addresses, None for any.

    `on_end` is told the method and the status of every request that is over, 0 for one whose
    client has left before.
    """

    isLeaf = True

    def __init__(
        self,
        inner: IResource,
        names: Collection[str] | None,
        pages: Pages,
        on_end: Callable[[bytes, int], None],
    ) -> None:
        super().__init__()
        self._inner = inner
        self._names = names
        self._pages = pages
        self._on_end = on_end

    def render(self, request: IRequest) -> int:
        assert isinstance(request, Request)
        prepare(request)
        request.notifyFinish().addCallbacks(
            lambda _: self._on_end(request.method, request.code),
            lambda _: self._on_end(request.method, 0),
        )
        self._pages.prepare(request)
        problem = self._refuse(request) or self._pages.refuse(request)
        if problem is None:
            rendered: int = self._inner.render(request)
            return rendered
        write_problem(request, problem)
        return NOT_DONE_YET

    def _refuse(self, request: Request) -> Problem | None:
        hosts = request.requestHeaders.getRawHeaders(b"Host", [])
        if len(hosts) > 1 or (not hosts and request.clientproto != b"HTTP/1.0"):
            return Problem(400, "A request has exactly one Host.")
        if hosts and not self._serves(hosts[0]):
            return Problem(421, "This listener does not serve that host.")
        segments = request.postpath or []
        try:
            b"/".join(segments).decode()
        except UnicodeDecodeError:
            return Problem(400, "The path is not UTF-8.")
        # The routing would take `//health` and `/api%2fhealth` for what they are not.
        if segments != [b""] and any(not s or b"/" in s for s in segments):
            return Problem(404, NOTHING_HERE)
        return None

    def _serves(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host.decode("latin-1"))
        if match is None:
            return False
        name = match["v6"] or match["name"]
        if self._names is None or name.lower().rstrip(".") in self._names:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True
