"""The model written as a configuration file: what `load` reads back as the same node.

Defaults are left out. Paths come out absolute, `workers` as a number.
"""

from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import yaml

from veloflux.config.quantities import format_duration, format_size
from veloflux.config.scalars import escape, resolve
from veloflux.core.model.address import Address
from veloflux.core.model.node import Node
from veloflux.core.model.tls import Certificate, Document
from veloflux.core.model.traffic import Listener, Pool, Route, Share, SniRoute


def dump(node: Node) -> str:
    """Return the YAML text; `load(dump(node))` with the version of its snapshot equals `node`."""
    snapshot = node.snapshot
    file: dict[str, object] = {"workers": node.workers, "data_dir": node.data_dir}
    if node.authority != "store":
        file["authority"] = node.authority
    sections = {
        "admin": changed(node.admin),
        "metrics": {} if node.metrics_address is None else {"address": str(node.metrics_address)},
        "listeners": [_listener(listener) for listener in snapshot.listeners],
        "pools": [_pool(pool) for pool in snapshot.pools],
        "routes": [_route(route) for route in snapshot.routes],
        "logging": _logging(node),
    }
    file |= {key: section for key, section in sections.items() if section}
    text: str = yaml.dump(
        file, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text


def _logging(node: Node) -> dict[str, object]:
    section: dict[str, object] = {"level": node.log_level} if node.log_level != "info" else {}
    if node.snapshot.tracing:
        section["tracing"] = True
    log = node.snapshot.access_log
    if log is None:
        return section | {"access": None}
    return section | _without_empty({"access": changed(log)})


def key(name: str) -> str:
    """Return the key of the file for a field of the model."""
    return name.removesuffix("_s")


def written(name: str, value: object) -> object:
    """Return the value of a model's field as the file has it."""
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, Document):
        return value.path
    if is_dataclass(value) and not isinstance(value, Share):
        return changed(value)
    if isinstance(value, float) and name.endswith("_s"):
        return format_duration(value)
    if isinstance(value, int) and name.endswith("_bytes"):
        return format_size(value)
    if name == "expected_status" and isinstance(value, tuple):
        return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in value)
    if isinstance(value, tuple):
        return [
            changed(each) if isinstance(each, (Certificate, SniRoute)) else each for each in value
        ]
    return value


def changed(value: Any, leave: Iterable[str] = ()) -> dict[str, object]:
    """Return the fields of a model's value that are not at their defaults, but for `leave`."""
    found = {}
    for field in fields(value):
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        now = getattr(value, field.name)
        if field.name not in leave and now != default:
            found[key(field.name)] = written(field.name, now)
    return found


def _without_empty(section: dict[str, Any]) -> dict[str, object]:
    return {key: value for key, value in section.items() if value not in (None, {}, [])}


def _listener(listener: Listener) -> dict[str, object]:
    section = changed(listener)
    if listener.name == str(listener.address):
        del section["name"]
    return section


def _pool(pool: Pool) -> dict[str, object]:
    section = changed(pool, leave=("backends",))
    section["backends"] = [changed(backend) for backend in pool.backends]
    return section


def _route(route: Route) -> dict[str, object]:
    section = changed(route, leave=("headers", "pools", "request_headers", "response_headers"))
    if route.id == route.host + route.path_prefix:
        del section["id"]
    if len(route.pools) == 1 and route.pools[0].weight == 1:
        section["pool"] = route.pools[0].pool
    elif route.pools:
        section["pools"] = [changed(share) for share in route.pools]
    edits = {
        name: _without_empty(
            {"set": dict(edit.set), "add": dict(edit.add), "remove": list(edit.remove)}
        )
        for name, edit in (
            ("request_headers", route.request_headers),
            ("response_headers", route.response_headers),
        )
    }
    return section | _without_empty({"headers": dict(route.headers)} | edits)


_FASTEST: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_FASTEST):  # type: ignore[valid-type, misc]  # libyaml's, where it is there
    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # The dumper quotes what YAML 1.1 takes for something else; we read numbers of 1.2.
    style = None if isinstance(resolve(text), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", escape(text), style=style)


_Dumper.add_representer(str, _text)
