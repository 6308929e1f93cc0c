"""Sections about what a route does with its requests beside sending them on."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from veloflux.config.fields import DurationOrNone, Name, SizeOrNone, printable
from veloflux.config.header_fields import FieldName, field_name
from veloflux.config.http_fields import Method
from veloflux.config.section import Section, option
from veloflux.config.wording import quote
from veloflux.core.model.policies import COMPRESSIBLE, Coding

# As browsers say it (RFC 6454, section 6.2): lower case, no path.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
_MEDIA_TYPE = re.compile(r"[a-z0-9*!#$&^_.+-]{1,127}/[a-z0-9*!#$&^_.+-]{1,127}", re.IGNORECASE)


def keyed(text: str, plain: tuple[str, ...]) -> str:
    """Check what requests are told apart by: one of `plain`, or a field; raises ValueError."""
    kind, mark, name = text.partition(":")
    if text in plain:
        return text
    if kind in ("header", "cookie") and mark and name:
        field_name(name)
        return text
    raise ValueError(
        f"{quote(text)} tells no requests apart; write {', '.join(plain)}, header:Name or "
        "cookie:Name"
    )


# A client can say anything in these; from proxies that are trusted they make `client_ip`.
_CLAIMS = ("header:x-forwarded-for", "header:x-real-ip", "header:forwarded")


def _rate_key(text: str) -> str:
    if text.lower() in _CLAIMS:
        raise ValueError(
            f"{quote(text)} lets clients choose whose limit they use up; write client_ip, and the "
            "proxies before this one in the listener's trusted_proxies"
        )
    return keyed(text, ("client_ip", "route"))


def _origin(text: str) -> str:
    """An origin, a pattern of them or `*`; raises ValueError."""
    # `null` is the origin of sandboxed pages and of files.
    if text in ("*", "null") or _ORIGIN.fullmatch(text):
        return text
    if _ORIGIN.fullmatch(text.rstrip("/").lower()):
        raise ValueError(
            f"{quote(text)} is not what browsers say; "
            f"did you mean {quote(text.rstrip('/').lower())}?"
        )
    raise ValueError(
        f"{quote(text)} is no origin; write https://app.example.org, https://*.example.org or *"
    )


def _media_type(text: str) -> str:
    """A media type, with `*` for any part of it; raises ValueError."""
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"{quote(text)} is no media type; write text/* or application/json")
    return text


def _once(codings: list[Coding]) -> list[Coding]:
    if len(set(codings)) < len(codings):
        raise ValueError("says a coding twice; write each once")
    return codings


def _within(low: float, high: float) -> AfterValidator:
    """A number between two, in figures: other fractions are durations, and said as such."""

    def check(value: float) -> float:
        if low <= value <= high:
            return value
        bound = f"at least {low:g}" if value < low else f"at most {high:.0f}"
        raise ValueError(f"is {value:g}; must be {bound}")

    return AfterValidator(check)


def _figures(low: float, high: float) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "minimum": low, "maximum": high})


RateKey = Annotated[
    str,
    AfterValidator(_rate_key),
    WithJsonSchema({"type": "string", "examples": ["client_ip", "route", "header:X-Tenant"]}),
]
Origin = Annotated[
    str,
    AfterValidator(printable),
    AfterValidator(_origin),
    WithJsonSchema(
        {"type": "string", "format": "origin", "examples": ["https://app.example.org", "*"]}
    ),
]
MediaType = Annotated[
    str,
    AfterValidator(_media_type),
    WithJsonSchema({"type": "string", "format": "media type", "examples": ["text/*"]}),
]


Finite = Annotated[float, Field(allow_inf_nan=False)]
Rate = Annotated[Finite, _within(0.001, 1_000_000), _figures(0.001, 1_000_000)]
Percent = Annotated[Finite, _within(0, 100), _figures(0, 100)]


class RateLimit(Section):
    """Admits so many requests and answers the others 429."""

    requests_per_second: Rate = Field(
        description="What is admitted in the long run, of all workers; 0.5: one every two seconds.",
        examples=[10],
    )
    burst: int | None = option(None, "At once; null: as many as in a second.", ge=1, le=1_000_000)
    key: RateKey = option(
        "client_ip",
        "Whose requests count together: `client_ip` (IPv6: by /64), `route` (all), `header:Name` "
        "or `cookie:Name`.",
    )


class Cors(Section):
    """Lets pages of other origins read the answers, and answers what browsers ask beforehand."""

    origins: list[Origin] = Field(
        min_length=1,
        max_length=1000,
        description="Origins that may; `https://*.example.org` is any below, `*` any at all.",
    )
    methods: list[Method] = option(
        ["GET", "HEAD", "POST"], "Methods they may use; `*`: all.", max_length=32
    )
    headers: list[FieldName] = option(
        [], "Request header fields they may send; `*`: all.", max_length=100
    )
    expose_headers: list[FieldName] = option(
        [], "Answer header fields they may read; `*`: all.", max_length=100
    )
    credentials: bool = option(False, "Whether cookies and authorization go along.")
    max_age: DurationOrNone = option(
        "10m", "How long browsers may remember what they were told beforehand."
    )


class Mirror(Section):
    """Sends a copy of requests to a second pool, and drops its answers."""

    pool: Name = Field(description="The name of the pool that gets the copies.")
    percent: Percent = option(100, "Of the requests, such as 0.5; 0: none.")
    max_requests: int = option(
        64, "Copies under way at the same time, of each worker.", ge=1, le=100_000
    )
    max_body_bytes: SizeOrNone = option(
        "64KiB", "Requests with a longer body are not copied; 0: none with a body is."
    )


class Compression(Section):
    """Compresses answers for clients that ask for it."""

    codings: Annotated[list[Coding], AfterValidator(_once)] = option(
        ["zstd", "gzip"],
        "In the order of liking; `zstd` where its library is installed.",
        min_length=1,
    )
    types: list[MediaType] = option(
        list(COMPRESSIBLE), "Media types; `*` stands for any part of one.",
        min_length=1, max_length=100,
    )  # fmt: skip
    min_bytes: SizeOrNone = option(
        "1KiB", "Shorter answers are left as they are, where the length is known."
    )
