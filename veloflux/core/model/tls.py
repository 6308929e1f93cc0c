"""What TLS is spoken with, as frozen values.

Files travel with what stood in them when they were read, so that a worker opens none, and one that
was replaced is a difference like any other. No content is ever shown: some are private keys.
"""

from dataclasses import dataclass, field
from typing import Literal

Version = Literal["1.2", "1.3"]
Alpn = Literal["h2", "http/1.1"]


@dataclass(frozen=True, slots=True)
class Document:
    """A file at an absolute path, and its bytes."""

    path: str
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain, and its private key; both are PEM."""

    cert: Document
    key: Document


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """TLS towards clients: the first certificate is for those that name no host.

    With `client_ca`, clients must show a certificate of one of these authorities.
    """

    certificates: tuple[Certificate, ...]
    min_version: Version = "1.2"
    client_ca: Document | None = None
    alpn: tuple[Alpn, ...] = ("h2", "http/1.1")


@dataclass(frozen=True, slots=True)
class BackendTls:
    """TLS towards a backend, verified by `ca` (None: the system's authorities) and by
    `server_name` (None: the host of its address), unless `insecure_skip_verify`."""

    server_name: str | None = None
    ca: Document | None = None
    cert: Document | None = None
    key: Document | None = None
    insecure_skip_verify: bool = False
