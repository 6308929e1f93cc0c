"""The `veloflux` command.

What a verb needs is imported when it runs: `veloflux --help` answers at once, and `check` never
loads a reactor.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from veloflux.config.load import Loaded
    from veloflux.config.problem import Problem

_ABOUT = """\
VeloFlux proxies HTTP and TCP to pools of backends, as one YAML file says. The smallest that does
the main job, say in veloflux.yaml:

  listeners:
    - address: 127.0.0.1:8080
  pools:
    - name: app
      backends:
        - address: 127.0.0.1:9001
        - address: 127.0.0.1:9002
  routes:
    - pool: app

  veloflux check veloflux.yaml     # is it right?
  veloflux run -c veloflux.yaml    # serve, until Ctrl-C
"""

_CHECK = """\
Says "ok", or every error and warning with its file, line and key. Opens no port and asks nobody.

examples:
  veloflux check etc/veloflux.yaml
  veloflux check --strict --json veloflux.yaml     # for a pipeline

exit status: 0 right, 1 errors, 2 warnings with --strict
"""

_EXPLAIN = """\
Says which route takes a request, what its policies say to it, which backend it goes to, and why not
the others. Sends nothing and asks no daemon: every backend is taken as healthy and idle, and the
client as new. What is left to chance is drawn anew each time; --seed repeats it.

examples:
  veloflux explain GET http://shop.example.org/cart
  veloflux explain -c etc/veloflux.yaml POST https://example.org/api --header 'Content-Length: 99'
  veloflux explain GET http://example.org/ --client-ip 10.1.2.3 -o json

exit status: 0 a backend gets it, or a redirect or the like answers it; 1 the file has errors; 2
wrong use; 4 no route takes it; 5 it is refused
"""

_RUN = """\
Serves in the foreground, exactly as `twistd -n veloflux --config FILE` does. SIGHUP reads the file
again; SIGTERM or Ctrl-C finishes the requests in flight and exits, a second one exits at once.

example:
  veloflux run -c etc/veloflux.yaml
"""

_SCHEMA = """\
Prints the JSON Schema of the configuration file, for editors and pipelines, or its reference page.

examples:
  veloflux schema > veloflux.schema.json
  veloflux schema --format markdown
"""

_VERSION = """\
Prints the versions of VeloFlux, Python, Twisted and OpenSSL: what a report of an error needs.

example:
  veloflux version --json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, 2 for a wrong use of it (by SystemExit)."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has enough. Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("veloflux", description=_ABOUT, formatter_class=shape)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    check = verbs.add_parser(
        "check", help="say what is wrong with a file", description=_CHECK, formatter_class=shape
    )
    check.add_argument(
        "path", nargs="?", metavar="FILE", help="the configuration; veloflux.yaml if none is named"
    )
    check.add_argument("-f", "--file", metavar="FILE", help="the same, as an option")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.add_argument("--strict", action="store_true", help="exit with 2 if there are warnings")
    check.set_defaults(run=_check, refuse=check.error)

    explain = verbs.add_parser(
        "explain", help="say where a request goes", description=_EXPLAIN, formatter_class=shape
    )
    explain.add_argument("method", metavar="METHOD", help="such as GET")
    explain.add_argument("url", metavar="URL", help="http://host/path, as a client would write it")
    explain.add_argument(
        "-c", "--config", metavar="FILE", help="the configuration; veloflux.yaml if none is named"
    )
    explain.add_argument(
        "-H", "--header", metavar="FIELD", action="append", default=[], help="one more header line"
    )
    explain.add_argument(
        "--client-ip", metavar="IP", default="127.0.0.1", help="who connects; 127.0.0.1 if not said"
    )
    explain.add_argument(
        "--listener", metavar="NAME", help="where; else the one with the URL's port, or the first"
    )
    explain.add_argument("--seed", type=int, metavar="N", help="draw the lots of this number")
    explain.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")
    explain.set_defaults(run=_explain, refuse=explain.error)

    schema = verbs.add_parser(
        "schema", help="print the file's schema", description=_SCHEMA, formatter_class=shape
    )
    schema.add_argument("--format", choices=("json", "markdown"), default="json")
    schema.set_defaults(run=_schema)

    run = verbs.add_parser(
        "run", help="serve in the foreground", description=_RUN, formatter_class=shape
    )
    run.add_argument(
        "-c", "--config", metavar="FILE", help="the configuration; veloflux.yaml if none is named"
    )
    run.set_defaults(run=_run)

    version = verbs.add_parser(
        "version", help="print the versions in use", description=_VERSION, formatter_class=shape
    )
    version.add_argument("--json", action="store_true", help="print one JSON object")
    version.set_defaults(run=_version)
    return parser


def _check(options: argparse.Namespace) -> int:
    from veloflux.config.load import DEFAULT_FILE, load
    from veloflux.config.problem import ConfigError

    if options.path and options.file:
        options.refuse("give the file once, as FILE or with -f")
    file = options.path or options.file or DEFAULT_FILE
    loaded: Loaded | None = None
    errors: list[Problem] = []
    try:
        loaded = load(file, os.environ)
        warnings = list(loaded.warnings)
    except ConfigError as error:
        errors = [problem for problem in error.problems if problem.code != "advice"]
        warnings = [problem for problem in error.problems if problem.code == "advice"]
    if options.json:
        _print_json(loaded, errors, warnings)
    else:
        _print_problems(loaded, errors, warnings)
    if errors:
        return 1
    return 2 if warnings and options.strict else 0


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


def _explain(options: argparse.Namespace) -> int:
    from veloflux.explain import WrongUseError, run

    try:
        return run(options)
    except WrongUseError as error:
        options.refuse(str(error))
        raise


def _schema(options: argparse.Namespace) -> int:
    from veloflux.config import reference

    if options.format == "markdown":
        print(reference.markdown(), end="")
    else:
        print(json.dumps(reference.json_schema(), indent=2))
    return 0


def _run(options: argparse.Namespace) -> int:
    from twisted.scripts.twistd import run

    from veloflux.config.load import DEFAULT_FILE

    # twistd reads the command line of the process. No pid file: a supervisor, or the terminal,
    # knows which process it is, and a stale file would keep the next start from happening.
    file = options.config or DEFAULT_FILE
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "veloflux", "--config", file]
    run()
    return 0


def _version(options: argparse.Namespace) -> int:
    import platform
    import ssl
    from importlib.metadata import version

    from veloflux import __version__

    versions = {
        "veloflux": __version__,
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "openssl": ssl.OPENSSL_VERSION.split()[1],
    }
    if options.json:
        print(json.dumps(versions))
    else:
        print("\n".join(f"{name} {number}" for name, number in versions.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
