"""What all verbs that ask a daemon have in common: whom they ask, as whom, and how they answer."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from veloflux.command.credentials import authorization
from veloflux.command.daemon import DEFAULT_SERVER, Daemon

_P = ParamSpec("_P")
_R = TypeVar("_R")

FORMS = ("table", "json", "yaml")


def asks(
    verb: Callable[Concatenate[Daemon, _P], _R],
) -> Callable[..., _R]:
    """Give a verb the options that say where the daemon is, and the daemon as first argument."""

    @click.option(
        "--server",
        metavar="URL",
        envvar="VELOFLUX_SERVER",
        default=DEFAULT_SERVER,
        show_default=True,
        help="The daemon's admin address; unix:/path for a socket.  [env: VELOFLUX_SERVER]",
    )
    @click.option(
        "--token-file",
        metavar="FILE",
        envvar="VELOFLUX_TOKEN_FILE",
        help="A file with an access token or API key, - for standard input.  "
        "[env: VELOFLUX_TOKEN_FILE; the token itself: VELOFLUX_TOKEN]",
    )
    @click.option(
        "--user",
        metavar="NAME",
        envvar="VELOFLUX_USER",
        help="Sign in with this name and a password.",
    )
    @click.option(
        "--password-file",
        metavar="FILE",
        envvar="VELOFLUX_PASSWORD_FILE",
        help="A file with the password, - for standard input.  [env: VELOFLUX_PASSWORD_FILE; the "
        "password itself: VELOFLUX_PASSWORD]",
    )
    @click.option(
        "--ca",
        metavar="FILE",
        envvar="VELOFLUX_CA",
        help="Authorities to verify an https server by; else the system's.",
    )
    @wraps(verb)
    def called(
        server: str,
        token_file: str | None,
        user: str | None,
        password_file: str | None,
        ca: str | None,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        who = authorization(token_file, user, password_file, server)
        daemon = Daemon(server.rstrip("/"), who, ca)
        try:
            return verb(daemon, *args, **kwargs)
        except (LookupError, TypeError, AttributeError):
            # An answer without what a daemon's has: somebody else's JSON, unless the fault is ours.
            if daemon.is_veloflux:
                raise
            raise daemon.stranger() from None
        finally:
            daemon.close()

    return called


output = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMS),
    default="table",
    envvar="VELOFLUX_OUTPUT",
    help="How to print it.",
)

# A column: its title, and what of a row stands in it.
Column = tuple[str, str | Callable[[Mapping[str, Any]], object]]


def show(found: object, form: str, table: Callable[[], None]) -> None:
    """Print what the daemon said: as it is, or as a table."""
    if form == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif form == "yaml":
        import yaml

        click.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), nl=False)
    else:
        table()


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], empty: str) -> None:
    """Print rows below their titles; `empty` is said when there are none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows:
        click.echo(empty, err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title, _ in columns:
        table.add_column(title.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(_of(row, what))) for _, what in columns))
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        # Whoever reads it by program wants each row on one line, however long.
        console = Console(width=100_000)
    console.print(table)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print a name and a value on each line."""
    pairs = [(name, cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name:{width}}  {value}")


def cell(value: object) -> str:
    """Write a value for people; what is not known is a dash."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case dict():
            return ", ".join(f"{name}={cell(each)}" for name, each in value.items()) or "-"
        case list() | tuple():
            return ", ".join(map(cell, value)) or "-"
    return str(value)


def _of(row: Mapping[str, Any], what: str | Callable[[Mapping[str, Any]], object]) -> object:
    return what(row) if callable(what) else row.get(what)
