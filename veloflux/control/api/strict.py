"""JSON and queries, read strictly: what two readers could take for two things is refused.

JSON (RFC 8259) as I-JSON (RFC 7493) has it: UTF-8, no name twice in an object, no lone surrogate,
numbers that others can keep; no NaN or Infinity, which are no JSON at all; and not too deep, since
readers recurse.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from veloflux.control.services.errors import Fault, InvalidError

MAX_DEPTH = 64
# More than any number has that is meant; to read digits takes quadratic time.
MAX_DIGITS = 64
# Up to here all integers are numbers that every reader keeps (RFC 8259, section 6).
EXACT = 2**53


def parse_json(content: bytes) -> Any:
    """Read a whole body; raises InvalidError."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"it is not UTF-8 at byte {error.start}") from None
    try:
        parsed = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _too_deep() from None
    _check(parsed)
    return parsed


def parse_query(query: bytes) -> dict[str, list[str]]:
    """Read a query's parameters, in their order; raises InvalidError."""
    found: dict[str, list[str]] = {}
    for pair in query.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        try:
            decoded = unquote_to_bytes(value).decode()
            found.setdefault(unquote_to_bytes(name).decode(), []).append(decoded)
        except UnicodeDecodeError:
            raise InvalidError("The query is not UTF-8; encode it so.") from None
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _malformed(f"an object has {json.dumps(twice[:60])} twice")
    return found


def _constant(word: str) -> Any:
    raise _malformed(f"{word} is no JSON")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _malformed(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> float | int:
    number = float(text)
    if len(text) > MAX_DIGITS or math.isinf(number):
        raise _malformed(f"a number is too large, or has more than {MAX_DIGITS} digits")
    # JSON has one kind of number, and JSON Schema takes 5.0 for an integer.
    return int(number) if number.is_integer() and abs(number) < EXACT else number


def _check(parsed: Any) -> None:
    """Look at every value's depth and at every text; without recursion, whatever is sent."""
    level: list[Any] = [parsed]
    for depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            if depth == MAX_DEPTH and isinstance(value, (dict, list)):
                raise _too_deep()
            if isinstance(value, dict):
                _check_texts(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        _check_texts(value for value in level if isinstance(value, str))
        level = below


def _check_texts(texts: Iterable[str]) -> None:
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError:
        raise _malformed("a text has half of a surrogate pair") from None


def _malformed(why: str) -> InvalidError:
    return InvalidError("The body is no JSON that can be used.", [Fault("", "syntax", why)])


def _too_deep() -> InvalidError:
    return _malformed(f"it is nested more than {MAX_DEPTH} deep")
