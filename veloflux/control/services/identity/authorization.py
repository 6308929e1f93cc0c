"""What the Authorization header holds: a name and a password, or a token."""

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass

# A token of 8 KiB; a name and a password of 1 KiB each are less in base64.
MAX_BYTES = 8192 + len("Bearer ")
# token68 (RFC 9110, 11.2)
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP Basic (RFC 7617), in UTF-8."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """A bearer token (RFC 6750)."""

    token: str


def parse(headers: Sequence[bytes]) -> Basic | Bearer | None:
    """Read credentials; None unless there is exactly one well-formed header."""
    if len(headers) != 1 or len(headers[0]) > MAX_BYTES:
        return None
    scheme, _, rest = headers[0].partition(b" ")
    encoded = rest.strip(b" ")
    if not _TOKEN.fullmatch(encoded):
        return None
    if scheme.lower() == b"bearer":
        return Bearer(encoded.decode("ascii"))
    return _basic(encoded) if scheme.lower() == b"basic" else None


def _basic(encoded: bytes) -> Basic | None:
    try:
        decoded = b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = decoded.partition(":")
    return Basic(name, password) if colon else None
