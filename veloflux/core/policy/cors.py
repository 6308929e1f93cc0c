"""May a page of another origin have this answer, and what may it ask for?

The CORS protocol of the Fetch standard (sections 3.3 and 4.8). The browser enforces it: a request
from an origin that is not allowed goes on like any other, and its answer lacks the fields without
which the page cannot read it. Only what a browser asks about beforehand (a preflight) never comes.
"""

import re
from collections.abc import Callable, Iterable

from veloflux.core.model.policies import Cors

Field = Callable[[bytes], bytes | None]

# What a backend says of these is replaced; the last three are for preflights alone.
FIELDS = frozenset(
    (
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-expose-headers",
        b"access-control-allow-methods",
        b"access-control-allow-headers",
        b"access-control-max-age",
    )
)
REQUEST_METHOD = b"access-control-request-method"

# RFC 6454 section 6.2, with `*.` for one or more labels.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*://)(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_LABELS = rb"(?:[a-z0-9_-]+\.)+"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARY_PREFLIGHT = b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"


class Rule:
    """Who may read a route's answers.

    Raises ValueError for an origin that no browser says, and for `*` together with credentials: a
    browser takes no such answer, and to name every origin that asks would let any page act as its
    reader.
    """

    __slots__ = (
        "_any_header",
        "_any_method",
        "_granted",
        "_headers",
        "_is_open",
        "_known",
        "_methods",
        "_offer",
        "_patterns",
    )

    def __init__(self, model: Cors) -> None:
        self._is_open = "*" in model.origins
        if model.credentials and "*" in (*model.origins, *model.expose_headers):
            raise ValueError("cors: with credentials, origins and expose_headers cannot be `*`")
        self._known: set[bytes] = set()
        self._patterns: list[re.Pattern[bytes]] = []
        for origin in model.origins:
            self._add(origin)
        self._methods = frozenset(_tokens(model.methods))
        self._headers = frozenset(name.lower() for name in _tokens(model.headers))
        self._any_method = b"*" in self._methods
        self._any_header = b"*" in self._headers
        allow = b"Access-Control-Allow-Credentials: true\r\n" if model.credentials else b""
        expose = b", ".join(_tokens(model.expose_headers))
        self._granted = allow
        if expose:
            self._granted += b"Access-Control-Expose-Headers: %b\r\n" % expose
        self._offer = allow + b"Access-Control-Max-Age: %d\r\n" % max(0, int(model.max_age_s))

    def lines(self, field: Field) -> bytes:
        """The lines that go with the answer to a request; `field` gives the values of its fields
        by lower-case names. They stand in place of the backend's own (FIELDS)."""
        origin = self._allowed(field(b"origin"))
        granted = b"Access-Control-Allow-Origin: %b\r\n%b" % (origin, self._granted)
        if self._is_open:
            return granted
        # Also without an Origin, or a cache would give that answer to a page that has one.
        return b"Vary: Origin\r\n" + (granted if origin else b"")

    def preflight(self, field: Field) -> bytes:
        """The lines that answer an OPTIONS that asks beforehand."""
        origin = self._allowed(field(b"origin"))
        method = field(REQUEST_METHOD) or b""
        asked = field(b"access-control-request-headers")
        names = [name.strip(b" \t") for name in asked.split(b",")] if asked else []
        if not (origin and self._takes(method) and all(map(self._takes_header, names))):
            return _VARY_PREFLIGHT
        methods = [method] if self._any_method else sorted(self._methods)
        lines = b"%bAccess-Control-Allow-Origin: %b\r\nAccess-Control-Allow-Methods: %b\r\n" % (
            _VARY_PREFLIGHT,
            origin,
            b", ".join(methods),
        )
        if names:
            lines += b"Access-Control-Allow-Headers: %b\r\n" % b", ".join(names)
        return lines + self._offer

    def _allowed(self, origin: bytes | None) -> bytes:
        """What to say in Access-Control-Allow-Origin; empty when it is not allowed."""
        if self._is_open:
            return b"*"
        if origin is None:
            return b""
        if origin in self._known or any(each.fullmatch(origin) for each in self._patterns):
            return origin
        return b""

    def _takes(self, method: bytes) -> bool:
        return method in self._methods or (
            self._any_method and _TOKEN.fullmatch(method) is not None
        )

    def _takes_header(self, name: bytes) -> bool:
        return name.lower() in self._headers or (
            self._any_header and _TOKEN.fullmatch(name) is not None
        )

    def _add(self, origin: str) -> None:
        # `null` is the origin of sandboxed pages and of files.
        if origin in ("*", "null"):
            self._known.add(origin.encode("ascii"))
            return
        match = _ORIGIN.fullmatch(origin.lower())
        if match is None:
            raise ValueError(
                f"cors: {origin!r} is no origin; write https://example.org, with a port if it is "
                "not the usual one and without a path, or https://*.example.org"
            )
        scheme, wildcard, *place = (part.encode("ascii") for part in match.groups(""))
        host = b"".join(place)
        if wildcard:
            pattern = re.escape(scheme) + _LABELS + re.escape(host)
            self._patterns.append(re.compile(pattern))
        else:
            self._known.add(scheme + host)


def _tokens(names: Iterable[str]) -> list[bytes]:
    """The names as bytes; raises ValueError for what is no token, which could end a line."""
    found = [name.encode("latin-1", "replace") for name in names]
    for name in found:
        if _TOKEN.fullmatch(name) is None:
            raise ValueError(f"cors: {name.decode('latin-1')!r} is no name")
    return found
