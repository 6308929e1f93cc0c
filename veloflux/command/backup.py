"""Verbs that take all that a daemon keeps along, and bring it back."""

import json
import os
import sys

import click

from veloflux.command.asking import asks, output, show
from veloflux.command.daemon import Daemon
from veloflux.command.exits import OK, CommandError
from veloflux.command.revisions import confirmed, dry_run, reason


@click.command(
    help="""Take a backup: the configuration with all its values, and people and API keys as hashes.

Keep it as you keep a password. A file is written for its owner alone.

\b
examples:
  veloflux backup --file backup.json
  veloflux backup --scope config > configuration.json"""
)
@click.option("--file", "path", metavar="FILE", help="Write it there, in place of printing it.")
@click.option("--scope", type=click.Choice(("all", "config")), default="all", show_default=True)
@asks
def backup(daemon: Daemon, path: str | None, scope: str) -> None:
    """Take a backup."""
    found = daemon.post("/api/backup/create", scope=scope)
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n"
    if path is None:
        click.echo(text, nl=False)
        return
    new = f"{path}.new"
    try:
        # A backup that was there stays whole until this one is.
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", 1) from None


@click.command(
    help="""Restore a backup, all of it or nothing.

Everything that the daemon keeps is replaced, unless it is merged. Who is replaced signs in again.

\b
examples:
  veloflux restore backup.json --dry-run
  veloflux restore --merge backup.json"""
)
@click.argument("path", metavar="FILE")
@click.option("--merge", is_flag=True, help="Add to what is there, by names; else replace it.")
@dry_run
@reason
@confirmed
@output
@asks
def restore(
    daemon: Daemon, path: str, merge: bool, dry_run: bool, reason: str, yes: bool, form: str
) -> int:
    """Restore a backup."""
    document = _read(path)
    asked = {"mode": "merge" if merge else "replace", "reason": reason}
    if not (dry_run or yes) and sys.stdin.isatty():
        trial = daemon.post("/api/backup/restore", document, dry_run=True, **asked)
        click.echo("\n".join(trial["changes"]) or "nothing changes", err=True)
        click.confirm("Restore this?", abort=True, err=True)
    found = daemon.post("/api/backup/restore", document, dry_run=dry_run or None, **asked)
    show(found, form, lambda: click.echo("\n".join(found["changes"]) or "nothing changes"))
    return OK


def _read(path: str) -> object:
    try:
        with click.open_file(path, "rb") as file:
            return json.load(file)
    except RecursionError:
        raise CommandError(f"{path} cannot be read: it is nested too deep", 1) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}", 1) from None
