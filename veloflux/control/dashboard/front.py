"""Serves the page to who asks for one, and passes on whatever else is asked.

A program that asks for `/` gets the API's answer; only who likes HTML better gets the page.
"""

import re
from collections.abc import Mapping

from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_accept_header

from veloflux.control.dashboard.shelf import PAGE, File

# Nothing from elsewhere, nothing within the page, and no text that becomes code: what an attacker
# gets into a log line or a route's name stays words.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_TAG = re.compile(r'"[^"]*"')


class Front(Resource):
    """Stands before the API; `shelf` has files by their paths."""

    isLeaf = True

    def __init__(self, inner: IResource, shelf: Mapping[str, File]) -> None:
        super().__init__()
        self._inner = inner
        self._shelf = shelf

    def render(self, request: IRequest) -> int:
        assert isinstance(request, Request)
        file = self._asked(request)
        if file is None:
            rendered: int = self._inner.render(request)
            return rendered
        _write(request, file)
        return NOT_DONE_YET

    def _asked(self, request: Request) -> File | None:
        path = request.path.decode("latin-1")
        file = self._shelf.get(path)
        if file is None or request.method not in (b"GET", b"HEAD"):
            return None
        if path == PAGE:
            # Whoever keeps the one must not take it for the other.
            request.setHeader("Vary", "Accept")
            if not prefers_page(_field(request, "Accept")):
                return None
        return file


def prefers_page(accept: str | None) -> bool:
    """Whether HTML is liked better than JSON (RFC 9110, section 12.5.1)."""
    liked = parse_accept_header(accept, MIMEAccept)
    return bool(liked.quality("text/html") > liked.quality("application/json"))


def _write(request: Request, file: File) -> None:
    content, tag = file.content, f'"{file.tag}"'
    request.setHeader("Content-Security-Policy", _POLICY)
    request.setHeader("Cache-Control", _FOR_EVER if file.is_hashed else _ASK_AGAIN)
    if file.gzipped is not None:
        request.responseHeaders.addRawHeader("Vary", "Accept-Encoding")
        if parse_accept_header(_field(request, "Accept-Encoding"), Accept).quality("gzip") > 0:
            request.setHeader("Content-Encoding", "gzip")
            # Other bytes, so another strong tag (RFC 9110, section 8.8.3.3).
            content, tag = file.gzipped, f'"{file.tag}-gzip"'
    request.setHeader("ETag", tag)
    known = _TAG.findall(_field(request, "If-None-Match") or "")
    if tag in known:
        request.setResponseCode(304)
        request.responseHeaders.removeHeader("Content-Encoding")
    else:
        request.setHeader("Content-Type", file.content_type)
        request.setHeader("Content-Length", str(len(content)))
        if request.method != b"HEAD":
            request.write(content)
    request.finish()


def _field(request: Request, name: str) -> str | None:
    values = request.requestHeaders.getRawHeaders(name)
    return ", ".join(values) if values else None
