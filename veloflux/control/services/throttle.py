"""May this address try a password once more?

Each has a few tries, which come back one by one over the window; a try that succeeded comes back at
once. Who owns an IPv6 address owns its /64, so that is what counts.
"""

from ipaddress import IPv6Address, ip_address, ip_network

WINDOW_S = 15 * 60.0
# What is remembered; what was tried longest ago is forgotten first.
MAX_KEYS = 10_000


class Throttle:
    """Tries left for each address, or address and account; `now` is monotonic seconds."""

    def __init__(self, tries: int) -> None:
        self._most = tries
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, address: str, now: float, account: str = "") -> float:
        """Return 0, or after how many seconds there will be a try."""
        tries = self._tries(_key(address, account), now)
        return 0.0 if tries >= 1 else (1 - tries) * WINDOW_S / self._most

    def take(self, address: str, now: float, account: str = "") -> None:
        """Spend a try, that there must be."""
        key = _key(address, account)
        self._keep(key, self._tries(key, now) - 1, now)

    def give_back(self, address: str, now: float, account: str = "") -> None:
        """Return the try that was right."""
        key = _key(address, account)
        self._keep(key, min(self._most, self._tries(key, now) + 1), now)

    def _tries(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (self._most, now))
        return min(self._most, left + (now - at) * self._most / WINDOW_S)

    def _keep(self, key: str, tries: float, now: float) -> None:
        self._left.pop(key, None)
        if tries < self._most:
            self._left[key] = tries, now
        if len(self._left) > MAX_KEYS:
            del self._left[next(iter(self._left))]


def network(address: str) -> str:
    """What one person has of addresses: an IPv4 address, an IPv6 /64, a Unix socket."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))


def _key(address: str, account: str) -> str:
    return f"{network(address)} {account}"
