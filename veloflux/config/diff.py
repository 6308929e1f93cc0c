"""What is different between two configurations, in words.

Values that may be secrets (the password, values of header fields) are never shown.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from veloflux.config.dump import key, written
from veloflux.core.model.address import Address
from veloflux.core.model.node import Node
from veloflux.core.model.tls import Certificate, Document
from veloflux.core.model.traffic import Backend, HeaderEdits, Pool, Share, Snapshot

_SECRET = frozenset(("admin.password", "headers", "request_headers", "response_headers", "labels"))
_LONGEST = 200

# Read when the daemon starts: a reload cannot bring a change of them about, but for how the admin
# listener speaks TLS where it does.
_AT_START = ("data_dir", "authority", "admin.", "metrics.")
_LATER = "admin.tls."


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, as a plain statement."""

    text: str
    needs_restart: bool = False

    def __str__(self) -> str:
        return f"{self.text} (takes a restart)" if self.needs_restart else self.text


def diff(before: Node, after: Node) -> list[Change]:
    """Return the differences; empty when nothing but the version differs."""
    node = _compare(_node(before), _node(after))
    return [
        *(Change(text, needs_restart=_needs_restart(text)) for text in node),
        *diff_snapshots(before.snapshot, after.snapshot),
    ]


def _needs_restart(text: str) -> bool:
    return text.startswith(_AT_START) and not text.startswith(_LATER)


def diff_snapshots(before: Snapshot, after: Snapshot) -> list[Change]:
    """Return the differences of what workers serve."""
    texts = [
        *_items("listener", "name", before.listeners, after.listeners),
        *_items("pool", "name", before.pools, after.pools),
        *_items("route", "id", before.routes, after.routes),
        *_compare(_logging(before), _logging(after)),
    ]
    return [Change(text) for text in texts]


def _node(node: Node) -> dict[str, object]:
    """The keys of the daemon itself."""
    return {
        "workers": node.workers,
        "data_dir": node.data_dir,
        "authority": node.authority,
        **_flat(node.admin, "admin."),
        "metrics.address": node.metrics_address,
        "logging.level": node.log_level,
    }


def _logging(snapshot: Snapshot) -> dict[str, object]:
    log = snapshot.access_log
    logs = {"logging.access": None} if log is None else _flat(log, "logging.access.")
    return {**logs, "logging.tracing": snapshot.tracing}


def _items(
    what: str, name: str, before: Sequence[Any], after: Sequence[Any], of: str = ""
) -> Iterator[str]:
    """Compare lists whose items are told apart by one field."""
    old = {getattr(item, name): item for item in before}
    new = {getattr(item, name): item for item in after}
    for title in old:
        if title not in new:
            yield f"{what} {title}{of} removed"
    for title, item in new.items():
        if title not in old:
            yield f"{what} {title}{of} added"
        elif item != old[title]:
            yield from _item(f"{what} {title}{of}", title, old[title], item)
    if [title for title in old if title in new] != [title for title in new if title in old]:
        yield f"order of the {what}s{of} changed"


def _item(what: str, title: object, old: Any, new: Any) -> Iterator[str]:
    for text in _compare(_flat(old), _flat(new)):
        yield f"{what}: {text}"
    if isinstance(old, Pool):
        yield from _items("backend", "address", old.backends, new.backends, f" of pool {title}")


def _flat(value: Any, prefix: str = "") -> dict[str, object]:
    """Return a value's fields by their dotted path in the file, but for a pool's backends."""
    found: dict[str, object] = {}
    for field in fields(value):
        part = getattr(value, field.name)
        path = prefix + key(field.name)
        if isinstance(part, tuple) and part and isinstance(part[0], Backend):
            continue
        if isinstance(part, Document):
            found[path] = _file(part)
        elif isinstance(part, tuple) and part and isinstance(part[0], Certificate):
            found[path] = [_file(each.cert) for each in part]
            found[f"{path}.key"] = [(each.key.path, _print(each.key)) for each in part]
        elif is_dataclass(part) and not isinstance(part, (Address, HeaderEdits)):
            found |= _flat(part, f"{path}.")
        else:
            found[path] = written(field.name, part)
    return found


def _file(document: Document) -> str:
    """A file, and what tells its content from another."""
    return f"{document.path} (sha256 {_print(document)})"


def _print(document: Document) -> str:
    return hashlib.sha256(document.content).hexdigest()[:12]


def _compare(old: dict[str, object], new: dict[str, object]) -> Iterator[str]:
    for path in old | new:
        if path in old and path in new:
            if old[path] != new[path]:
                yield f"{path} changed{_values(path, old, new)}"
        # Else one of them has a section, and for the other it is None: `health_check` here is
        # `health_check.type` and others there.
        elif _is_section(path, new):
            yield f"{path} added"
        elif _is_section(path, old):
            yield f"{path} removed"


def _is_section(path: str, values: dict[str, object]) -> bool:
    return any(other.startswith(f"{path}.") for other in values)


def _values(path: str, old: dict[str, object], new: dict[str, object]) -> str:
    if path in _SECRET or path.endswith(".key"):
        return ""
    return f" from {_say(old[path])} to {_say(new[path])}"


def _say(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case Share():
            return f"{value.pool} ({value.weight})"
        case dict():
            # A listener's rule for a host.
            text = " to ".join(map(str, value.values()))
        case list():
            text = ", ".join(map(_say, value)) or "none"
        case _:
            text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
