"""`veloflux explain`: what a configuration does with one request, without sending it.

No daemon is asked: every backend is taken as healthy and idle, and the client as new.
"""

import argparse
import json
import os
import sys
from ipaddress import ip_address
from random import Random, SystemRandom
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from veloflux.config.load import DEFAULT_FILE, load
from veloflux.config.problem import ConfigError
from veloflux.core.flow import account
from veloflux.core.flow.explanation import Explanation, State, explain, misread
from veloflux.core.flow.idle import Idle
from veloflux.core.flow.stages import Stages
from veloflux.core.model.traffic import Listener, Snapshot
from veloflux.core.policy.debts import SECRET_BYTES, Debts, size
from veloflux.core.policy.route import Table
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.grammar import FIELD, REQUEST_LINE
from veloflux.core.wire.http1 import RequestHead, read_request
from veloflux.edge.compression import presses

NO_ROUTE, REFUSED = 4, 5
_STATE = "idle"
_CAUTION = "every backend is taken as healthy and idle, the client as new"
_PORTS = {"http": 80, "https": 443}


class WrongUseError(Exception):
    """The command line says something that is no request."""


class Compiled(NamedTuple):
    """What the table has for a route."""

    stages: Stages


def run(options: argparse.Namespace) -> int:
    """Print the explanation; returns the exit status. Raises WrongUseError."""
    peer = _peer(options.client_ip)
    url = _url(options.url)
    wire = _wire(options.method, url, options.header)
    try:
        snapshot = load(options.config or DEFAULT_FILE, os.environ).node.snapshot
    except ConfigError as error:
        for problem in error.problems:
            if problem.code != "advice":
                print(problem, file=sys.stderr)
        return 1
    listener = _listener(snapshot.listeners, options.listener, url)
    luck = SystemRandom() if options.seed is None else Random(options.seed)  # noqa: S311  # for nothing secret
    head, found = _explained(snapshot, listener, wire, peer, luck)
    if options.output == "text":
        print("\n".join(account.lines(found, head, listener, _CAUTION)))
    elif options.output == "json":
        print(json.dumps(account.plain(found, head, listener, _STATE), indent=2))
    else:
        import yaml

        print(yaml.safe_dump(account.plain(found, head, listener, _STATE), sort_keys=False), end="")
    return _status(found)


def _status(found: Explanation) -> int:
    if found.answer is None or 0 < found.answer.status < 400:
        return 0
    return NO_ROUTE if found.answer.error == "route" else REFUSED


# The request


def _peer(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise WrongUseError(
            f"--client-ip: {text!r} is no address; write 192.0.2.1 or 2001:db8::1"
        ) from None


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018  # raises for what is no port
    except ValueError as error:
        raise WrongUseError(f"{text!r} is no URL: {error}; write http://host/path") from None
    if url.scheme not in _PORTS or not url.netloc:
        raise WrongUseError(f"{text!r} is no URL of a request; write http://host/path")
    if not text.isascii() or any(mark <= " " for mark in text):
        raise WrongUseError(f"{text!r} has characters that a URL cannot have; write them as %XX")
    return url


def _wire(method: str, url: SplitResult, headers: list[str]) -> bytes:
    """The bytes of the head, as a client would send it."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    first = f"{method} {target} HTTP/1.1"
    if not first.isascii() or REQUEST_LINE.fullmatch(first.encode()) is None:
        raise WrongUseError(f"{method!r} is no method; write GET, POST or another")
    lines = [_line(header) for header in headers]
    if not any(line.lower().startswith(b"host:") for line in lines):
        lines.insert(0, b"Host: %b\r\n" % url.netloc.rpartition("@")[2].encode())
    return b"%b\r\n%b\r\n" % (first.encode(), b"".join(lines))


def _line(header: str) -> bytes:
    line = header.encode("latin-1", "replace") + b"\r\n"
    if FIELD.fullmatch(line) is None:
        raise WrongUseError(f"--header: {header!r} is no header; write 'Name: value'")
    return line


def _listener(listeners: tuple[Listener, ...], name: str | None, url: SplitResult) -> Listener:
    """The one that is meant. Raises WrongUseError where there is none."""
    known = [each for each in listeners if each.protocol == "http"]
    if name is not None:
        named = [each for each in known if each.name == name]
        if not named:
            names = ", ".join(each.name for each in known) or "none"
            raise WrongUseError(f"--listener: no HTTP listener called {name!r}; there are: {names}")
        return named[0]
    if not known:
        raise WrongUseError("the configuration has no HTTP listener, so no request can come")
    port = url.port or _PORTS[url.scheme]
    alike = [each for each in known if (each.tls is not None) == (url.scheme == "https")] or known
    return next((each for each in alike if each.address.port == port), alike[0])


def _explained(
    snapshot: Snapshot, listener: Listener, wire: bytes, peer: str, luck: Random
) -> tuple[RequestHead | None, Explanation]:
    try:
        head = read_request(wire, listener.limits, None)
    except ProtocolError as problem:
        return None, misread(problem, peer)
    assert head is not None  # its end is there
    pools = {pool.name: pool for pool in snapshot.pools}
    state = State(
        listener=listener,
        table=Table((route, Compiled(Stages(route))) for route in snapshot.routes),
        place=lambda name: Idle(pools[name], luck.random),
        debts=Debts(memoryview(bytearray(size(1))), bytes(SECRET_BYTES)),
        luck=luck.random,
        now=0.0,
        codings=tuple(each for each in ("zstd", "gzip") if each.encode() in presses()),
    )
    return head, explain(head, peer, state)
