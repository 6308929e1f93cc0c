"""Durations and sizes as text, both ways."""

import re

# In milliseconds: the smallest step, and what every duration is a whole number of.
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"(?P<count>0|[1-9][0-9]{0,9})(?P<unit>ms|s|m|h)")
LONGEST_S = 720 * 3600.0

_UNITS_B = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(?P<count>0|[1-9][0-9]{0,8})(?P<unit>KiB|MiB|GiB)")
# The largest integer that every reader of JSON keeps (RFC 8259, section 6).
LARGEST = 2**53 - 1


def parse_duration(text: str) -> float:
    """Return the seconds that `250ms`, `5s`, `2m` or `1h` stand for.

    Raises ValueError for anything else, also for `1.5s` and `1h30m`, and beyond 720 hours.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError
    seconds = int(match["count"]) * _UNITS_MS[match["unit"]] / 1000
    if seconds > LONGEST_S:
        raise ValueError
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds (to the millisecond) in the largest unit that needs no fraction."""
    milliseconds = round(seconds * 1000)
    if not milliseconds:
        return "0s"
    unit = next(unit for unit in ("h", "m", "s", "ms") if not milliseconds % _UNITS_MS[unit])
    return f"{milliseconds // _UNITS_MS[unit]}{unit}"


def parse_size(text: str) -> int:
    """Return the bytes that `64KiB`, `10MiB` or `1GiB` stand for; raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError
    return int(match["count"]) * _UNITS_B[match["unit"]]


def format_size(size: int) -> int | str:
    """Write bytes in the largest unit that needs no fraction, or as a number."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and not size % _UNITS_B[unit] and size // _UNITS_B[unit] < 10**9:
            return f"{size // _UNITS_B[unit]}{unit}"
    return size
