"""Verbs for the daemon as a whole: `rest` and `wake`."""

import sys
import time
from typing import Any

import click

from veloflux.command.asking import asks, output, print_pairs, show
from veloflux.command.daemon import Daemon
from veloflux.command.exits import CONFLICT, CommandError
from veloflux.command.revisions import confirmed

_PATH = "/api/system/drain"
_LOOK_S = 1.0


@click.command(
    help="""Drain the whole daemon: it takes no more traffic, and what is under way finishes.

New connections are refused, and the admin API goes on answering; `wake` ends it. With --deadline,
what has not ended after so long is cut; without, it has as long as when the daemon is stopped.

\b
examples:
  veloflux rest --wait
  veloflux rest --deadline 5m --yes"""
)
@click.option("--deadline", metavar="TIME", help="Such as 30s or 5m.")
@click.option("--wait", is_flag=True, help="Return when nothing is under way any more.")
@confirmed
@output
@asks
def rest(daemon: Daemon, deadline: str | None, wait: bool, yes: bool, form: str) -> None:
    """Drain the whole daemon."""
    if not yes and sys.stdin.isatty():
        click.confirm("Take no more traffic at all?", abort=True, err=True)
    body = None if deadline is None else {"deadline": deadline}
    found: dict[str, Any] = daemon.post(_PATH, body)
    while wait and found["state"] == "draining":
        time.sleep(_LOOK_S)
        found = daemon.get(_PATH)
    if wait and found["state"] == "serving":
        raise CommandError("The daemon does not drain any more: somebody has ended it.", CONFLICT)
    show(found, form, lambda: print_pairs(found.items()))


@click.command(
    help="""Let a daemon that rests take traffic again; returns when its workers serve.

\b
example:
  veloflux wake"""
)
@output
@asks
def wake(daemon: Daemon, form: str) -> None:
    """Take traffic again."""
    found: dict[str, Any] = daemon.delete(_PATH)
    show(found, form, lambda: print_pairs(found.items()))
