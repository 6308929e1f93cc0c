"""The OpenAPI 3.1 document, from the same rows and types that answer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from veloflux import __version__
from veloflux.control.api.endpoint import JSON, OPEN, SIGNED_IN, Endpoint
from veloflux.control.api.problem import CONTENT_TYPE, ProblemDetails
from veloflux.control.api.signature import Signature, described, read

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"
_DESCRIPTION = """\
What holds for every call:

* JSON in UTF-8 both ways; a field or parameter that is not known is refused. Times are RFC 3339 in
  UTC, durations text like `"1.5s"`, on input also whole seconds.
* Errors are `application/problem+json` (RFC 9457); `errors` has everything that is wrong, each with
  a JSON Pointer.
* Every answer has an `X-Request-ID`; a well-formed one of the caller's is kept.
* HEAD works where GET does, OPTIONS everywhere.
* A path under `/api/` also answers under `/api/v1/`.
"""
_PROBLEMS = {
    400: "Something in the request is not as it should be; `errors` has all of it.",
    401: "This needs valid credentials.",
    403: "The caller is known, and may not.",
    404: "There is no such thing, or none that the caller may know of.",
    409: "It does not go with what is there.",
    412: "It was meant for another state; `ETag` is that of the current one.",
    413: "The body is too large.",
    415: "The body is no JSON, or does not say so.",
    421: "The Host is none of this listener's.",
    422: "The Idempotency-Key came before with another request.",
    429: "Too many calls; `Retry-After` says when to come again.",
    500: "A bug; the log has it.",
    503: "Something that this needs does not work at the moment.",
}
_HEADERS: dict[str, Schema] = {
    "X-Request-ID": {
        "description": "The id of this call, as in the log.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    },
    "ETag": {
        "description": "What this state is called in If-Match and If-None-Match.",
        "schema": {"type": "string", "pattern": '^"[!#-~]+"$'},
    },
    "Location": {
        "description": "The path of what was created.",
        "schema": {"type": "string", "pattern": "^/"},
    },
    "Retry-After": {
        "description": "Seconds.",
        "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"},
    },
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}},
}
_OF_PROBLEM = {401: "WWW-Authenticate", 412: "ETag", 429: "Retry-After"}
_SCHEMES: Schema = {
    "basic": {"type": "http", "scheme": "basic", "description": "A name and a password."},
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token, or an API key.",
    },
}
_DRY_RUN: Schema = {
    "name": "dry_run",
    "in": "query",
    "description": "Check everything and say what would change; nothing does.",
    "schema": {"type": "boolean", "default": False},
}

_CONDITIONS: tuple[Schema, ...] = (
    {
        "name": "If-Match",
        "in": "header",
        "description": "Only if the ETag is still one of these, or `*`: if there is anything.",
        "schema": {"type": "string"},
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "Only if the ETag is none of these, or `*`: if there is nothing yet.",
        "schema": {"type": "string"},
    },
)
_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same call under the same key is done once; its answer is kept for a day.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


def document(rows: Sequence[Endpoint]) -> Schema:
    """Make the document."""
    tagged = {row.path for row in rows if row.is_safe and row.has_etag}
    parts = [_Part(row, read(row), row.path in tagged) for row in rows]
    schemas = _Schemas(parts)
    paths: Schema = {}
    for part in parts:
        operation = _operation(part, schemas)
        paths.setdefault(part.row.path, {})[part.row.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "VeloFlux admin API",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(part.row.tag for part in parts)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": _HEADERS,
            "responses": {f"Problem{status}": _problem(status) for status in _PROBLEMS},
            "securitySchemes": _SCHEMES,
        },
    }


def problems(row: Endpoint, signature: Signature, has_conditions: bool) -> frozenset[int]:
    """The errors that a row can answer with."""
    found = {400, 413, 421, 429, 500, 503, *row.problems}
    if row.permission != OPEN:
        found |= {401, 403}
    elif row.knows_caller:
        found.add(401)
    if not row.is_safe:
        found.add(403)  # for a page of another origin
    if signature.parameters:
        found.add(404)
    if signature.body is not None:
        found.add(415)
    if has_conditions:
        found.add(412)
    if row.takes_key:
        found |= {409, 422}
    return frozenset(found - {row.status, *row.also})


@dataclass(frozen=True, slots=True)
class _Part:
    row: Endpoint
    signature: Signature
    has_conditions: bool

    def adapters(self) -> Iterator[tuple[str, Any, TypeAdapter[Any]]]:
        """What has a schema: under which key, and whether it is read or written."""
        name, signature = self.row.name, self.signature
        for parameter, adapter in signature.parameters.items():
            yield f"{name} {parameter}", "validation", adapter
        if signature.query is not None:
            yield f"{name} query", "validation", signature.query
        if signature.body is not None:
            yield f"{name} body", "validation", signature.body
        if signature.answer is not None:
            yield f"{name} answer", "serialization", signature.answer


class _Generator(GenerateJsonSchema):
    """Writes no titles, which only repeat the names; and answers have all their fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)


