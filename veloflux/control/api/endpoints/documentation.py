"""The API's own documentation: the OpenAPI document, and a page that shows it."""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from veloflux.control.api.endpoint import OPEN, Asked, Endpoint, InThread
from veloflux.control.api.openapi import document

# All that the page needs comes from here, and nothing goes elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def documentation(rows: Sequence[Endpoint], in_thread: InThread) -> tuple[Endpoint, ...]:
    """Make the rows that document these, and themselves."""

    @cache
    def written() -> bytes:
        return json.dumps(document((*rows, *own)), separators=(",", ":")).encode()

    async def openapi(asked: Asked) -> bytes:
        """Give this API's OpenAPI 3.1 document."""
        return await in_thread(written)

    own = (
        Endpoint("GET", "/api/openapi.json", OPEN, openapi, has_etag=True),
        Endpoint(
            "GET", "/api/docs", OPEN, page, produces=("text/html; charset=utf-8",), policy=_POLICY
        ),
        Endpoint(
            "GET", "/api/docs/page.js", OPEN, script, produces=("text/javascript; charset=utf-8",)
        ),
        Endpoint("GET", "/api/docs/page.css", OPEN, style, produces=("text/css; charset=utf-8",)),
    )
    return own


def page(asked: Asked) -> bytes:
    """Give a page to read this documentation, and to try calls."""
    return _asset("page.html")


def script(asked: Asked) -> bytes:
    """Give the page's script."""
    return _asset("page.js")


def style(asked: Asked) -> bytes:
    """Give the page's style sheet."""
    return _asset("page.css")


@cache
def _asset(name: str) -> bytes:
    return (files("veloflux.control.api") / "page" / name).read_bytes()
