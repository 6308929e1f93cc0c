"""Verbs that change a daemon's configuration as a whole, and look at its revisions."""

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import click

from veloflux.command.asking import Column, asks, output, print_table, show
from veloflux.command.daemon import Daemon
from veloflux.command.exits import OK, CommandError
from veloflux.command.local import DEFAULT_FILE
from veloflux.command.watching import commit_and_watch

_HISTORY: tuple[Column, ...] = (
    ("revision", lambda each: f"{each['number']}{'*' if each['in_force'] else ''}"),
    ("at", "at"),
    ("by", "author"),
    ("reason", "reason"),
    ("changes", lambda each: _summary(each)),
)

# Who takes back a change that is watched and does harm.
_DAEMON = "veloflux"

reason = click.option("--reason", metavar="TEXT", default="", help="Why, for the history.")
dry_run = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
confirmed = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def document(path: str) -> dict[str, Any]:
    """Return what of a file is about traffic: what a daemon keeps in revisions.

    Variables stay as they are written; the daemon has its own environment.
    """
    from veloflux.config.problem import ConfigError
    from veloflux.config.written import TRAFFIC, open_file, part

    try:
        written = open_file(path)
    except ConfigError as error:
        raise CommandError(str(error), 1) from None
    if written.faults or not isinstance(written.document, dict):
        raise CommandError(f"{path} is no configuration; veloflux check {path} says why", 1)
    return part(written.document, TRAFFIC)


@click.command(
    help="""Make a file's listeners, pools, routes and logging a daemon's configuration, as one
revision.

It is live in every worker when this returns, or nothing has changed. What is the daemon's own in
the file (data_dir, admin, metrics) is left out. With --watch the daemon observes the
traffic for so long, and goes back by itself when errors or latency rise.

\b
examples:
  veloflux apply veloflux.yaml --dry-run
  veloflux apply veloflux.yaml --reason 'more backends for the sale'
  veloflux apply veloflux.yaml --watch 60 --max-error-rate 0.02

exit status: 0 applied, 1 refused or rolled back, 3 somebody else has changed it meanwhile"""
)
@click.argument("path", metavar="[FILE]", default=DEFAULT_FILE)
@dry_run
@reason
@click.option(
    "--watch", "watch_s", type=click.FloatRange(1, 3600), metavar="S", help="Observe for so long."
)
@click.option(
    "--max-error-rate", type=click.FloatRange(0, 1), metavar="SHARE", help="Such as 0.02."
)
@click.option("--max-p99-ms", type=click.FloatRange(0, min_open=True), metavar="MS")
@output
@asks
def apply(
    daemon: Daemon,
    path: str,
    dry_run: bool,
    reason: str,
    watch_s: float | None,
    max_error_rate: float | None,
    max_p99_ms: float | None,
    form: str,
) -> int:
    """Make a file the configuration."""
    wanted = document(path)
    limits = {"max_error_rate": max_error_rate, "max_p99_ms": max_p99_ms}
    if watch_s is None and any(limit is not None for limit in limits.values()):
        raise click.UsageError("limits are for watching; give --watch with them")
    if watch_s is not None and not dry_run:
        status, ended = commit_and_watch(daemon, wanted, reason, watch_s, limits)
        words = f"{ended['state'].replace('_', ' ')}: {ended['verdict']}"
        show(ended, form, lambda: click.echo(words))
        return status
    found = daemon.put("/api/config", wanted, reason=reason, dry_run=dry_run or None)
    show(found, form, lambda: _print_changes(found))
    return OK


@click.command(
    help="""Say how a file differs from a daemon's configuration, or one revision from another.

\b
examples:
  veloflux diff veloflux.yaml      # what `apply` would change
  veloflux diff 12                 # from revision 12 to what is in force
  veloflux diff 12 14"""
)
@click.argument("one", metavar="[FILE|REVISION]", default=DEFAULT_FILE)
@click.argument("other", metavar="[REVISION]", type=int, required=False)
@output
@asks
def diff(daemon: Daemon, one: str, other: int | None, form: str) -> None:
    """Say how two configurations differ."""
    if one.isdigit() and not os.path.exists(one):
        found = daemon.get(f"/api/config/revisions/{one}/diff", to=other)
    elif other is not None:
        raise click.UsageError("compare two revisions, or a file with what is in force")
    else:
        found = daemon.put("/api/config", document(one), dry_run=True)
    show(found, form, lambda: _print_changes(found))


@click.command(
    help="""List the revisions of a daemon's configuration, the newest first; * is in force.

\b
examples:
  veloflux history
  veloflux history --limit 100 -o json"""
)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, metavar="N")
@output
@asks
def history(daemon: Daemon, limit: int, form: str) -> None:
    """List revisions."""
    found = daemon.get("/api/config/revisions", page_size=limit)
    rows = found["items"]
    show(found, form, lambda: print_table(rows, _HISTORY, "no revisions"))


