"""The schema for editors (JSON Schema) and for people (Markdown), from one source."""

from collections.abc import Iterator
from typing import Any

import yaml

from veloflux.config.explain import section_at
from veloflux.config.quantities import LARGEST
from veloflux.config.schema import Configuration
from veloflux.config.unavailable import UNAVAILABLE

Schema = dict[str, Any]

_NOT_AVAILABLE = "Not available in this version"

_PREFACE = """\
# The configuration file

<!-- Made from the schema by `make docs`. Change the descriptions in veloflux/config instead. -->

One YAML file; `veloflux check FILE` says what is wrong with one, all at once, with the line of each
error. Every key has a default except names and addresses. This is the smallest file that does the
main job:

```yaml
listeners:
  - address: 127.0.0.1:8080
pools:
  - name: app
    backends:
      - address: 127.0.0.1:9001
      - address: 127.0.0.1:9002
routes:
  - pool: app
```

How values are written:

- **duration**: a whole number and one unit, `250ms`, `5s`, `2m` or `1h`; 720 hours at most. `0s`
  only where it is said what it means.
- **size**: bytes as a number, or `64KiB`, `10MiB`, `1GiB`.
- **address**: `host:port`, `[v6]:port` or `unix:/path`.
- **`${NAME}`** in a value takes an environment variable, `${NAME:-default}` has a default for one
  that is unset or empty; `$${` stands for `${` itself. An unset variable without a default is an
  error. The value may become a number, `true`, `false` or `null` where the key asks for one. Within
  `{ }` and `[ ]` YAML wants quotes around it.

The YAML is a strict part of version 1.2: only `true` and `false` are booleans, and `no`, `0755` and
`12:30` are text. Tabs, duplicate keys, unknown keys, tags, merge keys and a second document are
errors. Relative paths start at the directory of the file.

What this version cannot do yet is validated and then refused by name, never ignored.

`data_dir`, `admin` and `metrics` are read when the daemon starts; a reload that finds them changed
is refused.
"""


def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of the file."""
    schema: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Configuration.model_json_schema(),
    }
    for row in UNAVAILABLE:
        *parents, key = (part for part in row.path if part != "*")
        section = section_at(tuple(parents))
        if section is None:
            raise LookupError(f"no section at {parents}")
        place = schema if section is Configuration else schema["$defs"][section.__name__]
        described = place["properties"][key]
        note = "In this version" if row.is_partial else _NOT_AVAILABLE
        described["description"] += f" **{note}:** {row.instead}."
    return schema


def markdown() -> str:
    """Return the reference page."""
    schema = json_schema()
    return "\n".join([_PREFACE, *_section(schema, schema, "")])


def _section(schema: Schema, root: Schema, path: str) -> Iterator[str]:
    """Yield the lines for one section and those below it that can be used."""
    if path:
        yield f"## `{path}`\n"
        yield schema["description"] + "\n"
    yield "| Key | Takes | Default | |"
    yield "|---|---|---|---|"
    below = []
    for key, field in schema["properties"].items():
        inner, takes = _takes(field, root)
        required = key in schema.get("required", ())
        default = "**required**" if required else _default(field, inner)
        meaning = field.get("description", "")
        yield f"| `{key}` | {takes} | {default} | {meaning} |"
        if inner is not None and _NOT_AVAILABLE not in meaning:
            place = f"{path}.{key}" if path else key
            below.append((inner, f"{place}[]" if field.get("type") == "array" else place))
    yield ""
    for inner, place in below:
        yield from _section(inner, root, place)


def _default(field: Schema, inner: Schema | None) -> str:
    if "default" not in field:
        return "its defaults" if inner is not None else ""
    if field["default"] == "":
        return '`""`'
    text = yaml.safe_dump(field["default"], default_flow_style=True, width=1000)
    return f"`{text.removesuffix(chr(10)).removesuffix('...').strip()}`"


def _takes(field: Schema, root: Schema) -> tuple[Schema | None, str]:
    """Return the section that a key holds, if any, and what kind of value it takes."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return root["$defs"][name], "mapping"
    if "format" in field:
        return None, field["format"] + _range(field)
    if "anyOf" in field:
        found = [_takes(choice, root) for choice in field["anyOf"]]
        sections = [inner for inner, _ in found if inner is not None]
        return next(iter(sections), None), " or ".join(dict.fromkeys(t for _, t in found))
    if "enum" in field:
        return None, ", ".join(f"`{choice}`" for choice in field["enum"])
    if "const" in field:
        return None, f"`{str(field['const']).lower()}`"
    return _takes_type(field, root)


def _takes_type(field: Schema, root: Schema) -> tuple[Schema | None, str]:
    match field["type"]:
        case "array":
            inner, takes = _takes(field["items"], root)
            return inner, f"list of {'mappings' if inner else takes}"
        case "object":
            _, takes = _takes(field["additionalProperties"], root)
            return None, f"mapping to {takes}"
        case "integer":
            return None, "whole number" + _range(field)
        case "number":
            return None, "number" + _range(field)
        case "boolean":
            return None, "`true` or `false`"
        case "string":
            return None, "text"
        case other:
            return None, f"`{other}`"


def _range(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is None and high is None:
        return ""
    if high is None or high == LARGEST:
        return f", {low} or more"
    return f", {low} to {high}"
