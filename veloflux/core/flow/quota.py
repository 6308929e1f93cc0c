"""What a route's rate limit says to one request: whose it is, and what its answer tells of it.

The fields are those of draft-ietf-httpapi-ratelimit-headers-09, which are lists: a backend's own
entries stand beside ours.
"""

from collections.abc import Callable
from math import ceil

from veloflux.core.flow.trait import trait
from veloflux.core.model.policies import RateLimit
from veloflux.core.policy.limit import Decision, Limiter, Memory, client_key
from veloflux.core.wire.error import DeclinedError
from veloflux.core.wire.http1 import RequestHead

# Clients can say anything in these: each time they would be somebody else.
_CLAIMS = frozenset(("header:x-forwarded-for", "header:x-real-ip", "header:forwarded"))

Whose = Callable[[RequestHead, str], bytes]


class Quota:
    """The limit of one route. Raises ValueError for what is none."""

    __slots__ = ("_limiter", "_policy", "_scope", "_whose")

    def __init__(self, route: str, limit: RateLimit) -> None:
        self._limiter = Limiter(limit.requests_per_second, limit.burst)
        self._whose = _whose(limit.key)
        # Routes share nothing, and a limit that changes begins anew: a debt to the slow one before
        # could take hours to pay. The text of a tuple says where its parts end.
        scope = (route, limit.requests_per_second, limit.burst, limit.key)
        self._scope = repr(scope).encode("utf-8", "backslashreplace")
        window = ceil(self._limiter.reset_s)
        # A window is whole seconds: one that is shorter cannot be told.
        shown = b";w=%d" % window if self._limiter.reset_s >= 1 else b""
        self._policy = b'RateLimit-Policy: "veloflux";q=%d%b\r\n' % (self._limiter.burst, shown)

    def decide(self, head: RequestHead, client: str, debts: Memory, now: float) -> Decision:
        """Whether the request may go on, from a client with this address; if it may, it counts."""
        return self._limiter.decide(debts, self._scope + self._whose(head, client), now)

    def peek(self, head: RequestHead, client: str, debts: Memory, now: float) -> Decision:
        """What `decide` would say now; nothing counts by it."""
        return self._limiter.peek(debts, self._scope + self._whose(head, client), now)

    def lines(self, decision: Decision) -> bytes:
        """The header lines that tell the client where it stands."""
        return b'%bRateLimit: "veloflux";r=%d;t=%d\r\n' % (
            self._policy,
            decision.remaining,
            ceil(decision.reset_s),
        )

    def refusal(self, decision: Decision) -> DeclinedError:
        """The answer to a request that may not go on now; its time to wait is rounded up, or the
        client would come back too early."""
        lines = b"Retry-After: %d\r\n%b" % (ceil(decision.retry_after_s), self.lines(decision))
        return DeclinedError(429, "rate_limit", "Too many requests came; wait a little.", lines)


def _whose(key: str) -> Whose:
    """Whose request it is, by the key that is configured; raises ValueError for one unknown.

    A request without the header or cookie counts for its address. Uncounted, leaving it out would
    be the way around the limit; all together, one client could shut out all others.
    """
    if key == "route":
        return lambda head, client: b"r"
    if key == "client_ip":
        return lambda head, client: b"a" + client_key(client)
    if not key.startswith(("header:", "cookie:")) or key.lower() in _CLAIMS:
        raise ValueError(f"{key!r} is no key; write client_ip, route, header:Name or cookie:Name")
    named = trait(key)

    def whose(head: RequestHead, client: str) -> bytes:
        value = named(head, client)
        return b"v" + value if value else b"a" + client_key(client)

    return whose
