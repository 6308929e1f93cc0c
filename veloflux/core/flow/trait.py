"""By what is a client told from another? A trait of its requests, as the configuration names it."""

import re
from collections.abc import Callable

from veloflux.core.wire.http1 import RequestHead

Trait = Callable[[RequestHead, str], bytes]
"""Of a request's head and its client's address; empty where the request has no such thing."""


def trait(name: str) -> Trait:
    """The trait called `client_ip`, `path`, `header:Name` or `cookie:Name`; raises ValueError."""
    if name in _PLAIN:
        return _PLAIN[name]
    kind, _, field = name.partition(":")
    if kind == "header" and field:
        key = field.lower().encode("ascii")
        return lambda head, client: head.fields.value(key) or b""
    if kind == "cookie" and field:
        return _cookie(field.encode("latin-1"))
    raise ValueError(f"{name!r} is no trait; write client_ip, path, header:Name or cookie:Name")


_PLAIN: dict[str, Trait] = {
    "client_ip": lambda head, client: client.encode("ascii", "replace"),
    "path": lambda head, client: head.path,
}


def _cookie(name: bytes) -> Trait:
    # RFC 6265 section 5.4: pairs, separated by a semicolon and a space.
    pair = re.compile(rb"(?:^|[;,])[ \t]*" + re.escape(name) + rb'="?([^;,"]*)')

    def value(head: RequestHead, client: str) -> bytes:
        match = pair.search(head.fields.value(b"cookie") or b"")
        return match[1].strip() if match is not None else b""

    return value
