"""Is this answer compressed for this client?

Sources: RFC 9110 sections 8.4 (Content-Encoding) and 12.5.3 (Accept-Encoding); RFC 9111 section
5.2 (no-transform).
"""

import re
from functools import lru_cache

from veloflux.core.model.policies import Coding, Compression

# No body, or a part of one whose bytes are counted in what the backend has.
_AS_THEY_ARE = frozenset((204, 205, 206, 304))
_MEMBER = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++)"
    rb"(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?",
    re.IGNORECASE,
)
_LONGEST_KEPT = 256
_NO_TRANSFORM = re.compile(rb"(?:^|[,\s])no-transform(?:$|[,\s])", re.IGNORECASE)
# The fields of an answer that have a say.
_MATTERS = re.compile(
    rb"^(content-type|content-encoding|content-range|cache-control):([^\r]*+)\r",
    re.IGNORECASE | re.MULTILINE,
)

# An answer that would be compressed for another client: it goes as it is, and says so to caches.
IDENTITY = b""


class Rule:
    """A route's compression, compiled; `codings` are those that can be made here, best first."""

    __slots__ = ("_codings", "_min_bytes", "_types")

    def __init__(self, model: Compression, codings: tuple[Coding, ...]) -> None:
        self._codings = tuple(coding.encode("ascii") for coding in codings)
        self._min_bytes = model.min_bytes
        patterns = (re.escape(each.lower()).replace(r"\*", "[^/]*") for each in model.types)
        self._types = re.compile("|".join(patterns).encode("latin-1") or b"(?!)")

    def covers(self, status: int, length: int | None, lines: bytes) -> bool:
        """Whether an answer is of a kind that is compressed; `length` is its body's in bytes, None
        if it is not known, and `lines` are its fields."""
        if status in _AS_THEY_ARE or not self._codings:
            return False
        if length is not None and (length < self._min_bytes or not length):
            return False
        kind = b""
        for match in _MATTERS.finditer(lines):
            name = match[1].lower()
            if name == b"content-type":
                if kind:
                    # Who knows which of them is meant.
                    return False
                kind = match[2].partition(b";")[0].strip(b" \t").lower()
            elif name != b"cache-control" or forbids(match[2]):
                return False
        return self._types.fullmatch(kind) is not None

    def choose(self, accepted: bytes | None) -> bytes:
        """The coding that a client likes best by its Accept-Encoding, IDENTITY for none of ours.

        Without the field all are allowed, but who does not say so may not understand any. Of those
        liked alike the first is taken; one liked less than `identity` is not.
        """
        if not accepted:
            return IDENTITY
        # A client's long lists must not fill the memory of those that come again.
        choose = _remembered if len(accepted) <= _LONGEST_KEPT else _choose
        return choose(accepted, self._codings)


def forbids(cache_control: bytes | None) -> bool:
    """Whether the sender of a Cache-Control, None for none, wants the bytes left as they are."""
    return cache_control is not None and _NO_TRANSFORM.search(cache_control) is not None


def _choose(accepted: bytes, codings: tuple[bytes, ...]) -> bytes:
    liking: dict[bytes, float] = {}
    for member in accepted.split(b","):
        match = _MEMBER.fullmatch(member.strip(b" \t"))
        # One that is not well-formed says nothing.
        if match is not None:
            name = match[1].lower()
            # By its elder name (section 8.4.1.3).
            name = b"gzip" if name == b"x-gzip" else name
            # Of two words on the same the less willing is the safe one.
            liking[name] = min(float(match[2] or 1), liking.get(name, 1.0))
    other = liking.get(b"*", 0.0)
    quality, best = max(
        ((liking.get(coding, other), coding) for coding in codings),
        key=lambda each: each[0],
        default=(0.0, IDENTITY),
    )
    return best if quality and quality >= liking.get(b"identity", 0.0) else IDENTITY


_remembered = lru_cache(maxsize=256)(_choose)
