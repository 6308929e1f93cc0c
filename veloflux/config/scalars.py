"""What a scalar means: types by a strict part of YAML 1.2's core schema, and `${NAME}`.

Only `true` and `false` are booleans, only decimal digits are numbers, and nothing is a date: `no`,
`0755` and `12:30` stay text, so a port is never octal and a country never false. (YAML 1.2.2,
section 10.3, less the spellings that YAML 1.1 reads otherwise.)
"""

import re
from collections.abc import Mapping

_PLAIN = {"": None, "~": None, "null": None, "true": True, "false": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,9})?"
    r"|[-+]?\.inf|\.nan"
)
_DECIMAL_POINT = re.compile(r"[.eE]")

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<body>[^}]*)(?P<end>\}?)")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)


class Substituted(str):
    """Text with `${NAME}` in it, after the replacement.

    Where the key asks for a number, `${PORT}` is one; where it asks for text, a password of digits
    stays text. Quotes make no difference: in `{}` and `[]` YAML needs them.
    """

    __slots__ = ()


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar."""
    if text in _PLAIN:
        return _PLAIN[text]
    if text[0] in "0123456789+-.":
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and (text[-3:] in ("inf", "nan") or _DECIMAL_POINT.search(text)):
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def substitute(text: str, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Replace `${NAME}` and `${NAME:-default}`; `$${` stands for `${` itself.

    As in the shell, the default also stands in for an empty variable. Returns the text and whether
    some of it came from the environment. Raises ValueError for a variable that is unset and for
    anything malformed.
    """
    used = False

    def value(match: re.Match[str]) -> str:
        nonlocal used
        if match["body"] is None:
            return "${"
        body = _BODY.fullmatch(match["body"])
        if body is None or not match["end"] or "${" in match["body"]:
            raise ValueError(
                "a variable is written ${NAME} or ${NAME:-default}, without another inside; "
                "write $${ where ${ is meant"
            )
        name, default = body["name"], body["default"]
        found = environ.get(name)
        if found or (found is not None and default is None):
            used = True
            return found
        if default is None:
            raise ValueError(
                f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return default[2:]

    return _VARIABLE.sub(value, text), used


def retype(value: object) -> object:
    """Return what substituted text would be as a YAML value; other values as they are."""
    return resolve(str(value)) if type(value) is Substituted else value


def escape(text: str) -> str:
    """Write text so that `substitute` gives it back."""
    return text.replace("${", "$${")
