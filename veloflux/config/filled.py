"""Parts of a document with every key, those that are left out at their defaults.

Values stay as they are written, and so do variables. What is not valid is passed over: this is for
what has been read.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from veloflux.config.explain import section_in
from veloflux.config.section import Section


def filled(kind: type[Section], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a section says, in the order of the reference."""
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        inner = section_in(field.annotation)
        if name in written:
            value = written[name]
        elif field.default is not PydanticUndefined:
            value = field.default
        else:
            factory: Any = field.default_factory
            value = {} if factory is None else factory()
        found[name] = _whole(inner, value)
    return found


def _whole(kind: type[Section] | None, value: Any) -> Any:
    if kind is None:
        return value
    if isinstance(value, BaseModel):
        # A default that is one: all of it is at its own defaults.
        return filled(kind, {})
    if value is True:
        return filled(kind, {})  # for `{}`, where that is allowed
    if isinstance(value, Mapping):
        return filled(kind, value)
    if isinstance(value, list):
        return [_whole(kind, each) for each in value]
    return value
