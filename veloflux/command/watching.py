"""`veloflux apply --watch`: a change that goes back by itself when traffic burns."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

from veloflux.command.daemon import Daemon, DaemonError
from veloflux.command.exits import FAILED, OK

_LOOK_S = 1.0
_ALL = "/api/config/transactions"


def commit_and_watch(
    daemon: Daemon,
    document: Mapping[str, Any],
    reason: str,
    watch_s: float,
    limits: Mapping[str, float | None],
) -> tuple[int, dict[str, Any]]:
    """Put a document in the place of the configuration and wait for the verdict; returns the exit
    status and the transaction. Interrupted, the daemon goes on watching."""
    transaction: dict[str, Any] = daemon.post(_ALL, reason=reason)
    path = f"{_ALL}/{transaction['id']}"
    try:
        daemon.put(f"{path}/changes", {"config": document, "mode": "replace"})
        asked = {name: limit for name, limit in limits.items() if limit is not None}
        found = daemon.post(f"{path}/commit", {"watch": f"{watch_s:g}s", "reason": reason, **asked})
    except BaseException:
        # What went wrong first is what is told.
        with suppress(DaemonError):
            daemon.delete(path)
        raise
    while found["state"] == "watching":
        click.echo(
            f"revision {found['revision']} is watched until {found['watch_until']}", err=True
        )
        time.sleep(min(_LOOK_S * 5, watch_s))
        found = daemon.get(path)
    return (FAILED if found["state"] == "rolled_back" else OK), found
