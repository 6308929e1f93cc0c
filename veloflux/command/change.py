"""Verbs that change one backend: `drain`, `undrain`, `enable`, `disable`, `weight`."""

import sys
import time
from typing import Any

import click

from veloflux.command.asking import asks, output, print_pairs, show
from veloflux.command.daemon import Daemon, segment
from veloflux.command.exits import NOT_THERE, CommandError
from veloflux.command.revisions import confirmed, reason

_LOOK_S = 1.0

which = click.argument("backend", metavar="BACKEND")


def find(daemon: Daemon, backend: str) -> dict[str, Any]:
    """Find a backend by its id, its address, or its pool and address as in `app/127.0.0.1:9001`.

    Raises CommandError where there is none, or more than one.
    """
    rows: list[dict[str, Any]] = daemon.get("/api/backends")
    names = [(row, (row["id"], row["address"], f"{row['pool']}/{row['address']}")) for row in rows]
    found = [row for row, known in names if backend in known]
    if not found:
        raise CommandError(f"there is no backend {backend}; veloflux backends lists all", NOT_THERE)
    if len(found) > 1:
        pools = ", ".join(f"{row['pool']}/{row['address']}" for row in found)
        raise CommandError(f"{backend} is in more than one pool; name one of {pools}", NOT_THERE)
    return found[0]


@click.command(
    help="""Let a backend run empty: it gets no new requests, and those in flight finish.

BACKEND is an id, an address, or POOL/ADDRESS. With --deadline, clients whose cookie leads to it go
elsewhere after so long; without, they may stay.

\b
examples:
  veloflux drain 127.0.0.1:9001 --wait
  veloflux drain app/127.0.0.1:9001 --deadline 30s"""
)
@which
@click.option("--deadline", metavar="TIME", help="Such as 30s or 5m.")
@click.option("--wait", is_flag=True, help="Return when nothing is in flight any more.")
@reason
@confirmed
@output
@asks
def drain(
    daemon: Daemon,
    backend: str,
    deadline: str | None,
    wait: bool,
    reason: str,
    yes: bool,
    form: str,
) -> None:
    """Let a backend run empty."""
    row = find(daemon, backend)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Drain {row['address']} of pool {row['pool']}?", abort=True, err=True)
    path = f"/api/backends/{segment(row['id'])}/drain"
    body = None if deadline is None else {"deadline": deadline}
    found = daemon.post(path, body, reason=reason)
    while wait and found["inflight"]:
        time.sleep(_LOOK_S)
        found = daemon.get(path)
    show(found, form, lambda: print_pairs(found.items()))


@click.command(
    help="""End a drain: the backend gets requests again, with the weight it had.

\b
example:
  veloflux undrain 127.0.0.1:9001"""
)
@which
@reason
@output
@asks
def undrain(daemon: Daemon, backend: str, reason: str, form: str) -> None:
    """End a drain."""
    row = find(daemon, backend)
    found = daemon.delete(f"/api/backends/{segment(row['id'])}/drain", reason=reason)
    show(found, form, lambda: print_pairs(found.items()))


@click.command(
    help="""Let a backend have traffic again.

\b
example:
  veloflux enable 127.0.0.1:9001"""
)
@which
@reason
@output
@asks
def enable(daemon: Daemon, backend: str, reason: str, form: str) -> None:
    """Let a backend have traffic."""
    _change(daemon, backend, {"enabled": True}, reason, form)


@click.command(
    help="""Let a backend have no traffic at all, at once; requests in flight finish.

\b
example:
  veloflux disable 127.0.0.1:9001 --yes"""
)
@which
@reason
@confirmed
@output
@asks
def disable(daemon: Daemon, backend: str, reason: str, yes: bool, form: str) -> None:
    """Let a backend have no traffic."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Take {backend} out?", abort=True, err=True)
    _change(daemon, backend, {"enabled": False}, reason, form)


@click.command(
    help="""Give a backend another share of its pool's traffic.

\b
example:
  veloflux weight 127.0.0.1:9001 5"""
)
@which
@click.argument("weight", type=click.IntRange(0, 1000))
@reason
@output
@asks
def weight(daemon: Daemon, backend: str, weight: int, reason: str, form: str) -> None:
    """Give a backend another share."""
    _change(daemon, backend, {"weight": weight}, reason, form)


def _change(
    daemon: Daemon, backend: str, changes: dict[str, object], reason: str, form: str
) -> None:
    row = find(daemon, backend)
    found = daemon.put(f"/api/backends/{segment(row['id'])}", changes, reason=reason)
    show(found, form, lambda: print_pairs(found.items()))
