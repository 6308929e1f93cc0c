"""A tree of nodes as a document: text, numbers, lists and dictionaries, `${NAME}` as written."""

from veloflux.config.nodes import Mapping, Node, Scalar, Stray
from veloflux.config.scalars import resolve


def plain(node: Node) -> object:
    """Return the value of a node."""
    if isinstance(node, Scalar):
        return resolve(node.text) if node.plain and "${" not in node.text else node.text
    if isinstance(node, Mapping):
        return {
            key: plain(value) for key, value in node.entries.items() if not isinstance(key, Stray)
        }
    return [plain(item) for item in node.items]
