"""Browsers: which pages of other origins may use the API, and which may not even try.

Pages of an origin that is not listed can send requests all the same, if not read the answers. Those
with a cookie, which the browser adds by itself, are refused when they would change something.
"""

from collections.abc import Iterable

from twisted.web.server import Request

from veloflux.control.api.problem import Problem
from veloflux.core.model.policies import Cors
from veloflux.core.policy.cors import REQUEST_METHOD, Rule

_SAFE = (b"GET", b"HEAD", b"OPTIONS")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_READ = ("Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key")
_EXPOSED = ("ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID")


class Pages:
    """Knows the listed origins, each as `https://app.example.org`.

    Cookies are for pages of the API's own origin: none of the others are sent any.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._rule = Rule(
            Cors(tuple(origins), _METHODS, (*_READ, "X-Request-ID"), expose_headers=_EXPOSED)
        )

    def prepare(self, request: Request) -> None:
        """Give an answer the headers by which a browser lets a listed page have it."""
        if not self._origins:
            return
        field = request.requestHeaders
        is_preflight = request.method == b"OPTIONS" and field.hasHeader(REQUEST_METHOD)
        write = self._rule.preflight if is_preflight else self._rule.lines

        def value(name: bytes) -> bytes | None:
            values = field.getRawHeaders(name)
            return b", ".join(values) if values else None

        for line in write(value).splitlines():
            name, _, content = line.partition(b": ")
            request.responseHeaders.addRawHeader(name, content)

    def refuse(self, request: Request) -> Problem | None:
        """Say why a request goes no further."""
        if request.method in _SAFE or not request.requestHeaders.hasHeader(b"Cookie"):
            return None
        # Browsers say the origin of whatever is no plain reading, also to the same one.
        if self.knows(request):
            return None
        return Problem(403, "A page of this origin may change nothing here.")

    def knows(self, request: Request) -> bool:
        """Whether the page that asks says where it is from, and is our own or a listed one's."""
        origins = request.requestHeaders.getRawHeaders(b"Origin", [])
        own = b"%b://%b" % (
            b"https" if request.isSecure() else b"http",
            request.getHeader(b"Host") or b"",
        )
        return len(origins) == 1 and (origins[0] == own.lower() or origins[0] in self._origins)
