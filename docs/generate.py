"""Writes docs/reference/ from the code: `make docs`.

Each page comes from the same source as what it describes, so it cannot say anything else. A test
fails when a page is behind.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from veloflux.config.schema import Configuration
from veloflux.config.unavailable import UNAVAILABLE
from veloflux.core.model.metrics import FAMILIES

REFERENCE = Path(__file__).parent / "reference"
Schema = dict[str, Any]
ENDLESS = 1 << 50  # bounds above it are there for the parser, not for the reader

CONFIGURATION = """\
# The configuration file

YAML. A key that is unknown, written twice, of the wrong type or out of range is an error that names
its line. Durations have a unit (`250ms`, `5s`, `2m`, `1h`); sizes are bytes, or have one (`64KiB`,
`10MiB`); addresses are `host:port`, `[v6]:port` or `unix:/path`. `${NAME}` and `${NAME:-default}`
take environment variables, in values only.
"""
METRICS = """\
# Metrics

At `/metrics` on the admin listener, in the Prometheus text format, summed over all workers.
"""


def escaped(text: object) -> str:
    """Text for a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def kind(schema: Schema) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        return f"[{name(schema)}](#{name(schema).lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(choice) for choice in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const']).strip(chr(34))}`"
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    if schema.get("type") == "object":
        return "mapping"
    words = {"string": "text", "integer": "number", "null": "`null`", "boolean": "`true`, `false`"}
    said = schema.get("format") or words.get(schema.get("type", ""), schema.get("type", "any"))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None:
        return said
    return f"{said}, {low} to {high}" if high and high < ENDLESS else f"{said}, {low} or more"


def name(schema: Schema) -> str:
    """The section that a reference points to."""
    return schema["$ref"].rpartition("/")[2]


def default(key: str, schema: Schema, required: list[str]) -> str:
    """What holds when the key is left out."""
    if key in required:
        return "required"
    if "default" not in schema:
        return ""
    value = schema["default"]
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


def sections(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The sections that a value may hold, each with the path of a key of it."""
    if "$ref" in schema:
        yield name(schema), path
    for choice in schema.get("anyOf", ()):
        yield from sections(choice, path)
    if "items" in schema:
        yield from sections(schema["items"], (*path, "*"))


def configuration() -> str:
    """Every key, section by section, in the order of the file."""
    whole = Configuration.model_json_schema()
    limits = {row.path: row.instead for row in UNAVAILABLE}
    parts, shown = [CONFIGURATION], set()
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while waiting:
        section, path = waiting.pop(0)
        if section in shown:
            continue
        shown.add(section)
        schema = whole["$defs"][section] if section else whole
        deeper: list[tuple[str, tuple[str, ...]]] = []
        lines = [f"## {section or 'The file'}", "", schema["description"], ""]
        if path:
            lines += [f"At `{'.'.join(path).replace('.*', '[]')}`.", ""]
        lines += ["| key | value | default | |", "|---|---|---|---|"]
        for key, value in schema["properties"].items():
            said = value.get("description", "")
            here = (*path, key)
            if here in limits:
                said += f" *Limited in this version: {limits[here]}.*"
            else:
                deeper += sections(value, here)
            left_out = default(key, value, schema.get("required", []))
            cells = (f"`{key}`", kind(value), left_out, said)
            lines.append("| " + " | ".join(map(escaped, cells)) + " |")
        waiting[:0] = deeper  # what belongs to a section follows it
        parts.append("\n".join(lines) + "\n")
    # A section that is reached only through a key which is not available has no heading to link to.
    text = "\n".join(parts)
    for section in set(whole["$defs"]) - shown:
        text = text.replace(f"[{section}](#{section.lower()})", "mapping")
    return text


def metrics() -> str:
    """Every family."""
    lines = ["| family | kind | labels | |", "|---|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        cells = (f"`{family.name}`", family.kind, labels, family.help)
        lines.append("| " + " | ".join(map(escaped, cells)) + " |")
    lines.append("")
    for family in FAMILIES:
        if family.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in family.buckets)
            lines.append(f"Buckets of `{family.name}`, in seconds: {bounds}.\n")
    return METRICS + "\n" + "\n".join(lines).rstrip() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "metrics.md": metrics,
}


def main() -> None:
    """Write every page, and say which."""
    REFERENCE.mkdir(exist_ok=True)
    for page, write in PAGES.items():
        (REFERENCE / page).write_text(write())
        print(f"docs/reference/{page}: {inspect.getdoc(write)}")


if __name__ == "__main__":
    sys.exit(main())
