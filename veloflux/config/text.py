"""Bytes to text: what an editor shows must be what is read.

A byte-order mark, NUL, other control characters, tabs and line ends that only some programs see are
refused before the YAML parser runs, each with its place.
"""

import re

# A file of 10,000 routes has 1.5 MB; a hundred times that is no configuration.
MAX_BYTES = 4 * 1024 * 1024

_BOMS = (
    (b"\xff\xfe", "it is UTF-16"),
    (b"\xfe\xff", "it is UTF-16"),
    (b"\xef\xbb\xbf", "it begins with a byte-order mark"),
)
# YAML 1.1 breaks lines at NEL, LS and PS, and at a bare CR; editors do not: a comment could hide a
# key. The BOM is invisible anywhere. What YAML calls unprintable is refused here, with a line.
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]|\r(?!\n)"
)
# A tab is as wide as each editor says; only comment lines may have any.
_TAB = re.compile(r"^(?![ \t]*#)[^\t\n]*(\t)", re.MULTILINE)


class DocumentError(ValueError):
    """Something is wrong at `line` and `column` (both from 1)."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def decode(content: bytes) -> str:
    """Return the text of a file; raises DocumentError."""
    if len(content) > MAX_BYTES:
        raise DocumentError(f"it is larger than {MAX_BYTES >> 20} MiB; a configuration cannot be")
    for bom, what in _BOMS:
        if content.startswith(bom):
            raise DocumentError(f"{what}; save it as UTF-8 without a byte-order mark")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        raise DocumentError(
            f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8",
            *_place(before, len(before)),
        ) from None
    if found := _REFUSED.search(text):
        raise DocumentError(
            f"the character U+{ord(found[0]):04X} is not allowed; take it out, or write it with an "
            "escape in double quotes",
            *_place(text, found.start()),
        )
    if found := _TAB.search(text):
        raise DocumentError(
            'a tab; use spaces, and "\\t" in double quotes where a tab is meant',
            *_place(text, found.start(1)),
        )
    return text


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
