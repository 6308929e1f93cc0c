"""What an endpoint's function takes and gives, read from its annotations."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from veloflux.control.api.endpoint import Endpoint, Reply

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Signature:
    """Adapters for each part; None for what there is not."""

    parameters: Mapping[str, TypeAdapter[Any]]
    query: TypeAdapter[Any] | None
    body: TypeAdapter[Any] | None
    needs_body: bool
    answer: TypeAdapter[Any] | None
    is_bytes: bool


@cache
def read(row: Endpoint) -> Signature:
    """Read a row's signature; raises TypeError, naming the row, when the two do not agree."""
    hints = get_type_hints(row.answer, include_extras=True)
    answer = hints.pop("return", None)
    if get_origin(answer) is Reply:
        (answer,) = get_args(answer)
    names = list(inspect.signature(row.answer).parameters)[1:]
    in_path = _PARAMETER.findall(row.path)
    wrong = {*in_path} ^ ({*names} - {"query", "body"})
    if wrong or not {*names} <= hints.keys():
        raise TypeError(f"{row.method} {row.path}: {row.answer.__qualname__} {wrong or names}")
    body = hints.get("body")
    return Signature(
        parameters={name: TypeAdapter(hints[name]) for name in in_path},
        query=TypeAdapter(hints["query"]) if "query" in names else None,
        body=TypeAdapter(body) if body is not None else None,
        needs_body=body is not None and not _takes_none(body),
        answer=None if answer in (None, NoneType) else TypeAdapter(answer),
        is_bytes=answer is bytes,
    )


def described(function: Callable[..., object]) -> tuple[str, str]:
    """The first line of a docstring, and what follows it."""
    summary, _, rest = (inspect.getdoc(function) or "").partition("\n")
    return summary, rest.strip()


def _takes_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)
