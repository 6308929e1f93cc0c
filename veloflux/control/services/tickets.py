"""Tickets: a browser's WebSocket can carry no header, and a token in its address would be logged.

A ticket is good for one connection, for half a minute. Only its digest is kept.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Generic, TypeVar

LIFETIME_S = 30.0
# Those not yet used; the oldest goes first.
MAX_TICKETS = 10_000

_Holder = TypeVar("_Holder")


class Tickets(Generic[_Holder]):
    """Tickets and who holds them; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._holders: dict[bytes, tuple[_Holder, float]] = {}

    def issue(self, holder: _Holder) -> str:
        """Return a new ticket of this holder's."""
        self._forget()
        ticket = secrets.token_urlsafe(32)
        self._holders[_digest(ticket)] = holder, self._clock() + LIFETIME_S
        return ticket

    def redeem(self, ticket: str) -> _Holder | None:
        """Return whose it is, once; None if it is nobody's, used or too old."""
        self._forget()
        holder, _ = self._holders.pop(_digest(ticket), (None, 0.0))
        return holder

    def _forget(self) -> None:
        now = self._clock()
        while self._holders:
            oldest = next(iter(self._holders))
            if self._holders[oldest][1] > now and len(self._holders) < MAX_TICKETS:
                return
            del self._holders[oldest]


def _digest(ticket: str) -> bytes:
    return sha256(ticket.encode("utf-8", "surrogatepass")).digest()
