"""A tree of nodes to text, numbers, lists and dictionaries, with `${NAME}` replaced in values."""

from collections.abc import Mapping as EnvironMapping
from dataclasses import dataclass, field

from veloflux.config.nodes import Mapping, Node, Scalar, Stray
from veloflux.config.scalars import Substituted, resolve, substitute
from veloflux.config.text import MAX_BYTES
from veloflux.config.wording import Loc


@dataclass
class Reading:
    """One conversion: `faults` says by path which values could not be had, `from_environment`
    which came from there."""

    environ: EnvironMapping[str, str]
    faults: dict[Loc, str] = field(default_factory=dict)
    from_environment: set[Loc] = field(default_factory=set)
    # Characters that variables may still put in: a short file must not make a long one.
    allowance: int = MAX_BYTES

    def plain(self, node: Node, loc: Loc = ()) -> object:
        """Return the value of a node, which is at `loc`."""
        if isinstance(node, Scalar):
            if "${" in node.text:
                return self._substituted(node, loc)
            return resolve(node.text) if node.plain else node.text
        if isinstance(node, Mapping):
            return {
                key: self.plain(value, (*loc, key))
                for key, value in node.entries.items()
                if not isinstance(key, Stray)
            }
        return [self.plain(item, (*loc, i)) for i, item in enumerate(node.items)]

    def _substituted(self, node: Scalar, loc: Loc) -> object:
        try:
            text, is_used = substitute(node.text, self.environ)
            _check_encoding(text)
        except ValueError as error:
            self.faults[loc] = str(error)
            return Substituted("")
        self.allowance -= len(text)
        if self.allowance < 0:
            self.faults[loc] = f"variables put in more than {MAX_BYTES >> 20} MiB; use fewer"
            return Substituted("")
        if is_used:
            self.from_environment.add(loc)
        return Substituted(text)


def _check_encoding(text: str) -> None:
    # os.environ holds bytes that are no UTF-8 as surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the value of the environment variable is not UTF-8") from None
