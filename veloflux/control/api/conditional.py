"""Conditions on a call: only if this is still the state it was, or only if it is another.

RFC 9110, section 13. Entity tags are strong: made from the content when a row has no better one.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from twisted.web.server import Request

from veloflux.control.services.errors import InvalidError, StaleError

_TAG = rb'(?:W/)?"[!#-~\x80-\xff]*"'
# Empty elements of a list are none (RFC 9110, section 5.6.1.2).
_TAGS = re.compile(rb"[ \t,]*(?:%b[ \t]*(?:,[ \t,]*|\Z))*" % _TAG)
_EACH = re.compile(rb'(?P<weak>W/)?"(?P<tag>[^"]*)"')

# The tags of a field without their quotes; None where there is no field.
Tags = frozenset[str] | Literal["*"] | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """If-Match and If-None-Match of a request."""

    match: Tags = None
    none_match: Tags = None

    def __bool__(self) -> bool:
        return self.match is not None or self.none_match is not None

    def check(self, etag: str | None) -> None:
        """Raise StaleError when a change was meant for another state; None: there is nothing."""
        if self.match is not None and not _holds(self.match, etag):
            raise StaleError("This has changed since, or is gone.", etag or "")
        if self.none_match is not None and _holds(self.none_match, etag):
            raise StaleError("This is there already.", etag or "")

    def is_known(self, etag: str) -> bool:
        """Whether who reads has this state already; raises StaleError for If-Match."""
        Conditions(self.match).check(etag)
        return self.none_match is not None and _holds(self.none_match, etag)


def conditions(request: Request) -> Conditions:
    """Read a request's conditions; raises InvalidError."""
    return Conditions(
        _tags(request, b"If-Match", keeps_weak=False),
        _tags(request, b"If-None-Match", keeps_weak=True),
    )


def tag_of(content: bytes) -> str:
    """Make a tag of content."""
    return blake2b(content, digest_size=16).hexdigest()


def _holds(tags: frozenset[str] | Literal["*"], etag: str | None) -> bool:
    return etag is not None and (tags == "*" or etag in tags)


def _tags(request: Request, name: bytes, *, keeps_weak: bool) -> Tags:
    """Read a field; a weak tag is never the same as a strong one where that is asked."""
    values = request.requestHeaders.getRawHeaders(name)
    if values is None:
        return None
    value = b",".join(values)
    if value.strip() == b"*":
        return "*"
    if not _TAGS.fullmatch(value):
        raise InvalidError(f'{name.decode()} has to be * or quoted tags, as in ETag: "abc".')
    found = (each for each in _EACH.finditer(value) if keeps_weak or not each["weak"])
    return frozenset(each["tag"].decode("latin-1") for each in found)