class _Schemas:
    def __init__(self, parts: Iterable[_Part]) -> None:
        inputs = [
            ((key, mode), mode, adapter) for part in parts for key, mode, adapter in part.adapters()
        ]
        inputs.append((("problem", "serialization"), "serialization", TypeAdapter(ProblemDetails)))
        found, rest = TypeAdapter.json_schemas(
            [(key, mode, adapter) for (key, _), mode, adapter in inputs],
            ref_template=_REF,
            schema_generator=_Generator,
        )
        self._found = {key: _tidied(schema) for (key, _), schema in found.items()}
        self.components: Schema = _tidied(rest.get("$defs", {}))
        # A query's model is no schema of its own: its fields are parameters.
        self._queries = {
            key: self._resolved(schema)
            for key, schema in self._found.items()
            if key.endswith(" query")
        }
        for key in self._queries:
            self.components.pop(self._found[key].get("$ref", "").rpartition("/")[2], None)

    def of(self, key: str) -> Schema:
        schema: Schema = self._found[key]
        return schema

    def query(self, key: str) -> Schema:
        return self._queries[key]

    def _resolved(self, schema: Schema) -> Schema:
        name = schema.get("$ref", "").rpartition("/")[2]
        found: Schema = self.components[name] if name else schema
        return found


def _tidied(schema: Any, is_named: bool = True) -> Any:
    """Leave out titles, which only repeat names, and the configuration's own formats: JSON Schema
    has another `duration`."""
    if isinstance(schema, list):
        return [_tidied(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        # Whatever is called `title` under `properties` is a field.
        key: _tidied(each, key not in ("properties", "$defs", "default", "examples"))
        for key, each in schema.items()
        if not (is_named and isinstance(each, str) and _is_odd(key, each))
    }


def _is_odd(key: str, value: str) -> bool:
    return key == "title" or (key == "format" and value not in ("date-time", "ipv4", "ipv6"))


def _operation(part: _Part, schemas: _Schemas) -> Schema:
    row, signature = part.row, part.signature
    summary, description = described(row.answer)
    if row.permission not in (OPEN, SIGNED_IN):
        description = f"Needs `{row.permission}`.\n\n{description}".strip()
    operation: Schema = {
        "operationId": row.name,
        "summary": summary,
        "tags": [row.tag],
        "security": _security(row),
    }
    if description:
        operation["description"] = description
    if parameters := list(_parameters(part, schemas)):
        operation["parameters"] = parameters
    if signature.body is not None:
        operation["requestBody"] = {
            "required": signature.needs_body,
            "content": {JSON: {"schema": schemas.of(f"{row.name} body")}},
        }
    operation["responses"] = _responses(part, schemas)
    return operation


def _security(row: Endpoint) -> list[Schema]:
    known: list[Schema] = [{name: []} for name in _SCHEMES]
    if row.permission != OPEN:
        return known
    return [{}, *known] if row.knows_caller else []


def _parameters(part: _Part, schemas: _Schemas) -> Iterator[Schema]:
    row, signature = part.row, part.signature
    for name in signature.parameters:
        schema = schemas.of(f"{row.name} {name}")
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if signature.query is not None:
        model = schemas.query(f"{row.name} query")
        for name, schema in model.get("properties", {}).items():
            yield _of_query(name, schema, name in model.get("required", ()))
    if row.has_dry_run:
        yield _DRY_RUN
    if part.has_conditions:
        yield from _CONDITIONS
    if row.takes_key:
        yield _KEY


def _of_query(name: str, schema: Schema, is_required: bool) -> Schema:
    """A parameter; one that may be null may be left out, and there is no other way to say it."""
    schema = dict(schema)
    if "anyOf" in schema:
        schema["anyOf"] = [each for each in schema["anyOf"] if each != {"type": "null"}]
        if len(schema["anyOf"]) == 1:
            schema |= schema.pop("anyOf")[0]
    if schema.get("default", "") is None:
        del schema["default"]
    described: Schema = {"name": name, "in": "query", "required": is_required, "schema": schema}
    if "description" in schema:
        described["description"] = schema.pop("description")
    return described


def _responses(part: _Part, schemas: _Schemas) -> Schema:
    row, signature = part.row, part.signature
    success: Schema = {"headers": _headers(row)}
    if signature.answer is not None:
        written = {} if signature.is_bytes else schemas.of(f"{row.name} answer")
        success["content"] = {
            # A reader of YAML has an object, and not its text.
            media: {"schema": {"type": "string"} if media.startswith("text/") else written}
            for media in row.produces
        }
    responses: Schema = {
        str(status): success | {"description": HTTPStatus(status).phrase}
        for status in (row.status, *row.also)
    }
    if row.has_etag and row.is_safe:
        responses["304"] = {"description": "Nothing has changed.", "headers": _headers(row)}
    for status in problems(row, signature, part.has_conditions):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return dict(sorted(responses.items()))


def _headers(row: Endpoint) -> Schema:
    names = ["X-Request-ID"]
    if row.has_etag:
        names.append("ETag")
    if row.status == 201:
        names.append("Location")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problem(status: int) -> Schema:
    details = {"$ref": _REF.format(model="ProblemDetails")}
    names = ["X-Request-ID", *filter(None, [_OF_PROBLEM.get(status)])]
    return {
        "description": _PROBLEMS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {CONTENT_TYPE.decode(): {"schema": details}},
    }
