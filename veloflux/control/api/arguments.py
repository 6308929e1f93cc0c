"""A request's path, query and body as the arguments of an endpoint's function."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from veloflux.control.api.endpoint import Endpoint
from veloflux.control.api.input import validate
from veloflux.control.api.problem import Problem
from veloflux.control.api.signature import read
from veloflux.control.api.strict import parse_json, parse_query
from veloflux.control.services.errors import Fault, InvalidError, NotFoundError

# As in JSON; no longer than any that is meant.
_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]{0,32})(?P<fraction>\.[0-9]{1,32})?(?P<exponent>[eE][+-]?[0-9]{1,3})?"
)
_DRY_RUN = "dry_run"


class Arguments:
    """Reads the arguments for one row."""

    def __init__(self, row: Endpoint) -> None:
        self._row = row
        self.signature = read(row)
        self._query_types = _types(self.signature.query)

    def path(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Read the path's parameters; raises NotFoundError: what cannot be is not there."""
        try:
            return {
                name: adapter.validate_json(json.dumps(parameters[name]), strict=True)
                for name, adapter in self.signature.parameters.items()
            }
        except (ValidationError, UnicodeEncodeError):
            raise NotFoundError("There is no such thing.") from None

    def query(self, raw: bytes) -> tuple[dict[str, Any], bool]:
        """Read the query, and whether this is a dry run; raises InvalidError.

        Outside of `/api/` there are probes and scrapers, some with a query against caches: it is
        passed over.
        """
        adapter = self.signature.query
        if not self._row.path.startswith("/api/"):
            return {}, False
        found = parse_query(raw)
        is_dry_run = self._row.has_dry_run and _is_true(found.pop(_DRY_RUN, ["false"]))
        if adapter is None and found:
            unknown = [Fault(f"/{name}", "unknown", "is not known here") for name in found]
            raise InvalidError("This endpoint has no such parameters.", unknown[:100])
        if adapter is None:
            return {}, is_dry_run
        typed = {
            name: _typed(self._query_types.get(name, frozenset()), values)
            for name, values in found.items()
        }
        return {"query": validate(adapter, json.dumps(typed).encode(), "The query")}, is_dry_run

    def body(self, content_type: bytes | None, content: bytes) -> dict[str, Any]:
        """Read the body; raises InvalidError, and Problem for what is no JSON.

        To pass over one that a change does not take would be to do something else than was asked.
        """
        adapter = self.signature.body
        if adapter is None:
            if not self._row.is_safe and content.strip() not in _NOTHING:
                raise InvalidError("This takes no body: what it takes is in the path or the query.")
            return {}
        if not content:
            if self.signature.needs_body:
                raise InvalidError("This needs a body, as JSON.")
            return {"body": None}
        if not _is_json(content_type):
            raise Problem(415, "The body must be JSON; say so with Content-Type: application/json.")
        parsed = parse_json(content)
        return {"body": validate(adapter, json.dumps(parsed).encode(), "The body")}


_NOTHING = (b"", b"{}", b"null")


def _is_json(content_type: bytes | None) -> bool:
    kind, _, parameter = (content_type or b"").lower().partition(b";")
    charset = parameter.replace(b" ", b"").replace(b'"', b"")
    return kind.strip() == b"application/json" and charset in (b"", b"charset=utf-8")


def _is_true(values: list[str]) -> bool:
    if values not in (["true"], ["false"]):
        wrong = Fault(f"/{_DRY_RUN}", "value", "is true or false, once")
        raise InvalidError("The query is not as it should be.", [wrong])
    return values == ["true"]


def _types(adapter: TypeAdapter[Any] | None) -> dict[str, frozenset[str]]:
    """Which JSON types each parameter may have."""
    if adapter is None:
        return {}
    properties = adapter.json_schema(mode="validation").get("properties", {})
    return {name: frozenset(_alternatives(schema)) for name, schema in properties.items()}


def _alternatives(schema: Mapping[str, Any]) -> list[str]:
    if "anyOf" in schema:
        return [kind for each in schema["anyOf"] for kind in _alternatives(each)]
    return [schema.get("type", "string")]


def _typed(types: frozenset[str], values: list[str]) -> Any:
    """Make of a parameter's text what its type is; what it cannot be stays text, to be refused."""
    if "array" in types or len(values) > 1:
        return values
    (value,) = values
    match = _NUMBER.fullmatch(value)
    if match and "number" in types:
        return float(value)
    if match and "integer" in types and not (match["fraction"] or match["exponent"]):
        return int(value)
    if "boolean" in types and value in ("true", "false"):
        return value == "true"
    return value
