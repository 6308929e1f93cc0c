"""May this address try a password once more?

Each address has a few tries, which come back one by one over the window; a try that succeeded
comes back at once. Who owns an IPv6 address owns its /64, so that is what counts.
"""

from ipaddress import IPv6Address, ip_address, ip_network

TRIES = 5
WINDOW_S = 15 * 60.0
# Addresses that are remembered; the one that tried longest ago is forgotten first.
MAX_ADDRESSES = 10_000


class Throttle:
    """Tries left for each address; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, address: str, now: float) -> float:
        """Spend a try and return 0; or return after how many seconds there will be one."""
        key = _key(address)
        tries = self._tries(key, now)
        if tries < 1:
            return (1 - tries) * WINDOW_S / TRIES
        self._keep(key, tries - 1, now)
        return 0.0

    def give_back(self, address: str, now: float) -> None:
        """Return the try that was right."""
        key = _key(address)
        self._keep(key, min(TRIES, self._tries(key, now) + 1), now)

    def _tries(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (TRIES, now))
        return min(TRIES, left + (now - at) * TRIES / WINDOW_S)

    def _keep(self, key: str, tries: float, now: float) -> None:
        self._left.pop(key, None)
        if tries < TRIES:
            self._left[key] = tries, now
        if len(self._left) > MAX_ADDRESSES:
            del self._left[next(iter(self._left))]


def _key(address: str) -> str:
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a Unix socket's
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
