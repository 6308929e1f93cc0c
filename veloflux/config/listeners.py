"""Sections about what clients connect to."""

from typing import Annotated, Literal

from pydantic import Field

from veloflux.config.fields import Duration, ListenAddress, Name, Size, SizeOrNone, Title
from veloflux.config.http_fields import Host, Network
from veloflux.config.section import Section, option
from veloflux.config.tls import ListenerTls


class Limits(Section):
    """What one listener grants its clients."""

    max_connections: int = option(
        10_000,
        "Open connections, of all workers together; further ones are closed at once. The limit of "
        "open files (`ulimit -n`) bounds them too: to clients goes at most four fifths of it.",
        ge=1,
        le=1_000_000,
    )
    max_connections_per_ip: int = option(
        0,
        "Open connections of one client address (IPv6: of one /64) to one worker; 0: no limit.",
        ge=0,
        le=1_000_000,
    )
    max_headers: int = option(100, "Header fields of a request; more: 431.", ge=1, le=1000)
    max_header_bytes: Annotated[Size, Field(ge=1024, le=1 << 20)] = option(
        "32KiB", "Bytes of a request's header fields, 1KiB to 1MiB; more: 431."
    )
    max_target_bytes: Annotated[Size, Field(ge=64, le=1 << 18)] = option(
        "8KiB", "Bytes of a request's target (path and query), 64 to 256KiB; more: 414."
    )
    max_body_bytes: SizeOrNone = option(
        "10MiB", "Bytes of a request's body; more: 413. 0: no limit. Routes may say otherwise."
    )
    header_timeout: Duration = option(
        "10s",
        "For the whole head of a request, for the first byte of a new connection, and for its TLS "
        "handshake.",
    )
    body_timeout: Duration = option("30s", "For a request's body to make no progress.")
    min_body_rate: Size = option(
        240, "Bytes a second that a request's body must average, after 5 s of grace."
    )
    keepalive_timeout: Duration = option("60s", "For a connection to wait for its next request.")
    write_timeout: Duration = option("30s", "For an answer to make no progress towards the client.")


_NO_LIMITS = Limits()


class SniRoute(Section):
    """Where TLS connections for a host go."""

    host: Host = Field(
        description="`example.org` or `*.example.org` (any depth below).", examples=["example.org"]
    )
    pool: Name = Field(description="The pool that they go to, unopened.", examples=["app"])


class Listener(Section):
    """A socket that clients connect to."""

    name: Title | None = option(None, "Unique name, for logs and metrics; null: its address.")
    address: ListenAddress = Field(description="Where to listen.", examples=["127.0.0.1:8080"])
    protocol: Literal["http", "tcp"] = option(
        "http", "`http`: requests go by the routes; `tcp`: connections go to one pool."
    )
    pool: Name | None = option(None, "With `protocol: tcp`, the pool that connections go to.")
    sni: list[SniRoute] = option(
        [],
        "With `protocol: tcp`, pools by the host that a TLS client asks for; nothing is decrypted. "
        "`pool` is for all others, null to refuse them.",
        max_length=10_000,
    )
    tls: ListenerTls | None = option(None, "null: clear text.")
    proxy_protocol: bool = option(
        False, "Expect a PROXY header (version 1 or 2) before anything else."
    )
    h2c: bool = option(
        False, "Let clients speak HTTP/2 in clear text, if they begin with it; no use with `tls`."
    )
    allow: list[Network] = option(
        [],
        "Networks whose clients may connect; empty: all. Others are closed at once.",
        max_length=10_000,
    )
    deny: list[Network] = option(
        [], "Networks whose clients may not, whatever `allow` says.", max_length=10_000
    )
    trusted_proxies: list[Network] = option(
        [],
        "Networks whose `X-Forwarded-*` and `Forwarded` are believed; other clients' are replaced. "
        "With `proxy_protocol`, only they may connect, unless there are none.",
        max_length=10_000,
    )
    limits: Limits = Field(
        default_factory=lambda: _NO_LIMITS, description="What clients are granted."
    )

    @property
    def title(self) -> str:
        """The name, or what stands for it."""
        return self.name or str(self.address)
