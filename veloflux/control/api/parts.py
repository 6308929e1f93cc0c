"""Parts of the configuration as callers send and get them: as in the file, by the same schema.

What is sent stays as it is written, for that is what is stored. Here only its keys are looked at;
all else is validated with the whole configuration, as the file would be.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from veloflux.config.section import Section

# So many digits that a time from now is still one that can be written.
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_LONGEST_S = 10**9
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Part:
    """An annotation: an object with the keys of a section, all of which may be left out when it is
    `partial`. `more` are keys that the API has beside those, with their types."""

    def __init__(
        self,
        section: type[Section],
        *,
        partial: bool = False,
        more: Mapping[str, Any] | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self._section = section
        self._partial = partial
        self._more = more or {}
        self._without = without

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        fields = {
            name: core_schema.typed_dict_field(
                core_schema.any_schema(), required=field.is_required() and not self._partial
            )
            for name, field in self._section.model_fields.items()
            if name not in self._without
        }
        for name, kind in self._more.items():
            fields[name] = core_schema.typed_dict_field(
                handler.generate_schema(kind), required=False
            )
        return core_schema.typed_dict_schema(fields, extra_behavior="forbid")

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = _inlined(self._section)
        known = {
            name: value for name, value in found["properties"].items() if name not in self._without
        }
        more = {name: TypeAdapter(kind).json_schema() for name, kind in self._more.items()}
        found["properties"] = {**known, **more}
        if self._partial:
            found.pop("required", None)
        return found


def _inlined(section: type[Section]) -> JsonSchemaValue:
    """A section's schema with those of its parts inside: they have no other names here."""
    schema = section.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                named = parts[value["$ref"].rpartition("/")[2]]
                value = {**named, **{k: v for k, v in value.items() if k != "$ref"}}
            return {key: whole(each) for key, each in value.items()}
        return [whole(each) for each in value] if isinstance(value, list) else value

    found: JsonSchemaValue = whole(schema)
    return found


def _seconds(value: object) -> object:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return float(match[1]) * _UNITS[match[2]]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LONGEST_S:
        return float(value)
    wrong = 'is no duration; write whole seconds, or text such as "1.5s" or "2m"'
    raise ValueError(wrong)


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["30s"]},
                {"type": "integer", "minimum": 0, "maximum": _LONGEST_S},
            ]
        }
    ),
]
