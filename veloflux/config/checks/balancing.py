"""Pools and their backends."""

from collections.abc import Iterator

from veloflux.config.checks.holding import holding
from veloflux.config.checks.listening import is_loopback
from veloflux.config.draft import Draft
from veloflux.config.pools import HealthCheck, Pool
from veloflux.config.problem import Finding
from veloflux.config.wording import Loc, dotted, quote
from veloflux.core.model.address import Address

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # recognised, not bound


def balancing(draft: Draft) -> Iterator[Finding]:
    """Check that pools are told apart, and that each can have a backend to choose."""
    own = _Own(draft)
    names: dict[str, int] = {}
    for i, pool in draft.pools.items():
        loc: Loc = ("pools", i)
        other = names.setdefault(pool.name, i)
        if other != i:
            yield Finding(
                (*loc, "name"),
                f"{quote(pool.name)} is also the name of pools[{other}]; give another",
                "conflict",
            )
        yield from _backends(pool, loc, own)
        if pool.health_check is not None:
            yield from _health_check(pool.health_check, (*loc, "health_check"))
        yield from holding(pool, loc)
        if pool.protocol == "h2" and pool.proxy_protocol is not None:
            yield Finding(
                (*loc, "proxy_protocol"),
                "HTTP/2's connections are shared by clients, so none can begin with one client's "
                "PROXY header; leave it out, or say protocol: http1",
                "conflict",
            )


class _Own:
    """The listeners' addresses, to tell a backend that would be ourselves."""

    def __init__(self, draft: Draft) -> None:
        self._exact: dict[Address, Loc] = {}
        self._any: dict[int, Loc] = {}
        for i, listener in draft.listeners.items():
            address = listener.address
            if address.path or address.port:
                self._exact[address] = ("listeners", i)
            if address.host in _WILDCARDS:
                self._any[address.port] = ("listeners", i)

    def find(self, address: Address) -> Loc | None:
        if found := self._exact.get(address):
            return found
        is_here = not address.path and is_loopback(address)
        return self._any.get(address.port) if is_here else None


def _backends(pool: Pool, loc: Loc, own: _Own) -> Iterator[Finding]:
    addresses: dict[Address, int] = {}
    for k, backend in enumerate(pool.backends):
        at = (*loc, "backends", k, "address")
        other = addresses.setdefault(backend.address, k)
        if other != k:
            yield Finding(
                at,
                f"{backend.address} is also backends[{other}] here; raise that one's weight",
                "conflict",
            )
        elif listener := own.find(backend.address):
            yield Finding(
                at,
                f"{backend.address} is {dotted(listener)}: requests would go in a circle",
                "advice",
            )
    if not pool.backends:
        yield Finding(
            (*loc, "backends"),
            f"{quote(pool.name)} has none: every request for it is refused",
            "advice",
        )
    elif not any(backend.enabled and backend.weight for backend in pool.backends):
        yield Finding(
            (*loc, "backends"),
            f"all of {quote(pool.name)} are disabled or have weight 0: every request is refused",
            "advice",
        )


def _health_check(check: HealthCheck, loc: Loc) -> Iterator[Finding]:
    if check.timeout > check.interval:
        yield Finding(
            (*loc, "timeout"),
            "is longer than the interval: checks of a backend that hangs would overlap",
            "advice",
        )
    if check.type == "tcp":
        for key in ("path", "expected_status"):
            if key in check.model_fields_set:
                yield Finding((*loc, key), "has no effect with type: tcp; leave it out", "advice")
