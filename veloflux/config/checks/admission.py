"""Networks that may, and networks that may not."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from veloflux.config.problem import Finding
from veloflux.config.wording import Loc


def admission(allow: Sequence[str], deny: Sequence[str], loc: Loc) -> Iterator[Finding]:
    """Point out what is allowed to nobody, because all of it is denied."""
    if not allow or not deny:
        return
    # By version and length of prefix: so each is compared with 33 or 129 others at most.
    denied: dict[tuple[int, int], dict[int, str]] = {}
    for text in deny:
        network = ip_network(text)
        spare = network.max_prefixlen - network.prefixlen
        first = int(network.network_address) >> spare
        denied.setdefault((network.version, spare), {})[first] = text
    for i, text in enumerate(allow):
        network = ip_network(text)
        first, own = int(network.network_address), network.max_prefixlen - network.prefixlen
        for (version, spare), firsts in denied.items():
            wider = firsts.get(first >> spare) if spare >= own else None
            if version == network.version and wider is not None:
                yield Finding(
                    (*loc, "allow", i),
                    f"{text} is inside {wider} of deny, which wins; take one of them out",
                    "advice",
                )
                break
