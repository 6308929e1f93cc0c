"""A document with the variables in its values replaced: `${NAME}` and `${NAME:-default}`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from veloflux.config.scalars import Substituted, substitute
from veloflux.config.text import MAX_BYTES
from veloflux.config.wording import Loc


@dataclass
class Variables:
    """One replacement: `faults` says by path which values could not be had, `used` which came from
    the environment."""

    environ: Mapping[str, str]
    faults: dict[Loc, str] = field(default_factory=dict)
    used: set[Loc] = field(default_factory=set)
    # Characters that variables may still put in: a short document must not make a long one.
    allowance: int = MAX_BYTES

    def replace(self, value: object, loc: Loc = ()) -> object:
        """Return the value that stands at `loc` with its variables replaced."""
        if isinstance(value, str):
            return self._substituted(value, loc) if "${" in value else value
        if isinstance(value, dict):
            return {key: self.replace(each, (*loc, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.replace(each, (*loc, i)) for i, each in enumerate(value)]
        return value

    def _substituted(self, text: str, loc: Loc) -> object:
        try:
            text, is_used = substitute(text, self.environ)
            _check_encoding(text)
        except ValueError as error:
            self.faults[loc] = str(error)
            return Substituted("")
        self.allowance -= len(text)
        if self.allowance < 0:
            self.faults[loc] = f"variables put in more than {MAX_BYTES >> 20} MiB; use fewer"
            return Substituted("")
        if is_used:
            self.used.add(loc)
        return Substituted(text)


def _check_encoding(text: str) -> None:
    # os.environ holds bytes that are no UTF-8 as surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the value of the environment variable is not UTF-8") from None
