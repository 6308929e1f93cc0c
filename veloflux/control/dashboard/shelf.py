"""The files of the page, as they are served: read once, and compressed once."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

PAGE = "/"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
# Compressed already.
_DENSE = frozenset({"woff2"})


@dataclass(frozen=True, slots=True)
class File:
    """One file; `gzipped` is None where that gains nothing, `tag` a digest of the content.

    `is_hashed`: its name has a digest of its content, so that under this name it never changes.
    """

    content: bytes
    gzipped: bytes | None
    content_type: str
    tag: str
    is_hashed: bool


@cache
def built() -> Mapping[str, File]:
    """Read what comes with the package, by the paths under which it is served."""
    folder = files("veloflux.control.dashboard") / "built"
    page = {PAGE: _file(folder / "index.html", is_hashed=False)}
    assets = (folder / "assets").iterdir()
    return page | {f"/assets/{each.name}": _file(each, is_hashed=True) for each in assets}


def _file(source: Traversable, *, is_hashed: bool) -> File:
    kind = source.name.rpartition(".")[2]
    content = source.read_bytes()
    return File(
        content=content,
        # Without a time in it, the same file is the same after every start.
        gzipped=None if kind in _DENSE else gzip.compress(content, mtime=0),
        content_type=_TYPES[kind],
        tag=blake2b(content, digest_size=12).hexdigest(),
        is_hashed=is_hashed,
    )
