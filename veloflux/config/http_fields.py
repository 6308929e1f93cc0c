"""The types of values that HTTP defines: hosts, paths, methods, targets, statuses."""

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from veloflux.config.wording import kind, quote
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.target import normalise_host, normalise_path

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_PATH = re.compile(r"/[!-~]{0,2047}")
_URL = re.compile(r"https?://(?P<authority>[^/?#@\\]+)(?:[/?#][!-~]*)?")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"))
_RANGE = re.compile(r"(?P<low>[1-5][0-9]{2})(?:-(?P<high>[1-5][0-9]{2}))?")


def network(text: str) -> str:
    """Return an IP network in its one spelling; raises ValueError."""
    try:
        return str(ip_network(text))
    except ValueError:
        pass
    try:
        wider = str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(
            f"{quote(text)} is no network; write 10.0.0.0/8, 192.0.2.7 or fd00::/8"
        ) from None
    raise ValueError(f"{quote(text)} has bits beyond its prefix; did you mean {quote(wider)}?")


def host(text: str) -> str:
    """Return a route's host as requests are compared with it; raises ValueError."""
    if text == "*":
        return text
    if len(text) > 255:
        raise ValueError(f"{quote(text)} is no host; a name has 253 characters at most")
    if not text.isascii():
        raise ValueError(f"{quote(text)} is not ASCII; write its xn-- form (Punycode)")
    name = text.removeprefix("*.")
    if "*" in name or (name != text and name.startswith("[")):
        raise ValueError(f"{quote(text)}: a * stands alone or before the first dot: *.example.org")
    try:
        normal, authority = normalise_host(name.encode())
    except ProtocolError:
        raise ValueError(
            f"{quote(text)} is no host; write example.org, *.example.org or *"
        ) from None
    if normal != authority or ":" in re.sub(r"\[.*\]", "", name):
        raise ValueError(f"{quote(text)} has a port; routes do not look at it, write the host only")
    return text[: len(text) - len(name)].lower() + normal.decode()


def path_prefix(text: str) -> str:
    """Return a path in the one form that requests are compared in; raises ValueError."""
    if not text.startswith("/"):
        raise ValueError(f"{quote(text)} does not begin with a slash; write {quote('/' + text)}")
    for mark, what in (("?", "query"), ("#", "fragment")):
        if mark in text:
            raise ValueError(f"{quote(text)} has a {what}; a prefix is of the path alone")
    if not _PATH.fullmatch(text):
        raise ValueError(
            f"{quote(text)} is no path; take up to 2048 visible ASCII characters, others as %XX"
        )
    try:
        normal = normalise_path(text.encode()).decode()
    except ProtocolError as error:
        raise ValueError(
            f"{quote(text)}: {str(error).lower()}; such requests are refused"
        ) from None
    if normal != text:
        raise ValueError(
            f"{quote(text)} is not normalised, so no request matches; did you mean {quote(normal)}?"
        )
    return text


def check_target(text: str) -> str:
    """A health check's path, with or without a query; raises ValueError."""
    if not _PATH.fullmatch(text) or "#" in text:
        raise ValueError(f"{quote(text)} is no path; write /health, in visible ASCII")
    return text


def method(text: str) -> str:
    """A request method; raises ValueError. Methods are case-sensitive (RFC 9110, section 9.1)."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{quote(text)} is no method; write GET")
    if text not in _METHODS and text.upper() in _METHODS:
        raise ValueError(f"no method is called {quote(text)}; did you mean {quote(text.upper())}?")
    return text


def redirect_target(text: str) -> str:
    """A URL or an absolute path to send clients to; raises ValueError."""
    if len(text) > 2048 or not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise ValueError(f"{quote(text)} is no URL; write https://example.org/ in visible ASCII")
    if text.startswith("//"):
        raise ValueError(f"{quote(text)} leaves the scheme open; write https:{quote(text)[1:-1]}")
    if text.startswith("/"):
        return text
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(f"{quote(text)} is no URL; write https://example.org/ or /path")
    try:
        normalise_host(found["authority"].encode())
    except ProtocolError:
        raise ValueError(f"{quote(text)} has no valid host; write https://example.org/") from None
    return text


def status_ranges(value: object) -> tuple[tuple[int, int], ...]:
    """Read `200-399` or `200,204,301-399`, inclusive; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        wrong = f'must be text such as "200-399" or "200,204", not {kind(value)}'
        raise ValueError(wrong)  # noqa: TRY004  # pydantic collects ValueErrors only
    ranges = []
    parts = str(value).split(",")
    for part in parts:
        match = _RANGE.fullmatch(part.strip(" "))
        if len(parts) > 64 or match is None or int(match["high"] or 599) < int(match["low"]):
            raise ValueError(
                f'{quote(part)} is no status from 100 to 599; write "200-399" or "200,204,301-399"'
            )
        ranges.append((int(match["low"]), int(match["high"] or match["low"])))
    return tuple(ranges)


def _schema(kind: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "format": kind, "examples": list(examples)})


Network = Annotated[
    str, AfterValidator(network), _schema("network", "10.0.0.0/8", "192.0.2.7", "fd00::/8")
]
Host = Annotated[str, AfterValidator(host), _schema("host", "example.org", "*.example.org", "*")]
PathPrefix = Annotated[str, AfterValidator(path_prefix), _schema("path", "/api")]
CheckTarget = Annotated[str, AfterValidator(check_target), _schema("path", "/health")]
Method = Annotated[str, AfterValidator(method), _schema("method", "GET", "POST")]
RedirectTarget = Annotated[
    str, AfterValidator(redirect_target), _schema("URL", "https://example.org/", "/new")
]
StatusRanges = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(status_ranges),
    _schema("statuses", "200-399", "200,204,301-399"),
]
