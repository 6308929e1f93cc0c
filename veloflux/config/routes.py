"""Sections about which requests go where, and what is changed in them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from veloflux.config.fields import Name, SizeOrNone, Title
from veloflux.config.header_fields import (
    EditableName,
    EditableRequestName,
    FieldName,
    FieldValue,
)
from veloflux.config.http_fields import Host, Method, Network, PathPrefix, RedirectTarget
from veloflux.config.policies import Compression, Cors, Mirror, RateLimit
from veloflux.config.resilience import or_boolean, yes_is_defaults
from veloflux.config.section import Section, option
from veloflux.config.wording import quote


def _once(names: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
    """Header names differ by more than their case (RFC 9110, section 5.1)."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ValueError(f"{quote(name)} is there twice, in other letters; write it once")
        seen.add(name.lower())
    return names


def _matchable(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if name.lower() == "host":
            raise ValueError(f"{quote(name)} is matched by the key host; write it there")
    return headers


_RequestFields = Annotated[
    dict[EditableRequestName, FieldValue], AfterValidator(_once), Field(max_length=100)
]
_ResponseFields = Annotated[
    dict[EditableName, FieldValue], AfterValidator(_once), Field(max_length=100)
]


class RequestEdits(Section):
    """Edits of header fields, in the order remove, set, add."""

    set: _RequestFields = option({}, "Fields that replace any of their name.")
    add: _RequestFields = option({}, "Fields that are put beside others of their name.")
    remove: Annotated[list[EditableRequestName], AfterValidator(_once)] = option(
        [], "Names of fields to take out.", max_length=100
    )


class ResponseEdits(Section):
    """Edits of header fields, in the order remove, set, add."""

    set: _ResponseFields = option({}, "Fields that replace any of their name.")
    add: _ResponseFields = option({}, "Fields that are put beside others of their name.")
    remove: Annotated[list[EditableName], AfterValidator(_once)] = option(
        [], "Names of fields to take out.", max_length=100
    )


# Shared by all routes without any: there may be thousands.
_NO_REQUEST_EDITS = RequestEdits()
_NO_RESPONSE_EDITS = ResponseEdits()


class Redirect(Section):
    """Answers with another place to go, and asks no backend."""

    to: RedirectTarget = Field(
        description="A URL or an absolute path; one that ends in `/` gets the request's path "
        "and query.",
        examples=["https://example.org/"],
    )
    status: Literal[301, 302, 303, 307, 308] = option(308, "The status of the answer.")


class Share(Section):
    """A pool's part of a route's traffic."""

    pool: Name = Field(description="The name of a pool.")
    weight: int = option(1, "In proportion to the others; 0: nothing.", ge=0, le=1000)


class Route(Section):
    """Which requests, and what becomes of them.

    The most specific match wins: an exact host before a wildcard one before `*`, then the longest
    path prefix, then the order of the file.
    """

    id: Title | None = option(
        None,
        "Unique, for logs and metrics; null: the host and the prefix, as in `example.org/api`.",
    )
    host: Host = option("*", "`example.org`, `*.example.org` (any depth below) or `*`.")
    path_prefix: PathPrefix = option(
        "/", "Whole segments: `/api` takes `/api` and `/api/x`, not `/apix`."
    )
    methods: list[Method] = option([], "Only these; empty: all.", max_length=32)
    headers: Annotated[
        dict[FieldName, FieldValue], AfterValidator(_once), AfterValidator(_matchable)
    ] = option({}, "Only requests with exactly these header fields.", max_length=32)
    pool: Name | None = option(
        None, "The pool that answers. A route has one of `pool`, `pools` and `redirect`."
    )
    pools: list[Share] | None = option(
        None, "Several pools by weight, for a canary.", min_length=1, max_length=100
    )
    strip_prefix: bool = option(False, "Take the prefix off the path before it is sent on.")
    preserve_host: bool = option(
        True, "Send the client's Host on; false: the backend's own address."
    )
    request_headers: RequestEdits = Field(
        default_factory=lambda: _NO_REQUEST_EDITS, description="Changes to what the backend gets."
    )
    response_headers: ResponseEdits = Field(
        default_factory=lambda: _NO_RESPONSE_EDITS, description="Changes to what the client gets."
    )
    redirect: Redirect | None = option(None, "null: none.")
    allow: list[Network] = option(
        [], "Networks whose clients may; empty: all. Others get 403.", max_length=10_000
    )
    deny: list[Network] = option(
        [], "Networks whose clients may not, whatever `allow` says.", max_length=10_000
    )
    rate_limit: RateLimit | None = option(None, "null: none.")
    max_body_bytes: SizeOrNone | None = option(
        None, "Bytes of a request's body, in place of the listener's limit; 0: no limit."
    )
    websocket: bool = option(
        True,
        "Whether a request may become a WebSocket; in a pool of `protocol: h2` none can (501).",
    )
    security_headers: bool = option(
        False, "Add the answer header fields that make browsers careful."
    )
    cors: Cors | None = option(None, "null: none.")
    mirror: Mirror | None = option(None, "null: none.")
    compression: Annotated[Compression | None, BeforeValidator(yes_is_defaults)] = option(
        None, "null: none; `{}` or `true`: with the defaults.", json_schema_extra=or_boolean
    )

    @property
    def title(self) -> str:
        """The id, or what stands for it."""
        return self.id or self.host + self.path_prefix
