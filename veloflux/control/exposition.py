"""Metrics as text in Prometheus' exposition format 0.0.4.

The client library is not used at run time: its way to join processes is one memory-mapped file for
each of them, read in full at every scrape, and every line of its own costs it many times more.
Its parser is the judge of this module in the tests.
"""

from collections.abc import Iterable, Mapping
from itertools import accumulate

from veloflux.core.model.metrics import Family

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]
# A counter's or gauge's value; or a histogram's counts, not cumulative, and the sum.
Value = float | tuple[tuple[int, ...], float]

_SPECIAL = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
# Stands where a histogram's labels go.
_LABELS = "\0"


def render(families: Iterable[tuple[Family, Mapping[Labels, Value]]]) -> bytes:
    """Write every family that has values, in the order given.

    A label value comes many times in a page, so its escaped form is remembered; every series is
    one formatting of its family's template, a histogram's eighteen lines too.
    """
    escaped = _Escaped()
    parts: list[str] = []
    for family, values in families:
        if not values:
            continue
        parts.append(f"# HELP {family.name} {_help(family.help)}\n")
        parts.append(f"# TYPE {family.name} {family.kind}\n")
        if family.kind == "histogram":
            _distributions(family, values, escaped, parts)
        else:
            _numbers(family, values, escaped, parts)
    return "".join(parts).encode()


class _Escaped(dict[str, str]):
    def __missing__(self, value: str) -> str:
        self[value] = written = value.translate(_SPECIAL)
        return written


def _numbers(
    family: Family, values: Mapping[Labels, Value], escaped: _Escaped, parts: list[str]
) -> None:
    template = f"{family.name}{_braces(family)} %r\n"
    for labels, value in values.items():
        parts.append(template % (*[escaped[label] for label in labels], value))


def _distributions(
    family: Family, values: Mapping[Labels, Value], escaped: _Escaped, parts: list[str]
) -> None:
    inside = _braces(family)[1:-1]
    comma, braces = (",", f"{{{_LABELS}}}") if inside else ("", "")
    bounds = [f"{bound:g}" for bound in family.buckets] + ["+Inf"]
    lines = [f'{family.name}_bucket{{{_LABELS}{comma}le="{bound}"}} %d\n' for bound in bounds]
    lines.append(f"{family.name}_sum{braces} %r\n{family.name}_count{braces} %d\n")
    template = "".join(lines)
    for labels, value in values.items():
        assert isinstance(value, tuple)
        counts, total = value
        cumulative = [*accumulate(counts)]
        written = inside % (*[escaped[label] for label in labels],)
        series = template.replace(_LABELS, written.replace("%", "%%"))
        parts.append(series % (*cumulative, total, cumulative[-1]))


def _braces(family: Family) -> str:
    """Write the labels with a place for each value; nothing when there are none."""
    if not family.labels:
        return ""
    return "{" + ",".join(f'{name}="%s"' for name in family.labels) + "}"


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
