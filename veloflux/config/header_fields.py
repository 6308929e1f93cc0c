"""The types of header fields that routes match and edit."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from veloflux.config.wording import quote

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
# Visible ASCII with spaces and tabs inside: no CR, LF or NUL can split a message (RFC 9110,
# section 5.5), and no byte beyond ASCII means two things to two readers.
_VALUE = re.compile(r"(?:[!-~](?:[ \t!-~]{0,4094}[!-~])?)?")
# What frames a message or belongs to one connection is the proxy's own (RFC 9110, section 7.6.1;
# RFC 9112, section 6): an edit would desynchronise one side or the other.
FRAMING = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def field_name(text: str) -> str:
    """A header field's name; raises ValueError."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{quote(text)} is no header name; write letters, digits and hyphens")
    return text


def field_value(text: str) -> str:
    """A header field's value; raises ValueError, without the value: it may be a secret."""
    if not _VALUE.fullmatch(text):
        raise ValueError(
            "is no header value; take up to 4096 visible ASCII characters, with spaces only between"
        )
    return text


def editable(text: str) -> str:
    """The name of a field that may be edited; raises ValueError."""
    if field_name(text).lower() in FRAMING:
        raise ValueError(
            f"{quote(text)} cannot be edited; it belongs to the connection, and VeloFlux sets it"
        )
    if text.lower() == "x-request-id":
        # A second line would be another id than the log's, on whichever side reads that one.
        raise ValueError(
            f"{quote(text)} cannot be edited; a proxy in trusted_proxies may say it instead"
        )
    return text


def editable_in_request(text: str) -> str:
    """The name of a request's field that may be edited; raises ValueError."""
    if text.lower() == "host":
        raise ValueError(
            f"{quote(text)} cannot be edited; preserve_host: false sends the backend's own address"
        )
    return editable(text)


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{quote(text)} is no name; write letters, digits and hyphens")
    return text


def _schema(kind: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "format": kind, "examples": list(examples)})


Token = Annotated[str, AfterValidator(_token), _schema("name", "veloflux")]
FieldName = Annotated[str, AfterValidator(field_name), _schema("header name", "X-Tenant")]
FieldValue = Annotated[str, AfterValidator(field_value), _schema("header value", "on")]
EditableName = Annotated[str, AfterValidator(editable), _schema("header name", "X-Frame-Options")]
EditableRequestName = Annotated[
    str, AfterValidator(editable_in_request), _schema("header name", "X-Region")
]