@click.command(
    "show",
    help="""Print a revision's configuration, or the one in force.

\b
examples:
  veloflux show
  veloflux show 12 -o json""",
)
@click.argument("revision", type=int, required=False)
@click.option("-o", "--output", "form", type=click.Choice(("yaml", "json")), default="yaml")
@asks
def show_revision(daemon: Daemon, revision: int | None, form: str) -> None:
    """Print a revision."""
    if revision is None:
        found = daemon.get("/api/config/export")["config"]
    else:
        found = daemon.get(f"/api/config/revisions/{revision}")["config"]
    show(found, form, lambda: None)


@click.command(
    help="""Make a new revision that equals an earlier one: the one before what is in force, if none
is named. A change that the daemon took back by itself is passed over.

\b
examples:
  veloflux rollback
  veloflux rollback 12 --reason 'errors since 13'"""
)
@click.argument("revision", type=int, required=False)
@reason
@confirmed
@output
@asks
def rollback(daemon: Daemon, revision: int | None, reason: str, yes: bool, form: str) -> None:
    """Go back to an earlier revision."""
    if revision is None:
        revision = earlier(daemon.get("/api/config/revisions", page_size=500)["items"])
    if not yes and sys.stdin.isatty():
        _print_changes(
            daemon.get(f"/api/config/revisions/{daemon_revision(daemon)}/diff", to=revision)
        )
        click.confirm(f"Go back to revision {revision}?", abort=True, err=True)
    found = daemon.post("/api/config/rollback", {"revision": revision, "reason": reason})
    show(found, form, lambda: _print_changes(found))


def daemon_revision(daemon: Daemon) -> int:
    """Return the revision in force."""
    return int(daemon.get("/api/status")["config_revision"])


def earlier(revisions: Iterable[Mapping[str, Any]]) -> int:
    """Return the one before what is in force, past those that the daemon took back by itself.

    To go back to one of these would be to go forward to what did harm. Raises CommandError.
    """
    entries = {entry["number"]: entry for entry in revisions}
    entry = next((each for each in entries.values() if each["in_force"]), None)
    while entry and entry["parent"]:
        burned = entries.get(entry["parent"])
        before = entries.get(burned["parent"]) if burned else None
        if not before or entry["author"] != _DAEMON or _content(entry) != _content(before):
            return int(entry["parent"])
        entry = before
    raise CommandError("there is no earlier revision to go back to", 4)


def _content(entry: Mapping[str, Any]) -> str:
    """What is the same for revisions that say the same: a tag is their number and this."""
    return str(entry["etag"]).partition("-")[2]


@click.command(
    help="""Print a daemon's configuration as one document with a checksum, for `import`.

\b
examples:
  veloflux export > configuration.yaml
  veloflux export -o json --file configuration.json"""
)
@click.option("-o", "--output", "form", type=click.Choice(("yaml", "json")), default="yaml")
@click.option("--file", "path", metavar="FILE", help="Write it there, in place of printing it.")
@asks
def export(daemon: Daemon, form: str, path: str | None) -> None:
    """Print the configuration for `import`."""
    import json

    found = daemon.get("/api/config/export", format=form)
    text = found if isinstance(found, str) else json.dumps(found, indent=2) + "\n"
    if path is None:
        click.echo(text, nl=False)
    else:
        try:
            with open(path, "w") as file:
                file.write(text)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}", 1) from None


@click.command(
    "import",
    help="""Take over a document that `export` has printed, whole or not at all.

\b
examples:
  veloflux import configuration.yaml --dry-run
  veloflux import --merge more-routes.json""",
)
@click.argument("path", metavar="FILE")
@click.option("--merge", is_flag=True, help="Add to what is there, by names; else replace it.")
@dry_run
@reason
@output
@asks
def import_(daemon: Daemon, path: str, merge: bool, dry_run: bool, reason: str, form: str) -> None:
    """Take over an export."""
    found = daemon.post(
        "/api/config/import",
        read_document(path),
        mode="merge" if merge else "replace",
        reason=reason,
        dry_run=dry_run or None,
    )
    show(found, form, lambda: _print_changes(found))


def read_document(path: str) -> object:
    """Read a JSON or YAML document from a file, or from standard input for `-`.

    YAML is read as strictly as a configuration: PyYAML's own reader has no bounds, not of depth.
    """
    import json

    from veloflux.config.problem import ConfigError
    from veloflux.config.written import parse

    try:
        with click.open_file(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", 1) from None
    with suppress(ValueError, RecursionError):
        return json.loads(content)
    try:
        written = parse(content, path)
    except ConfigError as error:
        raise CommandError(str(error), 1) from None
    for fault in written.faults:
        raise CommandError(f"{path}:{fault.line}: {fault}", 1)
    return written.document


def _print_changes(found: dict[str, Any]) -> None:
    for warning in found.get("warnings", ()):
        click.echo(f"warning: {warning}", err=True)
    for change in found["changes"]:
        click.echo(change)
    if not found["changes"]:
        click.echo("nothing changes" if "dry_run" in found else "no differences", err=True)
    elif "etag" in found:
        click.echo(f"revision {found['revision']} is in force", err=True)


def _summary(entry: Mapping[str, Any]) -> str:
    changes = list(entry["changes"])
    if not changes:
        return "-"
    more = len(changes) - 1 + int(entry["omitted"])
    return f"{changes[0]}, and {more} more" if more else str(changes[0])
