"""May a backend be at this address?

Whoever may change the configuration can point the daemon at any address that it can reach. What is
not meant for them is kept out here: a cloud's metadata, which hands out credentials, what is on the
link alone, and the daemon's own admin listener. An address is judged by all that it stands for: an
IPv4 address inside of an IPv6 one (mapped, compatible, NAT64 of RFC 6052, 6to4) is judged as well.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from veloflux.core.model.address import Address
from veloflux.core.model.traffic import BackendNetworks
from veloflux.core.policy.access import Networks

Ip = IPv4Address | IPv6Address

# Where IPv6 addresses have an IPv4 address, and how many bits come after it.
_CARRIERS = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
)


class Reach:
    """The rule; `own` are addresses where the daemon itself is not to be reached."""

    def __init__(self, networks: BackendNetworks, own: Iterable[Address] = ()) -> None:
        """Raises ValueError for what is no network."""
        self._allow = Networks(networks.allow)
        self._deny = Networks(networks.deny)
        self._own: set[tuple[Ip, int]] = set()
        # Ports where all of this machine's addresses are ours.
        self._ports: set[int] = set()
        self._paths = {address.path for address in own if address.path}
        for address in own:
            ip = _ip(address.host)
            if ip is None or not address.port:
                continue
            if ip.is_unspecified:
                self._ports.add(address.port)
            else:
                self._own.add((ip, address.port))

    def admits(self, address: Address) -> bool:
        """Whether a backend may be at this literal address; a name is judged by what it leads to,
        when it does."""
        if address.path:
            return address.path not in self._paths
        ip = _ip(address.host)
        return ip is None or self._judge(ip, address.port)

    def admits_ip(self, host: str, port: int) -> bool:
        """Whether a connection may go there; `host` is an address."""
        ip = _ip(host.partition("%")[0])
        return ip is not None and self._judge(ip, port)

    def _judge(self, ip: Ip, port: int) -> bool:
        meant = tuple(_meanings(ip))
        if any(each in self._deny or (each, port) in self._own for each in meant):
            return False
        if port in self._ports and any(each.is_loopback for each in meant):
            return False
        return not self._allow or any(each in self._allow for each in meant)


def _ip(host: str) -> Ip | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _meanings(ip: Ip) -> Iterator[Ip]:
    yield ip
    # `::` and `::1` are in the network of compatible addresses, and stand for none.
    if isinstance(ip, IPv6Address) and int(ip) > 1:
        for network, behind in _CARRIERS:
            if ip in network:
                yield IPv4Address(int(ip) >> behind & 0xFFFFFFFF)
