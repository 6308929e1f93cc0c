"""What a route does with its requests beside sending them on, as frozen values.

Durations are float seconds, sizes are bytes. The defaults are those of the configuration file.
"""

from dataclasses import dataclass
from typing import Literal

Coding = Literal["gzip", "zstd"]

# Texts, and what travels as text; pictures, sound and archives are compressed already.
COMPRESSIBLE = (
    "text/*",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/wasm",
    "application/*+json",
    "application/*+xml",
    "image/svg+xml",
)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests per second, `burst` of them at once (None: as many as in a second).

    `key` says whose requests count together: `client_ip`, `route`, `header:Name`, `cookie:Name`.
    """

    requests_per_second: float
    burst: int | None = None
    key: str = "client_ip"


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may read the answers; `origins` may be `*`."""

    origins: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    credentials: bool = False
    max_age_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Mirror:
    """A second pool that gets a copy of `percent` of the requests; its answers are dropped.

    At most `max_requests` copies are under way per worker, and none with a body longer than
    `max_body_bytes`.
    """

    pool: str
    percent: float = 100.0
    max_requests: int = 64
    max_body_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Compression:
    """Which answers are compressed for clients that ask for it; `codings` in order of liking."""

    codings: tuple[Coding, ...] = ("zstd", "gzip")
    types: tuple[str, ...] = COMPRESSIBLE
    min_bytes: int = 1024
