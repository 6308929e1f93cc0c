"""Which certificate is for a host? And is a host one of those that a certificate is for?

Names are matched as RFC 9525 says: an exact name, or a wildcard that stands for exactly one label,
the first. What is no host name matches nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_-])?")


def server_name(said: bytes | None) -> str:
    """The host that a client names (SNI, RFC 6066 section 3), in lower case; empty for none, and
    for what cannot be one: an address, a control character, a name that is too long."""
    if not said:
        return ""
    name = said.decode("latin-1").lower().removesuffix(".")
    if _HOST.fullmatch(name) is None or ".." in name or _is_address(name):
        return ""
    return name


class Names:
    """The hosts that one certificate is for: `names` are host names, wildcards and addresses."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().removesuffix(".") for name in names)

    def cover(self, host: str) -> bool:
        """Whether `host`, in lower case, is one of them; an IPv6 address may have its brackets."""
        if host in self._names:
            return True
        if host[:1] == "[":
            return host[1:-1] in self._names
        if not host or _is_address(host):
            return False
        return _wildcard(host) in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


class Choice:
    """Of several certificates, given by their names in order; the first is for everybody else."""

    def __init__(self, certificates: Sequence[Names]) -> None:
        self._places: dict[str, int] = {}
        for place, names in enumerate(certificates):
            for name in names:
                self._places.setdefault(name, place)

    def find(self, name: str) -> int:
        """The place of the one for the host of that name: an exact name before a wildcard."""
        place = self._places.get(name)
        if place is None and name:
            place = self._places.get(_wildcard(name))
        return place or 0


def _wildcard(host: str) -> str:
    return "*." + host.partition(".")[2]


def _is_address(text: str) -> bool:
    if not text[-1:].isdigit() and ":" not in text:
        # Most names: no address of version 4 ends like this.
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class ByName:
    """Where connections go by the host they ask for: rules of (host, place), exact or `*.suffix`,
    which stands for any depth below; then `default`."""

    def __init__(self, rules: Iterable[tuple[str, str]], default: str | None) -> None:
        self._rules: dict[str, str] = {}
        for host, place in rules:
            self._rules.setdefault(host, place)
        self._default = default

    def find(self, name: str) -> str | None:
        """The place for a host, in lower case or empty; the most specific rule goes first."""
        place = self._rules.get(name)
        while place is None and name:
            name = name.partition(".")[2]
            place = self._rules.get("*." + name)
        return self._default if place is None else place
