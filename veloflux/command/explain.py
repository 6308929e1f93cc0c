"""`veloflux explain`: what a configuration does with one request, without sending it.

Of a file, every backend is taken as healthy and idle, and the client as new; with `--live` a daemon
is asked, and answers by the configuration and the backends that it has.
"""

import json
import os
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from random import Random, SystemRandom
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import click

from veloflux.command.asking import asks, show
from veloflux.command.daemon import Daemon
from veloflux.command.exits import FAILED, NOT_THERE, OK, REFUSED
from veloflux.command.local import DEFAULT_FILE
from veloflux.config.load import load
from veloflux.config.problem import ConfigError
from veloflux.core.flow import account
from veloflux.core.flow.explanation import Explanation, State, misread
from veloflux.core.flow.explanation import explain as explain_request
from veloflux.core.flow.idle import Idle
from veloflux.core.flow.stages import Stages
from veloflux.core.model.traffic import Listener, Snapshot
from veloflux.core.policy.debts import SECRET_BYTES, Debts, size
from veloflux.core.policy.route import Table
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.grammar import FIELD, REQUEST_LINE
from veloflux.core.wire.http1 import RequestHead, read_request
from veloflux.edge.compression import presses

_STATE = "idle"
_CAUTION = "every backend is taken as healthy and idle, the client as new"
_PORTS = {"http": 80, "https": 443}


class Compiled(NamedTuple):
    """What the table has for a route."""

    stages: Stages


@click.command(
    help="""Say which route takes a request, what its policies say to it, which backend it goes to,
and why not the others.

Sends nothing. Of a file, every backend is taken as healthy and idle, and the client as new; with
--live a daemon is asked, which knows how its backends are. What is left to chance is drawn anew
each time; --seed repeats it.

\b
examples:
  veloflux explain GET http://shop.example.org/cart
  veloflux explain -c etc/veloflux.yaml POST https://example.org/api -H 'Content-Length: 99'
  veloflux explain GET http://example.org/ --client-ip 10.1.2.3 -o json
  veloflux explain --live GET http://shop.example.org/cart

exit status: 0 a backend gets it, or a redirect or the like answers it; 1 the file has errors; 2
wrong use; 4 no route takes it; 5 it is refused"""
)
@click.argument("method")
@click.argument("url")
@click.option(
    "-c", "--config", metavar="FILE", help="The configuration; veloflux.yaml if none is named."
)
@click.option(
    "-H", "--header", "headers", metavar="FIELD", multiple=True, help="One more header line."
)
@click.option("--client-ip", metavar="IP", default="127.0.0.1", help="Who connects.")
@click.option(
    "--listener", metavar="NAME", help="Where; else the one with the URL's port, or the first."
)
@click.option("--seed", type=int, metavar="N", help="Draw the lots of this number.")
@click.option("-o", "--output", type=click.Choice(("text", "json", "yaml")), default="text")
@click.option("--live", is_flag=True, help="Ask the daemon, and no file.")
@asks
def explain(
    daemon: Daemon,
    method: str,
    url: str,
    config: str | None,
    headers: tuple[str, ...],
    client_ip: str,
    listener: str | None,
    seed: int | None,
    output: str,
    live: bool,
) -> int:
    """Print the explanation; METHOD is such as GET, URL is http://host/path as a client's."""
    peer = _peer(client_ip)
    split = _url(url)
    wire = _wire(method, split, headers)
    if live:
        if config is not None or headers or seed is not None:
            raise click.UsageError("--live asks the daemon: without --config, --header and --seed")
        return _live(daemon, method, split, peer, listener, output)
    try:
        snapshot = load(config or DEFAULT_FILE, os.environ).node.snapshot
    except ConfigError as error:
        for problem in error.problems:
            if problem.code != "advice":
                print(problem, file=sys.stderr)
        return FAILED
    where = _listener(snapshot.listeners, listener, split)
    luck = SystemRandom() if seed is None else Random(seed)  # noqa: S311  # for nothing secret
    head, found = _explained(snapshot, where, wire, peer, luck)
    if output == "text":
        print("\n".join(account.lines(found, head, where, _CAUTION)))
    elif output == "json":
        print(json.dumps(account.plain(found, head, where, _STATE), indent=2))
    else:
        import yaml

        print(yaml.safe_dump(account.plain(found, head, where, _STATE), sort_keys=False), end="")
    return _status(found)


def _live(
    daemon: Daemon, method: str, url: SplitResult, peer: str, listener: str | None, output: str
) -> int:
    found = daemon.get(
        "/api/explain",
        method=method,
        host=url.netloc.rpartition("@")[2],
        path=(url.path or "/") + (f"?{url.query}" if url.query else ""),
        client_ip=peer,
        listener=listener,
    )
    show(found, output, lambda: click.echo("\n".join(found["lines"])))
    answer = found["answer"]
    if answer is None or 0 < answer["status"] < 400:
        return OK
    return NOT_THERE if answer["error"] == "route" else REFUSED


def _status(found: Explanation) -> int:
    if found.answer is None or 0 < found.answer.status < 400:
        return OK
    return NOT_THERE if found.answer.error == "route" else REFUSED


# The request


def _peer(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise click.UsageError(
            f"--client-ip: {text!r} is no address; write 192.0.2.1 or 2001:db8::1"
        ) from None


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018  # raises for what is no port
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no URL: {error}; write http://host/path") from None
    if url.scheme not in _PORTS or not url.netloc:
        raise click.UsageError(f"{text!r} is no URL of a request; write http://host/path")
    if not text.isascii() or any(mark <= " " for mark in text):
        raise click.UsageError(f"{text!r} has characters that a URL cannot have; write them as %XX")
    return url


def _wire(method: str, url: SplitResult, headers: Sequence[str]) -> bytes:
    """The bytes of the head, as a client would send it."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    first = f"{method} {target} HTTP/1.1"
    if not first.isascii() or REQUEST_LINE.fullmatch(first.encode()) is None:
        raise click.UsageError(f"{method!r} is no method; write GET, POST or another")
    lines = [_line(header) for header in headers]
    if not any(line.lower().startswith(b"host:") for line in lines):
        lines.insert(0, b"Host: %b\r\n" % url.netloc.rpartition("@")[2].encode())
    return b"%b\r\n%b\r\n" % (first.encode(), b"".join(lines))


def _line(header: str) -> bytes:
    line = header.encode("latin-1", "replace") + b"\r\n"
    if FIELD.fullmatch(line) is None:
        raise click.UsageError(f"--header: {header!r} is no header; write 'Name: value'")
    return line


def _listener(listeners: tuple[Listener, ...], name: str | None, url: SplitResult) -> Listener:
    """The one that is meant. Raises UsageError where there is none."""
    known = [each for each in listeners if each.protocol == "http"]
    if name is not None:
        named = [each for each in known if each.name == name]
        if not named:
            names = ", ".join(each.name for each in known) or "none"
            raise click.UsageError(
                f"--listener: no HTTP listener called {name!r}; there are: {names}"
            )
        return named[0]
    if not known:
        raise click.UsageError("the configuration has no HTTP listener, so no request can come")
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
    return head, explain_request(head, peer, state)
