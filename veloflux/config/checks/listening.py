"""Listeners, and the other places where the daemon listens."""

from collections.abc import Iterator
from ipaddress import ip_address

from veloflux.config.checks.admission import admission
from veloflux.config.draft import Draft
from veloflux.config.listeners import Listener
from veloflux.config.problem import Finding
from veloflux.config.wording import Loc, dotted, quote, suggest
from veloflux.core.model.address import Address

# What a relay of bytes never looks at.
_HTTP_LIMITS = (
    "max_headers",
    "max_header_bytes",
    "max_target_bytes",
    "max_body_bytes",
    "header_timeout",
    "body_timeout",
    "min_body_rate",
    "keepalive_timeout",
)


def listening(draft: Draft) -> Iterator[Finding]:
    """Check where the daemon listens, and that what is written has an effect there."""
    yield from _addresses(draft)
    yield from _admin(draft)
    names: dict[str, int] = {}
    for i, listener in draft.listeners.items():
        loc: Loc = ("listeners", i)
        other = names.setdefault(listener.title, i)
        # Two of one address have been told so.
        if other != i and listener.address != draft.listeners[other].address:
            yield Finding(
                (*loc, "name"),
                f"{quote(listener.title)} is also the name of listeners[{other}]; give another",
                "conflict",
            )
        yield from _target(draft, listener, loc)
        yield from admission(listener.allow, listener.deny, loc)
        if listener.proxy_protocol:
            yield from _believed(listener, loc)
        if listener.h2c and (listener.tls is not None or listener.protocol == "tcp"):
            yield Finding(
                (*loc, "h2c"), "has an effect in clear text with http alone; leave it out", "advice"
            )
        if listener.protocol == "tcp":
            yield from _without_effect(listener, loc)


def places(draft: Draft) -> Iterator[tuple[Loc, Address]]:
    """Yield every address that the daemon listens on, with its path."""
    for i, listener in draft.listeners.items():
        yield ("listeners", i, "address"), listener.address
    if draft.admin is not None:
        yield ("admin", "address"), draft.admin.address
    if draft.metrics is not None and draft.metrics.address is not None:
        yield ("metrics", "address"), draft.metrics.address


def _addresses(draft: Draft) -> Iterator[Finding]:
    taken: dict[Address, Loc] = {}
    for loc, address in places(draft):
        other = taken.setdefault(address, loc)
        if other != loc:
            yield Finding(
                loc, f"{address} is also {dotted(other)}; take another address", "conflict"
            )
        if not address.path and not address.port:
            yield Finding(
                loc,
                "port 0: the system chooses one at each start; clients want a fixed one",
                "advice",
            )


def is_loopback(address: Address) -> bool:
    """Whether only this machine can reach an address."""
    if address.path or address.host in ("localhost", "localhost."):
        return True
    try:
        return ip_address(address.host).is_loopback
    except ValueError:
        return False  # a name: it resolves to what its server says


def _admin(draft: Draft) -> Iterator[Finding]:
    admin = draft.admin
    if admin is None or is_loopback(admin.address):
        return
    loc = ("admin", "address")
    if admin.tls is None and not admin.insecure_admin:
        yield Finding(
            loc,
            f"{admin.address} is not loopback, and without TLS passwords would cross the "
            "network in clear text; write tls, or 127.0.0.1 and tunnel, or insecure_admin: true",
            "conflict",
        )
    elif not admin.auth_enabled:
        yield Finding(
            loc, "with auth_enabled: false, anybody who reaches it rules this daemon", "advice"
        )


def _target(draft: Draft, listener: Listener, loc: Loc) -> Iterator[Finding]:
    if listener.protocol == "http":
        if listener.pool is not None:
            yield Finding(
                (*loc, "pool"),
                "is for tcp listeners; leave it out, or write protocol: tcp",
                "conflict",
            )
        if listener.sni:
            yield Finding((*loc, "sni"), "is for tcp listeners; leave it out", "conflict")
    elif listener.sni:
        yield from _by_name(draft, listener, loc)
    if listener.protocol == "http":
        return
    if listener.pool is None:
        if listener.sni:
            return
        yield Finding(
            (*loc, "pool"), "is missing; a tcp listener says where connections go", "conflict"
        )
    elif draft.pool_names is not None and listener.pool not in draft.pool_names:
        yield Finding(
            (*loc, "pool"),
            f"no pool is called {quote(listener.pool)}; {suggest(listener.pool, draft.pool_names)}",
            "conflict",
        )


def _by_name(draft: Draft, listener: Listener, loc: Loc) -> Iterator[Finding]:
    if listener.tls is not None:
        yield Finding(
            (*loc, "sni"), "passes TLS on unopened; leave it out, or leave tls out", "conflict"
        )
    seen: dict[str, int] = {}
    for k, rule in enumerate(listener.sni):
        if rule.host == "*":
            wrong = "* is for routes; write the listener's pool for all other hosts"
            yield Finding((*loc, "sni", k, "host"), wrong, "conflict")
        if seen.setdefault(rule.host, k) != k:
            wrong = f"{quote(rule.host)} is also that of sni[{seen[rule.host]}]; take one out"
            yield Finding((*loc, "sni", k, "host"), wrong, "conflict")
        if draft.pool_names is not None and rule.pool not in draft.pool_names:
            yield Finding(
                (*loc, "sni", k, "pool"),
                f"no pool is called {quote(rule.pool)}; {suggest(rule.pool, draft.pool_names)}",
                "conflict",
            )


def _believed(listener: Listener, loc: Loc) -> Iterator[Finding]:
    """Who may send a PROXY header can say to be anybody (S27)."""
    if not listener.trusted_proxies and not is_loopback(listener.address):
        yield Finding(
            (*loc, "proxy_protocol"),
            "is believed of everybody who connects; list the proxies in trusted_proxies",
            "advice",
        )


def _without_effect(listener: Listener, loc: Loc) -> Iterator[Finding]:
    for key in _HTTP_LIMITS:
        if key == "header_timeout" and (
            listener.proxy_protocol or listener.sni or listener.tls is not None
        ):
            continue
        if key in listener.limits.model_fields_set:
            yield Finding(
                (*loc, "limits", key), "has no effect on a tcp listener; leave it out", "advice"
            )
    if listener.trusted_proxies and not listener.proxy_protocol:
        yield Finding(
            (*loc, "trusted_proxies"), "has no effect on a tcp listener; leave it out", "advice"
        )
