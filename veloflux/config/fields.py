"""The types of values: what a key takes, what it becomes, and how JSON Schema says it.

A validator raises ValueError with "what is wrong; what would be right".
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from veloflux.config.quantities import LARGEST, parse_duration, parse_size
from veloflux.config.wording import kind, quote
from veloflux.core.model.address import Address

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TITLE = re.compile(r"[!-~]{1,512}")


def printable(text: str) -> str:
    """Refuse control characters; raises ValueError."""
    if len(text) > 4096:
        raise ValueError("is too long; 4096 characters at most")
    if _CONTROLS.search(text):
        raise ValueError("has a control character; take it out")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty; write something, or leave the key out")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{quote(text)} is no name; take up to 64 letters, digits, dots, hyphens and "
            "underscores, the first a letter or digit"
        )
    return text


def _title(text: str) -> str:
    if not _TITLE.fullmatch(text):
        raise ValueError(
            f"{quote(text)} is no name; take up to 512 visible ASCII characters, no spaces"
        )
    return text


def written(value: object, example: str) -> str:
    """Return text; raises ValueError, with the example, for any other type."""
    if not isinstance(value, str):
        wrong = f"must be text such as {example}, not {kind(value)}"
        raise ValueError(wrong)  # noqa: TRY004  # pydantic collects ValueErrors only
    return str(value)


def _duration(value: object) -> float:
    try:
        return parse_duration(written(value, "250ms, 5s, 2m or 1h"))
    except ValueError as error:
        raise ValueError(
            str(error)
            or f"{quote(value)} is no duration; write a whole number and one unit (ms, s, m or h), "
            "such as 250ms, 5s or 90m, 720h at most"
        ) from None


def _more_than_none(seconds: float) -> float:
    if not seconds:
        raise ValueError("must be longer than 0s; every wait has an end here")
    return seconds


def _size(value: object) -> int:
    size = value
    if isinstance(value, str):
        try:
            size = parse_size(value)
        except ValueError:
            size = None
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= LARGEST:
        raise ValueError(
            f"{quote(value)} is no size; write bytes as a number, or text such as 64KiB or 10MiB"
        )
    return size


def address(value: object) -> Address:
    """Read an address to listen on; raises ValueError."""
    text = written(value, "127.0.0.1:8080")
    if text.startswith((":", "*:")) and text.count(":") == 1:
        port = text.rpartition(":")[2]
        raise ValueError(
            f"{quote(text)} has no host; write 0.0.0.0:{port[:5]} for all addresses of IPv4, "
            f"[::]:{port[:5]} for those of IPv6"
        )
    if len(text) > 300:
        raise ValueError(f"{quote(text)} is no address; it is too long")
    return Address.parse(text)


def _backend_address(value: object) -> Address:
    found = address(value)
    if not found.path and not found.port:
        raise ValueError(f"{quote(value)} has port 0; a backend listens on one from 1 to 65535")
    if found.host in ("0.0.0.0", "::"):  # noqa: S104  # refused, not bound
        raise ValueError(f"{quote(value)} is no place to connect to; write 127.0.0.1 or [::1]")
    return found


def _schema(kind: str, pattern: str, *examples: object, **more: Any) -> WithJsonSchema:
    schema = {"type": "string", "format": kind, "pattern": pattern, "examples": [*examples]}
    return WithJsonSchema(schema | more)


def _quantity(minimum: int) -> WithJsonSchema:
    pattern = r"^(0|[1-9][0-9]{0,8})(KiB|MiB|GiB)$"
    return WithJsonSchema(
        {
            # Each of these says something of one of the two types only.
            "type": ["integer", "string"],
            "minimum": minimum,
            "maximum": LARGEST,
            "pattern": pattern,
            "format": "size",
            "examples": ["64KiB", "10MiB", 65536],
        }
    )


_DURATION_SCHEMA = _schema(
    "duration", r"^(0|[1-9][0-9]{0,9})(ms|s|m|h)$", "250ms", "5s", "2m", "1h"
)
_ADDRESS_SCHEMA = _schema(
    "address", r"^(unix:/.+|.+:[0-9]{1,5})$", "127.0.0.1:8080", "[::1]:8080", "unix:/run/app.sock"
)

Text = Annotated[str, AfterValidator(printable)]
FilledText = Annotated[
    Text, AfterValidator(_not_empty), WithJsonSchema({"type": "string", "minLength": 1})
]
Name = Annotated[
    str, AfterValidator(_name), _schema("name", r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "app")
]
Title = Annotated[str, AfterValidator(_title), _schema("name", r"^[!-~]{1,512}$", "web")]
Labels = Annotated[dict[FilledText, Text], Field(max_length=64)]

# Seconds; the one without 0s is for waits that must end.
Duration = Annotated[
    float, BeforeValidator(_duration), AfterValidator(_more_than_none), _DURATION_SCHEMA
]
DurationOrNone = Annotated[float, BeforeValidator(_duration), _DURATION_SCHEMA]
Size = Annotated[int, BeforeValidator(_size), Field(ge=1), _quantity(1)]
SizeOrNone = Annotated[int, BeforeValidator(_size), _quantity(0)]

ListenAddress = Annotated[Address, PlainValidator(address), _ADDRESS_SCHEMA]
BackendAddress = Annotated[Address, PlainValidator(_backend_address), _ADDRESS_SCHEMA]
