"""The schema's errors in the words of the file: what is wrong; what would be right."""

import re
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError

from veloflux.config.problem import Finding
from veloflux.config.quantities import format_duration
from veloflux.config.schema import Configuration
from veloflux.config.section import Section
from veloflux.config.wording import Loc, kind, quote, sort, suggest

_CHOICE = re.compile(r"'([^']*)'|(\d+)")


def explain(error: ValidationError) -> Iterator[Finding]:
    """Say every error of a configuration."""
    for details in error.errors(include_url=False):
        loc = tuple(part for part in details["loc"] if part != "[key]")
        match details["type"]:
            case "extra_forbidden":
                yield Finding(loc, _unknown(loc), "key")
            case "missing":
                yield Finding(loc, _missing(loc), "key")
            case kind:
                say = _MESSAGES.get(kind, _other)
                yield Finding(loc, say(details["input"], details.get("ctx", {})))


def section_at(loc: Loc) -> type[Section] | None:
    """Return the section whose keys stand at `loc`."""
    section: type[Section] | None = Configuration
    for part in loc:
        if isinstance(part, int):
            continue
        if section is None or part not in section.model_fields:
            return None
        section = section_in(section.model_fields[part].annotation)
    return section


def section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType):
        found = (section_in(argument) for argument in get_args(annotation))
        return next((section for section in found if section), None)
    return None


def _unknown(loc: Loc) -> str:
    section = section_at(loc[:-1])
    keys = [] if section is None else list(section.model_fields)
    return f"no key is called {quote(loc[-1])} here; {suggest(str(loc[-1]), keys)}"


def _missing(loc: Loc) -> str:
    section = section_at(loc[:-1])
    field = None if section is None else section.model_fields.get(str(loc[-1]))
    if field is None or not field.examples:
        return f"is missing; write {loc[-1]}: and its value"
    return f"is missing; write {loc[-1]}: {field.examples[0]}"


def _text(value: Any, context: dict[str, Any]) -> str:
    if isinstance(value, (bool, int, float)):
        return f"must be text, not {sort(value)}; put it in quotes"
    return f"must be text, not {sort(value)}"


def _number(value: Any, context: dict[str, Any]) -> str:
    wrong = f"must be a whole number, not {kind(value)}"
    if isinstance(value, str) and re.fullmatch(r"0+[0-9]+", value, re.ASCII):
        return f"{wrong}; write it without leading zeros"
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value, re.ASCII):
        return f"{wrong}; take the quotes off"
    return wrong


def _fraction(value: Any, context: dict[str, Any]) -> str:
    return f"must be a number, such as 10 or 0.5, not {kind(value)}"


def _choice(value: Any, context: dict[str, Any]) -> str:
    choices = [a or b for a, b in _CHOICE.findall(context["expected"])]
    word = value if isinstance(value, str) else ""
    return f"{quote(value)} is not possible; {suggest(word, choices)}"


def _mapping(value: Any, context: dict[str, Any]) -> str:
    if value is None:
        return "is empty; give it keys, write {}, or take it out"
    return f"must be a mapping of keys and values, not {kind(value)}"


def _list(value: Any, context: dict[str, Any]) -> str:
    if value is None:
        return "is empty; give it items, write [], or take it out"
    return f"must be a list, not {kind(value)}; write each item after a hyphen, or [a, b]"


def _amount(value: Any) -> str:
    # The only fractions are durations.
    return format_duration(value) if isinstance(value, float) else str(value)


def _short(value: Any, context: dict[str, Any]) -> str:
    return f"has {context['actual_length']} items; at least {context['min_length']} is needed"


def _long(value: Any, context: dict[str, Any]) -> str:
    return f"has too many items; {context['max_length']} at most"


def _other(value: Any, context: dict[str, Any]) -> str:
    return f"is not right: {sort(value)} cannot be used here"


_MESSAGES: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "value_error": lambda value, context: str(context["error"]),
    "string_type": _text,
    "int_type": _number,
    "float_type": _fraction,
    "finite_number": _fraction,
    "bool_type": lambda value, context: f"must be true or false, not {kind(value)}",
    "greater_than_equal": lambda value, context: (
        f"is {_amount(value)}; must be at least {_amount(context['ge'])}"
    ),
    "less_than_equal": lambda value, context: (
        f"is {_amount(value)}; must be at most {_amount(context['le'])}"
    ),
    "literal_error": _choice,
    "model_type": _mapping,
    "dict_type": _mapping,
    "list_type": _list,
    "too_short": _short,
    "too_long": _long,
}
