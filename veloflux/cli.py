"""The `veloflux` command: which verbs there are, and where each is.

A verb's module is imported when it is called: `veloflux --help` answers at once, `check` never
loads a reactor, and what asks a daemon never loads the configuration's schema.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from veloflux.command.exits import INTERRUPTED, CommandError

_ABOUT = """\
VeloFlux proxies HTTP and TCP to pools of backends, as one YAML file says. The smallest that does
the main job, say in veloflux.yaml:

\b
  listeners:
    - address: 127.0.0.1:8080
  pools:
    - name: app
      backends:
        - address: 127.0.0.1:9001
        - address: 127.0.0.1:9002
  routes:
    - pool: app

\b
  veloflux check veloflux.yaml     # is it right?
  veloflux run -c veloflux.yaml    # serve, until Ctrl-C
  veloflux status                  # how is the daemon on this machine?
"""


class Verb(NamedTuple):
    """Where a verb is, and what it does in a few words."""

    module: str
    name: str
    summary: str


# With a file, and no daemon.
_LOCAL = {
    "check": Verb("local", "check", "say what is wrong with a file"),
    "explain": Verb("explain", "explain", "say where a request goes, and why"),
    "schema": Verb("local", "schema", "print the file's schema"),
    "run": Verb("local", "run", "serve in the foreground"),
    "version": Verb("local", "version", "print the versions in use"),
    "completion": Verb("completion", "completion", "print what makes a shell complete the verbs"),
}
# Of a daemon that runs.
_SHOWN = {
    "status": Verb("state", "status", "show how the daemon is"),
    "pools": Verb("state", "pools", "show pools"),
    "backends": Verb("state", "backends", "show backends, their state and load"),
    "routes": Verb("state", "routes", "show routes"),
    "top": Verb("top", "top", "show live who is busy"),
}
_CHANGED = {
    "apply": Verb("revisions", "apply", "make a file its configuration"),
    "diff": Verb("revisions", "diff", "say how a file or a revision differs"),
    "history": Verb("revisions", "history", "list its revisions"),
    "show": Verb("revisions", "show_revision", "print a revision"),
    "rollback": Verb("revisions", "rollback", "go back to a revision"),
    "export": Verb("revisions", "export", "print its configuration for import"),
    "import": Verb("revisions", "import_", "take over an export"),
    "drain": Verb("change", "drain", "let a backend run empty"),
    "undrain": Verb("change", "undrain", "end a drain"),
    "enable": Verb("change", "enable", "let a backend have traffic"),
    "disable": Verb("change", "disable", "let a backend have none"),
    "weight": Verb("change", "weight", "give a backend another share"),
    "rest": Verb("rest", "rest", "take no more traffic at all"),
    "wake": Verb("rest", "wake", "take traffic again"),
}
_KEPT = {
    "token": Verb("token", "token", "make, list and revoke API keys"),
    "backup": Verb("backup", "backup", "take a backup of all that it keeps"),
    "restore": Verb("backup", "restore", "restore a backup"),
}
SECTIONS = {
    "With a file": _LOCAL,
    "How a daemon is": _SHOWN,
    "What a daemon does": _CHANGED,
    "What it keeps": _KEPT,
}
_VERBS = {name: verb for section in SECTIONS.values() for name, verb in section.items()}


class _Verbs(click.Group):
    """Finds a verb by its name, and imports it then."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = _VERBS.get(cmd_name)
        if verb is None:
            return None
        found = getattr(import_module(f"veloflux.command.{verb.module}"), verb.name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, verb.summary) for name, verb in verbs.items()])


@click.group(
    "veloflux", cls=_Verbs, help=_ABOUT, context_settings={"help_option_names": ["-h", "--help"]}
)
def cli() -> None:
    """The command; its help is above."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, which `command.exits` lists."""
    try:
        status = cli.main(
            None if arguments is None else list(arguments), "veloflux", standalone_mode=False
        )
        sys.stdout.flush()
    except CommandError as error:
        error.show()
        return error.status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has enough. Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
