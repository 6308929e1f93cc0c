"""One direction of a body: backpressure from a slow sink to its source, a deadline for a sink that
stands still, and the short way past this process where there is one.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from veloflux.edge.deadlines import NEVER, Deadlines, Timed
from veloflux.edge.splice import Splice, can_splice
from veloflux.edge.transport import unsent


@implementer(IPushProducer)
class Valve(Timed):
    """Stands between two transports while one body flows: registered with the sink as its
    producer, it stops reading from the source while the sink is full.

    `stalled` is called when the sink took not one byte for `timeout_s`; `again` when it has taken
    all that held the source back, which is when more can go the short way.
    """

    def __init__(
        self,
        source: Any,
        sink: Any,
        deadlines: Deadlines,
        timeout_s: float,
        stalled: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._deadlines = deadlines
        self._timeout_s = timeout_s
        self._stalled = stalled
        self._again = again
        self._left = 0
        self._paused_at = NEVER
        self._paused_s = 0.0
        self._resumed_at = -NEVER
        self._splice: Splice | None = None
        sink.registerProducer(self, True)

    def splice(
        self,
        left: int | None,
        moved: Callable[[int], None],
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Let the system move the next `left` bytes, None for as long as there are many, if these
        transports allow it; else they go on coming to the source's protocol. See `Splice` for the
        callbacks."""

        def ended() -> None:
            self._splice = None
            done()

        if self._splice is None and can_splice(self._source, self._sink):
            self._splice = Splice(
                self._source,
                self._sink,
                left,
                full=self.pauseProducing,
                room=self.resumeProducing,
                moved=moved,
                done=ended,
            )

    def pauseProducing(self) -> None:
        self._source.pauseProducing()
        self._left = unsent(self._sink)
        self._paused_at = self._deadlines.now()
        self._deadlines.arm(self, self._paused_at + self._timeout_s)

    def resumeProducing(self) -> None:
        self.deadline = NEVER
        self._resumed_at = self._deadlines.now()
        self._paused_s = self.paused_for(self._resumed_at)
        self._paused_at = NEVER
        self._again()
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """The sink is lost; its protocol is told by other means."""
        self._deadlines.disarm(self)
        if self._splice is not None:
            self._splice.stop()

    def held_until(self, now: float) -> float:
        """Until when the sink held the source back: `now` while it does, long ago if never."""
        return self._resumed_at if self._paused_at == NEVER else now

    def paused_for(self, now: float) -> float:
        """The seconds for which the sink has held the source back."""
        return self._paused_s + max(0.0, now - self._paused_at)

    def close(self) -> None:
        """The body is through: let go of both transports, whatever the sink still holds."""
        self._sink.unregisterProducer()
        self._deadlines.disarm(self)
        if self._splice is not None:
            self._splice.stop()
            self._splice = None
        self._source.resumeProducing()

    def expire(self, now: float) -> None:
        left = unsent(self._sink)
        if left < self._left:
            self._left = left
            self._deadlines.arm(self, now + self._timeout_s)
        else:
            self._stalled()
