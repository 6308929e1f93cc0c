"""`veloflux token`: access tokens for a while, and API keys for programs."""

from datetime import UTC, datetime, timedelta

import click

from veloflux.command.asking import Column, asks, output, print_table, show
from veloflux.command.daemon import Daemon, segment
from veloflux.command.exits import CommandError

_KEYS: tuple[Column, ...] = (
    ("id", "id"),
    ("name", "name"),
    ("permissions", "permissions"),
    ("expires", "expires_at"),
    ("last used", "last_used_at"),
)


@click.group(
    help="""Make, list and revoke what programs sign in with.

\b
examples:
  veloflux token create ci --permission pools:read --permission pools:write --days 30
  veloflux token list
  veloflux token revoke 0123456789abcdef
  veloflux token whoami"""
)
def token() -> None:
    """Tokens; its help is above."""


@token.command(
    help="""Make an API key and print it: it is shown this once. Its permissions are some of yours,
all of them if none is named.

\b
example:
  veloflux token create ci --permission config:write --days 30 > token"""
)
@click.argument("name")
@click.option(
    "--permission", "permissions", metavar="AREA:VERB", multiple=True, help="May be repeated."
)
@click.option(
    "--days", type=click.IntRange(1, 366), default=90, show_default=True, help="For how long."
)
@click.option("-o", "--output", "form", type=click.Choice(("text", "json", "yaml")), default="text")
@asks
def create(daemon: Daemon, name: str, permissions: tuple[str, ...], days: int, form: str) -> None:
    """Make an API key."""
    expires = datetime.now(UTC) + timedelta(days=days) - timedelta(minutes=1)
    body: dict[str, object] = {"name": name, "expires_at": expires.isoformat()}
    if permissions:
        body["permissions"] = permissions
    found = daemon.post("/api/auth/keys", body)
    show(found, form, lambda: click.echo(found["key"]))


@token.command("list", help="List your API keys, without their secrets.")
@output
@asks
def list_(daemon: Daemon, form: str) -> None:
    """List API keys."""
    found = daemon.get("/api/auth/keys", page_size=500)["items"]
    show(found, form, lambda: print_table(found, _KEYS, "no keys"))


@token.command(help="Delete an API key: nobody gets in with it any more.")
@click.argument("identifier", metavar="ID")
@asks
def revoke(daemon: Daemon, identifier: str) -> None:
    """Delete an API key."""
    daemon.delete(f"/api/auth/keys/{segment(identifier)}")


@token.command(help="Say who you are to the daemon, and what you may.")
@output
@asks
def whoami(daemon: Daemon, form: str) -> None:
    """Say who asks."""
    found = daemon.get("/api/auth/verify")
    if not found.get("valid"):
        raise CommandError("the daemon does not know you", 6)

    def table() -> None:
        click.echo(f"{found['user']['email']} ({found['user']['role']}), by {found['credential']}")
        click.echo("may " + ", ".join(sorted(found["permissions"])))

    show(found, form, table)
