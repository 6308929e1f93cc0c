"""Secrets that are made here, given to somebody once, and kept as a hash.

With 256 random bits there is nothing to guess, so a fast hash keeps them as well as a slow one.
"""

import secrets
from hashlib import sha256
from hmac import compare_digest

_BYTES = 32


def made() -> str:
    """Make a secret that can stand in a URL and a header."""
    return secrets.token_urlsafe(_BYTES)


def hashed(secret: str) -> str:
    """What is kept of it."""
    return sha256(secret.encode()).hexdigest()


def is_of(secret: str, kept: str) -> bool:
    """Whether that was kept of it; the time tells nothing."""
    return compare_digest(hashed(secret), kept)
