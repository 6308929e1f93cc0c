"""The reference of the admin API: what the document says, and one recorded answer of each."""

import json
import shlex
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from veloflux.control.api.endpoint import OPEN, SIGNED_IN, Endpoint
from veloflux.control.api.openapi import document
from veloflux.control.api.table import ROWS

RECORDINGS = Path(__file__).parent / "recordings"
HEAD = """\
# The admin API

<!-- Made from the rows by `make docs`. Change veloflux/control/api/endpoints/ instead. -->

On `admin.address`, loopback unless told otherwise. [How to call it](../howto/call-the-api.md) has
what all calls have in common, [who may](../howto/sign-in.md) is told beside it. The daemon itself
has the same as an OpenAPI 3.1 document at `/api/openapi.json`, and at `/api/docs` a page to read it
and to try calls. A path under `/api/` also answers under `/api/v1/`.

The answers were recorded from a daemon by `make docs-record`; long ones show how they begin.
"""


def recordings() -> dict[str, Any]:
    """All recordings, by the names of operations."""
    found: dict[str, Any] = {}
    for file in sorted(RECORDINGS.glob("*.json")):
        found |= json.loads(file.read_text())
    return found


def page() -> str:
    """Write the whole page; a row that has no recording goes without one."""
    spoken = document(ROWS)
    recorded = recordings()
    parts = [HEAD, *_contents()]
    for tag in dict.fromkeys(row.tag for row in ROWS):
        parts.append(f"## {tag}\n")
        for row in ROWS:
            if row.tag == tag:
                operation = spoken["paths"][row.path][row.method.lower()]
                parts += _endpoint(row, operation, spoken, recorded.get(row.name))
    return "\n".join(parts).rstrip() + "\n"


def _contents() -> Iterator[str]:
    yield "| | path | needs | |\n|---|---|---|---|"
    for row in ROWS:
        summary = (row.answer.__doc__ or "").strip().partition("\n")[0]
        yield f"| {row.method} | `{row.path}` | {_needs(row)} | {summary} |"
    yield ""


def _needs(row: Endpoint) -> str:
    named = {OPEN: "nothing", SIGNED_IN: "a sign-in"}
    return named.get(row.permission, f"`{row.permission}`")


def _endpoint(
    row: Endpoint, operation: Mapping[str, Any], spoken: Mapping[str, Any], recorded: Any
) -> Iterator[str]:
    yield f"### {row.method} {row.path}\n"
    yield f"{operation['summary']} Needs {_needs(row)}.\n"
    described = operation.get("description", "").removeprefix(f"Needs `{row.permission}`.").strip()
    if described:
        yield described + "\n"
    parameters = [
        (each["name"], each["in"], each["required"], each["schema"], each.get("description", ""))
        for each in ({"required": False} | each for each in operation.get("parameters", ()))
    ]
    if parameters:
        yield "| parameter | in | | |\n|---|---|---|---|"
        for name, place, needed, schema, about in parameters:
            mark = "*" if needed else ""
            yield f"| `{name}`{mark} | {place} | {_kind(schema)} | {_cell(about)} |"
        yield ""
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        yield from _fields(schema, spoken)
    if recorded:
        yield from _example(recorded)


def _fields(schema: Mapping[str, Any], spoken: Mapping[str, Any]) -> Iterator[str]:
    while "$ref" in schema or "anyOf" in schema:
        if "anyOf" in schema:
            schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
        else:
            schema = spoken["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if not schema.get("properties"):
        return
    yield "| field of the body | | |\n|---|---|---|"
    for name, each in schema["properties"].items():
        mark = "*" if name in schema.get("required", ()) else ""
        yield f"| `{name}`{mark} | {_kind(each)} | {_cell(each.get('description', ''))} |"
    yield ""


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return _cell(", ".join(f"`{each}`" for each in schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    kind = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if words == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    bounds = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("default", "default"))
        if key in schema
    ]
    return ", ".join([words, *bounds])


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def _example(recorded: Mapping[str, Any]) -> Iterator[str]:
    words = ["curl", "-u", "admin"]
    if recorded["method"] != "GET":
        words += ["-X", recorded["method"]]
    if recorded["body"] is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(recorded["body"])]
    words.append("http://127.0.0.1:9090" + recorded["path"])
    yield f"```console\n$ {shlex.join(words)}\n```\n"
    lines = [f"{recorded['status']} {HTTPStatus(recorded['status']).phrase}"]
    lines += [f"{name}: {value}" for name, value in recorded["headers"].items()]
    answer = recorded["answer"]
    if answer not in ("", None):
        text = answer if isinstance(answer, str) else json.dumps(answer, indent=2)
        lines += ["", text]
    yield "```http\n" + "\n".join(lines) + "\n```\n"
