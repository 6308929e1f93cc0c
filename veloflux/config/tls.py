"""Sections about TLS."""

from typing import Literal

from pydantic import Field

from veloflux.config.fields import FilledText
from veloflux.config.http_fields import Host
from veloflux.config.section import Section, option


class Certificate(Section):
    """A certificate with its key."""

    cert: FilledText = Field(
        description="PEM file of the certificate and its chain.", examples=["tls/site.pem"]
    )
    key: FilledText = Field(description="PEM file of the private key.", examples=["tls/site.key"])


class ListenerTls(Section):
    """TLS towards clients."""

    certificates: list[Certificate] = option(
        [], "Chosen by SNI; the first is for clients that send none.", max_length=10_000
    )
    self_signed: list[Host] = option(
        [],
        "For trying it out: hosts and addresses for one more certificate, made on the spot and "
        "kept in `data_dir`. No client trusts it unasked.",
        examples=[["localhost", "127.0.0.1"]],
        max_length=100,
    )
    min_version: Literal["1.2", "1.3"] = option("1.2", "The lowest TLS version spoken.")
    client_ca: FilledText | None = option(
        None, "PEM file of the authorities whose client certificates are asked for and verified."
    )
    alpn: list[Literal["h2", "http/1.1"]] = option(
        ["h2", "http/1.1"], "Application protocols offered, best first."
    )


class BackendTls(Section):
    """TLS towards a backend."""

    server_name: FilledText | None = option(
        None, "Name for SNI and verification; null: the host of the address."
    )
    ca: FilledText | None = option(
        None, "PEM file of the authorities to trust; null: the system's."
    )
    cert: FilledText | None = option(None, "PEM file of the certificate to present.")
    key: FilledText | None = option(None, "PEM file of its private key.")
    insecure_skip_verify: bool = option(False, "Take any certificate. For experiments.")
