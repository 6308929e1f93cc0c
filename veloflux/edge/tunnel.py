"""Bytes both ways between a client and a backend, unread: upgraded connections and TCP."""

from collections.abc import Callable
from typing import Any

from veloflux.edge.deadlines import Deadlines, Timed
from veloflux.edge.splice import MUCH_BYTES
from veloflux.edge.transport import unsent
from veloflux.edge.valve import Valve

# Seconds of silence that end a tunnel of which one end has finished. That end may be gone for good
# by now, which nobody sees while nothing is read from it and nothing sent to it.
HALF_CLOSED_S = 60.0


class Tunnel(Timed):
    """Couples two connected transports until both directions have ended, or one end is lost.

    Each protocol hands its bytes and its half-close here. `ended` is called once, with the two
    letters of a termination (see `exchange.Failure`).
    """

    def __init__(
        self,
        client: Any,
        backend: Any,
        deadlines: Deadlines,
        *,
        idle_s: float,
        write_timeout_s: float,
        ended: Callable[[str], None],
    ) -> None:
        self._client = client
        self._backend = backend
        self._deadlines = deadlines
        self._idle_s = idle_s
        self._ended: Callable[[str], None] | None = ended
        self._is_over = False
        self._left = 0
        self._client_done = False
        self._backend_done = False
        self.bytes_in = 0
        self.bytes_out = 0
        self._write_timeout_s = write_timeout_s

        def valve(source: Any, sink: Any, slow: str, again: Callable[[], None]) -> Valve:
            return Valve(source, sink, deadlines, write_timeout_s, lambda: self.abort(slow), again)

        self._valves: tuple[Valve, ...] = (
            valve(client, backend, "sD", self._splice_in),
            valve(backend, client, "cD", self._splice_out),
        )
        deadlines.arm(self, deadlines.now() + idle_s)

    def from_client(self, data: bytes) -> None:
        self._backend.write(data)
        self._count_in(len(data))
        if len(data) >= MUCH_BYTES:
            self._splice_in()

    def from_backend(self, data: bytes) -> None:
        self._client.write(data)
        self._count_out(len(data))
        if len(data) >= MUCH_BYTES:
            self._splice_out()

    def client_finished(self) -> None:
        """The client will send no more; the backend may."""
        self._client_done = True
        self._finish_one(self._backend)

    def backend_finished(self) -> None:
        """The backend will send no more; the client may."""
        self._backend_done = True
        self._finish_one(self._client)

    def lost(self, termination: str) -> None:
        """One end is gone; the other gets what it is owed, and is closed."""
        if self._is_over:
            if not self._is_connected():
                self._deadlines.disarm(self)
            return
        self._end("--" if self._client_done and self._backend_done else termination)
        for transport in (self._client, self._backend):
            transport.loseConnection()
        self._left = self._unsent()
        if self._is_connected():
            # With all sent as well: an end that takes nothing does not take that it is the end.
            self._deadlines.arm(self, self._deadlines.now() + self._write_timeout_s)

    def abort(self, termination: str) -> None:
        """End both connections at once."""
        if not self._is_over:
            self._end(termination)
        self._client.abortConnection()
        self._backend.abortConnection()

    def expire(self, now: float) -> None:
        if self._is_over:
            left = self._unsent()
            if left < self._left:
                # Who reads slowly gets the rest as well.
                self._left = left
                self._deadlines.arm(self, now + self._write_timeout_s)
            else:
                self.abort("cD")
            return
        # Who is held back is not silent.
        patience = max(valve.held_until(now) for valve in self._valves) + self._idle_s
        if patience > now:
            self._deadlines.arm(self, patience)
        else:
            self.abort("cD")

    def _splice_in(self) -> None:
        if self._valves:
            self._valves[0].splice(None, self._count_in)

    def _splice_out(self) -> None:
        if self._valves:
            self._valves[1].splice(None, self._count_out)

    def _count_in(self, count: int) -> None:
        self.bytes_in += count
        self._deadlines.arm(self, self._deadlines.now() + self._idle_s)

    def _count_out(self, count: int) -> None:
        self.bytes_out += count
        self._deadlines.arm(self, self._deadlines.now() + self._idle_s)

    def _is_connected(self) -> bool:
        return bool(self._client.connected or self._backend.connected)

    def _unsent(self) -> int:
        return unsent(self._client) + unsent(self._backend)

    def _finish_one(self, transport: Any) -> None:
        if self._is_over:
            return
        if self._client_done and self._backend_done:
            self.lost("--")
        else:
            transport.loseWriteConnection()
            self._idle_s = min(self._idle_s, HALF_CLOSED_S)
            self._deadlines.arm(self, self._deadlines.now() + self._idle_s)

    def _end(self, termination: str) -> None:
        self._is_over = True
        self._deadlines.disarm(self)
        valves, self._valves = self._valves, ()
        for valve in valves:
            valve.close()
        # Who is told knows this object; they must not hold on to each other.
        ended, self._ended = self._ended, None
        assert ended is not None
        ended(termination)
