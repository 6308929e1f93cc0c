"""Verbs that need a file at the most, and no daemon."""

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from veloflux.command.exits import FAILED, OK, WRONG_USE

if TYPE_CHECKING:
    from veloflux.config.load import Loaded
    from veloflux.config.problem import Problem

DEFAULT_FILE = "veloflux.yaml"


@click.command(
    help="""Say "ok", or every error and warning with its file, line and key.

Opens no port and asks nobody. FILE is the configuration; veloflux.yaml if none is named.

\b
examples:
  veloflux check etc/veloflux.yaml
  veloflux check --strict --json veloflux.yaml     # for a pipeline

exit status: 0 right, 1 errors, 2 warnings with --strict"""
)
@click.argument("path", metavar="[FILE]", required=False)
@click.option("-f", "--file", metavar="FILE", help="The same, as an option.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
@click.option("--strict", is_flag=True, help="Exit with 2 if there are warnings.")
def check(path: str | None, file: str | None, is_json: bool, strict: bool) -> int:
    """Say what is wrong with a file."""
    from veloflux.config.load import load
    from veloflux.config.problem import ConfigError

    if path and file:
        raise click.UsageError("give the file once, as FILE or with -f")
    loaded: Loaded | None = None
    errors: list[Problem] = []
    try:
        loaded = load(path or file or DEFAULT_FILE, os.environ)
        warnings = list(loaded.warnings)
    except ConfigError as error:
        errors = [problem for problem in error.problems if problem.code != "advice"]
        warnings = [problem for problem in error.problems if problem.code == "advice"]
    if is_json:
        _print_json(loaded, errors, warnings)
    else:
        _print_problems(loaded, errors, warnings)
    if errors:
        return FAILED
    return WRONG_USE if warnings and strict else OK


def _counts(loaded: "Loaded") -> dict[str, int]:
    snapshot = loaded.node.snapshot
    return {
        "listeners": len(snapshot.listeners),
        "pools": len(snapshot.pools),
        "backends": sum(len(pool.backends) for pool in snapshot.pools),
        "routes": len(snapshot.routes),
    }


def _print_problems(
    loaded: "Loaded | None", errors: "list[Problem]", warnings: "list[Problem]"
) -> None:
    for problem in errors:
        print(problem, file=sys.stderr)
    for problem in warnings:
        print(f"{problem} (warning)", file=sys.stderr)
    if loaded is not None:
        counts = (f"{n} {what if n != 1 else what[:-1]}" for what, n in _counts(loaded).items())
        print(f"ok: {', '.join(counts)}")
    else:
        print(f"not ok: {len(errors)} error{'s' if len(errors) != 1 else ''}", file=sys.stderr)


def _print_json(
    loaded: "Loaded | None", errors: "list[Problem]", warnings: "list[Problem]"
) -> None:
    from dataclasses import asdict

    answer = {
        "ok": loaded is not None,
        "errors": [asdict(problem) for problem in errors],
        "warnings": [asdict(problem) for problem in warnings],
        "counts": None if loaded is None else _counts(loaded),
    }
    print(json.dumps(answer, indent=2))


@click.command(
    help="""Print the JSON Schema of the configuration file, for editors and pipelines, or its
reference page.

\b
examples:
  veloflux schema > veloflux.schema.json
  veloflux schema --format markdown"""
)
@click.option("--format", "form", type=click.Choice(("json", "markdown")), default="json")
def schema(form: str) -> None:
    """Print the file's schema."""
    from veloflux.config import reference

    if form == "markdown":
        print(reference.markdown(), end="")
    else:
        print(json.dumps(reference.json_schema(), indent=2))


@click.command(
    help="""Serve in the foreground, exactly as `twistd -n veloflux --config FILE` does.

SIGHUP reads the file again; SIGTERM or Ctrl-C finishes the requests in flight and exits, a second
one exits at once.

\b
example:
  veloflux run -c etc/veloflux.yaml"""
)
@click.option(
    "-c", "--config", metavar="FILE", help="The configuration; veloflux.yaml if none is named."
)
def run(config: str | None) -> None:
    """Serve in the foreground."""
    from twisted.scripts.twistd import run as run_twistd

    # twistd reads the command line of the process. No pid file: a supervisor, or the terminal,
    # knows which process it is, and a stale file would keep the next start from happening.
    file = config or DEFAULT_FILE
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "veloflux", "--config", file]
    run_twistd()


@click.command(
    help="""Print the versions of VeloFlux, Python, Twisted and OpenSSL, and whether connections are
served by compiled code or by Python alone: what a report of an error needs.

\b
example:
  veloflux version --json"""
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def version(is_json: bool) -> None:
    """Print the versions in use."""
    import platform
    import ssl
    from importlib.metadata import version as version_of

    from veloflux import __version__
    from veloflux.edge.direct import is_compiled

    versions = {
        "veloflux": __version__,
        "python": platform.python_version(),
        "twisted": version_of("twisted"),
        "openssl": ssl.OPENSSL_VERSION.split()[1],
        "connections": "compiled" if is_compiled else "python",
    }
    if is_json:
        print(json.dumps(versions))
    else:
        print("\n".join(f"{name} {number}" for name, number in versions.items()))
