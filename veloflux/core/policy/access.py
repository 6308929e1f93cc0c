"""May a client with this address come in at all?

`deny` wins over `allow`; an `allow` that is not empty keeps out everybody else. An IPv4 address in
IPv6's clothes (`::ffff:192.0.2.1`, as a socket for both says it) counts as the IPv4 address.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

# Addresses whose verdict is remembered, per route or listener.
REMEMBERED = 1024
# Bits in front of the IPv4 address in `::ffff:0:0/96` (RFC 4291 section 2.5.5.2).
_MAPPED_BITS = 96


def plain(address: str) -> IPv4Address | IPv6Address | None:
    """The address that `address` says, IPv4 when it is a mapped one; None when it says none, as
    `unix:` does."""
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


class Networks:
    """A set of networks. To look an address up takes as long as there are different prefix
    lengths, however many networks there are."""

    __slots__ = ("_by_length",)

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for what is no network, or has bits set behind its prefix."""
        # By IP version and bits to drop behind the prefix, then what is left of the addresses.
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for text in networks:
            network = _plain_network(ip_network(text))
            drop = network.max_prefixlen - network.prefixlen
            first = int(network.network_address) >> drop
            self._by_length.setdefault((network.version, drop), set()).add(first)

    def __contains__(self, ip: IPv4Address | IPv6Address) -> bool:
        number, version = int(ip), ip.version
        return any(
            version == of and number >> drop in firsts
            for (of, drop), firsts in self._by_length.items()
        )

    def __bool__(self) -> bool:
        return bool(self._by_length)


class Access:
    """Two sets of networks, and the verdicts on who came lately."""

    __slots__ = ("_allow", "_deny", "_verdicts")

    def __init__(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        """Raises ValueError for what is no network."""
        self._allow = Networks(allow)
        self._deny = Networks(deny)
        self._verdicts: dict[str, bool] = {}

    def admits(self, address: str) -> bool:
        """Whether the client with this address, in text, may come in. What is no address, such as
        a Unix socket's peer, is in no network."""
        verdict = self._verdicts.get(address)
        if verdict is None:
            if len(self._verdicts) >= REMEMBERED:
                # Whoever came first; who still comes is remembered anew.
                del self._verdicts[next(iter(self._verdicts))]
            verdict = self._verdicts[address] = self._judge(address)
        return verdict

    def _judge(self, address: str) -> bool:
        ip = plain(address)
        if ip is None:
            return not self._allow
        return ip not in self._deny and (not self._allow or ip in self._allow)


def access(allow: Iterable[str], deny: Iterable[str]) -> Access | None:
    """The rule, or None where everybody may come in. Raises ValueError for what is no network."""
    allow, deny = tuple(allow), tuple(deny)
    return Access(allow, deny) if allow or deny else None


def _plain_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
