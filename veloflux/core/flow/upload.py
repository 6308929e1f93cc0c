"""May this request's body go on? Its size and its pace, judged as it comes."""

from veloflux.core.flow.exchange import too_large
from veloflux.core.model.traffic import Limits
from veloflux.core.wire import grpc
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.framing import Body, Counted

# Seconds after which a body is judged by its average rate.
RATE_GRACE_S = 5.0


class Upload:
    """One request's body: its decoder and what has been received, in bytes of payload.

    `limit` is in bytes, 0 for none. The pace is the client's alone: the time in which the backend
    or this proxy kept it waiting does not count. `awaits_leave` is for a client that expects
    100-continue: it may wait for that, and the backend has a deadline for it. A `is_call` has no
    pace: its messages come when there are any.
    """

    __slots__ = (
        "_awaits_leave",
        "_is_call",
        "_last",
        "_limit",
        "_limits",
        "_since",
        "decoder",
        "received",
    )

    def __init__(
        self,
        decoder: Body,
        limit: int,
        limits: Limits,
        now: float,
        *,
        awaits_leave: bool = False,
        is_call: bool = False,
    ) -> None:
        self.decoder = decoder
        self._awaits_leave = awaits_leave
        self._is_call = is_call
        self.received = 0
        self._limit = limit
        self._limits = limits
        self._since = now
        self._last = now

    def feed(self, data: bytes, now: float) -> bytes:
        """The payload in `data`. Raises ProtocolError: 400, or 413 over the limit."""
        if self._awaits_leave:
            self.begin(now)
        payload = self.decoder.feed(data)
        self.received += len(payload)
        self._last = now
        if self._limit and self.received > self._limit:
            raise too_large(self._limit)
        return payload

    def moved(self, count: int, now: float) -> None:
        """So many bytes of a counted body, whose length was judged before, went past."""
        assert isinstance(self.decoder, Counted)
        self.decoder.left -= count
        self.received += count
        self._last = now

    def begin(self, now: float) -> None:
        """The client has leave to send, or did not wait for it."""
        if self._awaits_leave:
            self._awaits_leave = False
            self.restart(now)

    def restart(self, now: float) -> None:
        """From now on the client's pace counts; until now it was kept waiting."""
        self._since = self._last = now

    def judge(self, now: float, held_s: float, held_until: float) -> float:
        """When to look again, in seconds from now. Raises ProtocolError 408.

        `held_s` is for how long the backend has held the client back so far, `held_until` until
        when it last did.
        """
        limits = self._limits
        if self._awaits_leave:
            return limits.body_timeout_s
        self._last = max(self._last, held_until)
        elapsed = now - self._since - held_s
        rate, patience_s = limits.min_body_rate, limits.body_timeout_s
        if self._is_call:
            rate, patience_s = 0, grpc.IDLE_S
        is_slow = rate and elapsed > RATE_GRACE_S and self.received < rate * elapsed
        if now - self._last >= patience_s or is_slow:
            raise ProtocolError(408, "body_timeout", "The body came too slowly.")
        left = patience_s - (now - self._last)
        return min(left, RATE_GRACE_S) if rate else left
