"""The configuration file as the model: read, validated, checked, or refused with all its errors.

Both functions are pure but for reading the file, keep nothing, and may run in any thread.
"""

import os
from collections.abc import Mapping

from veloflux.config.reader import Loaded, Reader
from veloflux.config.written import Written, open_file, parse

__all__ = ["DEFAULT_FILE", "Loaded", "load", "read"]

DEFAULT_FILE = "veloflux.yaml"


def load(path: str, environ: Mapping[str, str], version: int = 1, *, keeps: bool = False) -> Loaded:
    """Read the file at `path`; the snapshot gets `version`.

    Relative paths in it start at its directory; `workers: auto` counts the processors that this
    process may use. With `keeps`, certificates made on the spot are written to the data directory.
    Raises ConfigError.
    """
    return _loaded(open_file(path), environ, version, keeps=keeps)


def read(
    content: bytes,
    file: str,
    environ: Mapping[str, str],
    version: int = 1,
    *,
    is_public: bool = False,
    keeps: bool = False,
) -> Loaded:
    """Read a configuration from bytes, as if they stood in `file`.

    `is_public` says that every user of the machine can read it. Raises ConfigError.
    """
    return _loaded(parse(content, file, is_public=is_public), environ, version, keeps=keeps)


def _loaded(written: Written, environ: Mapping[str, str], version: int, *, keeps: bool) -> Loaded:
    directory = os.path.dirname(os.path.abspath(written.file))
    return Reader(directory, environ, keeps=keeps).read(written, version)
