"""Configurations for tests: read from text, without a file."""

from collections.abc import Mapping
from textwrap import dedent

from veloflux.config.load import Loaded, read
from veloflux.config.problem import ConfigError, Problem

SMALLEST = """\
listeners:
  - address: 127.0.0.1:8080
pools:
  - name: app
    backends:
      - address: 127.0.0.1:9001
routes:
  - pool: app
"""

FILE = "/srv/conf/veloflux.yaml"


def loaded(text: str, environ: Mapping[str, str] | None = None, **more: bool) -> Loaded:
    """What a text becomes; raises ConfigError."""
    return read(dedent(text).encode(), FILE, environ or {}, **more)


def problems(
    text: str | bytes, environ: Mapping[str, str] | None = None, **more: bool
) -> tuple[Problem, ...]:
    """What is wrong, or doubtful, in a text."""
    content = text if isinstance(text, bytes) else dedent(text).encode()
    try:
        return read(content, FILE, environ or {}, **more).warnings
    except ConfigError as error:
        return error.problems


def said(text: str | bytes, environ: Mapping[str, str] | None = None, **more: bool) -> list[str]:
    """The same, as an operator sees it, less the name of the file."""
    return [str(problem).removeprefix(FILE + ":") for problem in problems(text, environ, **more)]


def with_listener(keys: str) -> str:
    """The smallest file, its listener with further keys in flow style."""
    return SMALLEST.replace("address: 127.0.0.1:8080", f"{{address: 127.0.0.1:8080, {keys}}}")


def with_pool(keys: str) -> str:
    """The smallest file, its pool with further keys, one to a line."""
    return SMALLEST.replace("name: app", f"name: app\n    {keys}")


def with_backend(keys: str) -> str:
    """The smallest file, its backend with further keys in flow style."""
    return SMALLEST.replace("address: 127.0.0.1:9001", f"{{address: 127.0.0.1:9001, {keys}}}")


def with_route(keys: str) -> str:
    """The smallest file, its route with other keys in flow style."""
    return SMALLEST.replace("pool: app", f"{{{keys}}}")
