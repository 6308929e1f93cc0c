"""YAML text to a tree of nodes, with everything bounded that a hostile file could grow.

It works on the parser's events, so that a bomb is refused while it is read: at most MAX_NODES
nodes, MAX_ITEMS items or keys in one of them, MAX_DEPTH levels and MAX_ALIASED nodes that aliases
repeat ("billion laughs"). No Python object is ever made but text, lists and dictionaries: tags
other than `!!str`, `!!seq` and `!!map` are errors. Merge keys are not part of YAML 1.2 and are
refused.
"""

from collections.abc import Iterator

import yaml

from veloflux.config.nodes import Mapping, Node, Scalar, Sequence, Stray
from veloflux.config.scalars import resolve
from veloflux.config.text import DocumentError
from veloflux.config.wording import kind, quote

MAX_NODES = 500_000
MAX_DEPTH = 64
MAX_ALIASED = 50_000
MAX_ITEMS = 50_000

# libyaml's scanner reads ten times faster; both give the same events and marks.
PARSER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

_STANDARD = "tag:yaml.org,2002:"
_TAGS = {
    yaml.ScalarEvent: (None, "!", _STANDARD + "str"),
    yaml.SequenceStartEvent: (None, "!", _STANDARD + "seq"),
    yaml.MappingStartEvent: (None, "!", _STANDARD + "map"),
}

_HINTS = (
    ("mapping values are not allowed", "a colon too many, or a line indented too far"),
    ("found character", 'text that begins with one of @ ` % & * ! | > needs "quotes"'),
    ("did not find expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("did not find expected node content", "a bracket is not closed, or a value is missing"),
    ("expected the node content", "a bracket is not closed, or a value is missing"),
    ("found unexpected end of stream", "a quote is not closed"),
    ("did not find expected", "the lines of one level must be indented alike"),
    ("expected <block end>", "the lines of one level must be indented alike"),
    ("could not find expected ':'", "a key needs a colon and a space after it"),
    ("found unknown escape", "write \\\\ for a backslash, or use 'single quotes'"),
)


def compose(text: str, parser: type = PARSER) -> tuple[Node | None, list[DocumentError]]:
    """Return the document's root, None when it is empty, and the faults that do not end reading.

    Raises DocumentError for what does.
    """
    tree = _Tree()
    events: Iterator[yaml.Event] = yaml.parse(text, Loader=parser)
    try:
        for event in events:
            tree.feed(event)
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text) from None
    except yaml.reader.ReaderError as error:
        raise DocumentError(f"a character that YAML does not allow ({error.reason})") from None
    return tree.root, tree.faults


def _explained(error: yaml.MarkedYAMLError, text: str) -> DocumentError:
    problem = str(error.problem)
    hints = (hint for start, hint in _HINTS if problem.startswith(start))
    hint = next(hints, "see https://yaml.org/spec/1.2.2 for the syntax")
    mark = error.problem_mark or error.context_mark
    if mark is not None and "${" in "".join(text.splitlines()[mark.line : mark.line + 1]):
        hint = 'within { } and [ ] a variable needs quotes: "${NAME}"'
    context = f"{error.context}, " if error.context else ""
    began = error.context_mark
    if mark is not None and began is not None and began.line != mark.line:
        context = f"{error.context} that begins in line {began.line + 1}, "
    place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    return DocumentError(f"{context}{problem}; {hint}", *place)


class _Tree:
    """The document as far as it was read: the open collections from the root down."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.faults: list[DocumentError] = []
        self._open: list[Sequence | Mapping] = []
        # The key that waits for its value, for each open collection.
        self._keys: list[str | None] = []
        self._anchors: dict[str, Node] = {}
        self._documents = self._nodes = self._aliased = 0

    def feed(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._check(event)
                plain = event.tag is None and event.implicit[0]
                self._add(Scalar(*_place(event), event.value, plain), event.anchor)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._check(event)
                self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise DocumentError("a second document; a configuration is one", *_place(event))

    def _check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise DocumentError(
                f"more than {MAX_NODES} values; that is no configuration", *_place(event)
            )
        if event.tag not in _TAGS[type(event)]:
            tag = str(event.tag).replace(_STANDARD, "!!")
            self._fault(f"the tag {quote(tag)} is refused; values need no tags", event)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise DocumentError(f"nested more than {MAX_DEPTH} levels deep", *_place(event))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        node = Mapping(*_place(event)) if is_mapping else Sequence(*_place(event))
        self._add(node, event.anchor)
        self._open.append(node)
        self._keys.append(None)

    def _end(self) -> None:
        self._keys.pop()
        ended = self._open.pop()
        ended.is_complete = True
        if self._open:
            self._grow(self._open[-1], ended)

    def _alias(self, event: yaml.AliasEvent) -> None:
        anchor = str(event.anchor)
        node = self._anchors.get(anchor)
        if node is None:
            raise DocumentError(f"no anchor &{anchor[:60]} comes before this alias", *_place(event))
        if not node.is_complete:
            raise DocumentError(f"*{anchor[:60]} would contain itself", *_place(event))
        self._aliased += node.size
        if self._aliased > MAX_ALIASED:
            raise DocumentError(
                f"aliases repeat more than {MAX_ALIASED} values; write fewer", *_place(event)
            )
        if len(self._open) + node.height > MAX_DEPTH:
            raise DocumentError(f"nested more than {MAX_DEPTH} levels deep", *_place(event))
        self._add(node, None, _place(event))

    def _add(self, node: Node, anchor: str | None, place: tuple[int, int] | None = None) -> None:
        """Put a node where the document has come to: as the root, an item, a key or a value."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = self._key(parent, node, place or (node.line, node.column))
            return
        else:
            parent.entries[self._keys[-1]] = node
            self._keys[-1] = None
        if len(parent.items if isinstance(parent, Sequence) else parent.entries) > MAX_ITEMS:
            raise DocumentError(
                f"more than {MAX_ITEMS} items", *(place or (node.line, node.column))
            )
        if node.is_complete:
            self._grow(parent, node)

    def _key(self, parent: Mapping, node: Node, place: tuple[int, int]) -> str:
        """Return the text of a key; one that is wrong is reported, and its value left out later."""
        if not isinstance(node, Scalar):
            what = "mapping" if isinstance(node, Mapping) else "list"
            raise DocumentError(f"a {what} cannot be a key; a key is text", *place)
        key = node.text
        value = resolve(key) if node.plain else key
        if not isinstance(value, str):
            wrong = f"{kind(value)} cannot be a key; put it in quotes"
        elif key == "<<" and node.plain:
            wrong = "merge keys (<<) are not supported; write the keys out"
        elif key in parent.entries:
            wrong = f"the key {quote(key)} is there twice, first in line {parent.marks[key][0]}"
        else:
            parent.marks[key] = place
            return key
        self.faults.append(DocumentError(wrong, *place))
        return Stray(len(self.faults))

    @staticmethod
    def _grow(parent: Sequence | Mapping, child: Node) -> None:
        parent.size += child.size
        if child.height >= parent.height:
            parent.height = child.height + 1

    def _fault(self, message: str, event: yaml.Event) -> None:
        self.faults.append(DocumentError(message, *_place(event)))


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
