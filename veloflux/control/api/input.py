"""What callers send: the models it is read into, and what is wrong with it when it is refused."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from veloflux.control.services.errors import Fault, InvalidError

# An answer should not be longer than what it is about.
MAX_FAULTS = 100

_CODES = {"missing": "missing", "extra_forbidden": "unknown"}
_WORDING = {
    "missing": "is needed",
    "extra_forbidden": "is not known here; take it out",
}


_MOMENT = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$"


def _moment(value: object) -> object:
    # Pydantic would take a number in a text for seconds since 1970.
    if not isinstance(value, str):
        return value
    if not re.fullmatch(_MOMENT, value, re.ASCII):
        raise ValueError("is no time such as 2026-01-31T12:00:00Z (RFC 3339)")
    return datetime.fromisoformat(value.upper())


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


class Input(BaseModel):
    """An object that callers send: strict, frozen, with no field that is not known.

    What was left out of a partial object is not in `model_fields_set`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Paging(Input):
    """Which part of a list."""

    page: int = Field(1, ge=1, le=1_000_000, description="Which page, from 1.")
    page_size: int = Field(20, ge=1, le=500, description="How many items a page has.")


def validate(adapter: TypeAdapter[Any], content: bytes, what: str) -> Any:
    """Make of JSON what the adapter is for; raises InvalidError with everything that is wrong."""
    try:
        return adapter.validate_json(content, strict=True)
    except ValidationError as error:
        raise InvalidError(f"{what} is not as it should be.", faults(error)) from None


def faults(error: ValidationError) -> Iterable[Fault]:
    """Say what is wrong and where, without what was sent: it may be a secret."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    for each in found[:MAX_FAULTS]:
        code = _CODES.get(each["type"], "value")
        detail = _WORDING.get(each["type"]) or each["msg"].removeprefix("Value error, ")
        yield Fault(pointer(each["loc"]), code, detail)


def pointer(loc: Iterable[str | int]) -> str:
    """Write a place as JSON Pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in loc)
