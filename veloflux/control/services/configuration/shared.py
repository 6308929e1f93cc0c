"""The configuration as a document that leaves the daemon and comes back: exported, imported.

Whole or in part: an import replaces everything, or puts what it has beside what is there, by names.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from veloflux.config.written import TRAFFIC, Document
from veloflux.control.services.configuration.edits import Edit, Edited, items, title
from veloflux.control.services.errors import Fault, InvalidError

_NAMES = {
    "listeners": lambda item: str(item.get("name") or item.get("address")),
    "pools": lambda item: str(item.get("name")),
    "routes": title,
}


def checksum(content: object) -> str:
    """Return what proves content unchanged, whatever the order of its keys, and whether 1.0 is
    written as 1: JSON has one kind of number, and readers and tools write it as they like."""
    plain = msgspec.json.encode(_plain(content), order="deterministic")
    return "sha256:" + sha256(plain).hexdigest()


def check(content: object, wanted: str) -> None:
    """Raise InvalidError for content that is not what was exported."""
    if checksum(content) != wanted:
        wrong = Fault("/checksum", "checksum", "is that of other content; export it again")
        raise InvalidError("This is not what was exported: the checksum does not match.", [wrong])


def replaced(document: Document) -> Edit:
    """Replace the whole."""
    return lambda _: Edited(document)


def merged(document: Document) -> Edit:
    """Put listeners, pools and routes in the place of those of their names, or behind all; other
    keys replace those there are."""

    def edit(before: Document) -> Edited:
        found = dict(before)
        for key in TRAFFIC:
            if key in _NAMES and key in document:
                found[key] = _merged(key, items(before, key), document[key])
            elif key in document:
                found[key] = document[key]
        unknown = document.keys() - {*TRAFFIC}
        return Edited({**found, **{key: document[key] for key in unknown}})

    return edit


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _merged(key: str, before: list[Any], new: Any) -> Any:
    if not isinstance(new, list) or not all(isinstance(each, Mapping) for each in new):
        return new  # the validation says what is wrong with it
    name = _NAMES[key]
    fresh = {name(each): each for each in new}
    kept = [fresh.pop(name(each), each) for each in before]
    return [*kept, *fresh.values()]
