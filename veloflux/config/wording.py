"""How error messages say a value, a path and what may have been meant."""

import difflib
import json
import re
from collections.abc import Iterable

Loc = tuple[str | int, ...]

_COMPARED = 200
_SIMPLE = re.compile(r"[A-Za-z_<][\w<-]{0,63}", re.ASCII)


def quote(value: object, longest: int = 60) -> str:
    """Say a value in one short line; control characters are escaped, so that none reaches a
    terminal or forges a log line."""
    if isinstance(value, str):
        text = value if len(value) <= longest else value[: longest - 1] + "…"
        return json.dumps(text, ensure_ascii=not text.isprintable())
    if isinstance(value, (dict, list)) or value is None:
        return kind(value)
    return json.dumps(value) if isinstance(value, bool) else repr(value)[:longest]


def kind(value: object) -> str:
    """Say what sort of thing a value is."""
    match value:
        case None:
            return "nothing"
        case bool():
            return json.dumps(value)
        case int() | float():
            return f"the number {value!r}"
        case str():
            return f"the text {quote(value)}"
        case dict():
            return "a mapping"
        case list():
            return "a list"
    return type(value).__name__


def sort(value: object) -> str:
    """Say what sort of thing a value is without showing it: it may be a secret."""
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
    return kind(value)


def dotted(loc: Loc) -> str:
    """Say a path: `pools[0].backends[1].labels["my zone"]`."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _SIMPLE.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{quote(part)}]"
    return path


def suggest(word: str, words: Iterable[str]) -> str:
    """Say which of `words` was meant, or which there are."""
    choices = list(words)
    # A comparison costs some microseconds; of thousands, nobody wants it for each.
    near = choices[:_COMPARED]
    close = difflib.get_close_matches(word[:64].lower(), near, n=1, cutoff=0.6)
    if not close and len(word) > 2:
        close = [choice for choice in choices if choice.startswith(word)]
    if close:
        return f"did you mean {quote(close[0])}?"
    if not choices:
        return "there is none"
    shown = choices[:24]
    return f"write one of {', '.join(shown)}{', …' if len(choices) > len(shown) else ''}"
