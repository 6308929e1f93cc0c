"""The clients of a pool that come back to the backend they had, by a cookie between them and us."""

from collections.abc import Mapping
from typing import NamedTuple

from veloflux.core.model.resilience import StickySessions
from veloflux.core.policy.sticky import PRIVATE, Seal
from veloflux.core.wire import hygiene
from veloflux.core.wire.http1 import RequestHead
from veloflux.edge.backend import Backend


class Guest(NamedTuple):
    """Who is here: the backend they had, None for who is new, and whether their cookie will do."""

    backend: Backend | None
    is_settled: bool


_STRANGER = Guest(None, is_settled=False)


class Sticky:
    """One pool's."""

    def __init__(
        self, model: StickySessions, pool: str, secret: bytes, backends: Mapping[str, Backend]
    ) -> None:
        self._seal = Seal(secret, pool, model.cookie, model.ttl_s)
        self._by_id = {self._seal.backend_id(name): each for name, each in backends.items()}

    def guest(self, head: RequestHead, wall: float) -> Guest:
        """Who sends a request, at this Unix time."""
        cookies = head.fields.value(b"cookie")
        token = None if cookies is None else self._seal.read((cookies,), wall)
        if token is None:
            return _STRANGER
        return Guest(self._by_id.get(token.backend_id), self._seal.is_fresh(token, wall))

    def lines(self, guest: Guest, chosen: Backend | None, wall: float, *, is_secure: bool) -> bytes:
        """Lines for the answer of `chosen`: a new cookie, for whoever needs one; `is_secure` when
        it is to come back over TLS alone."""
        if chosen is None or (chosen is guest.backend and guest.is_settled):
            return b""
        if guest.backend is not None and guest.backend.is_full:
            # It is just too busy, and come back to.
            return b""
        return self._seal.issue(chosen.name, wall, is_secure=is_secure) + PRIVATE

    def without_cookie(self, lines: bytes) -> bytes:
        """The lines of a request as a backend may see them."""
        return hygiene.with_cookies(lines, self._seal.without)
