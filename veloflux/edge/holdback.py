"""A client that sends requests but takes no answers has to wait with the next one."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from veloflux.edge.deadlines import Deadlines, Timed
from veloflux.edge.transport import unsent


@implementer(IPullProducer)
class Holdback(Timed):
    """Stops reading from `transport` until it has sent all that it holds, then calls `go_on`.

    Who takes not a byte for `timeout_s` is cut off. Made only while bytes are unsent. With
    `reads_on` it is read from all the same.
    """

    def __init__(
        self,
        transport: Any,
        deadlines: Deadlines,
        timeout_s: float,
        go_on: Callable[[], None],
        *,
        reads_on: bool = False,
    ) -> None:
        self._transport = transport
        self._deadlines = deadlines
        self._timeout_s = timeout_s
        self._go_on = go_on
        self._left = unsent(transport)
        self._reads_on = reads_on
        if not reads_on:
            transport.pauseProducing()
        deadlines.arm(self, deadlines.now() + timeout_s)
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """The transport asks for more when all is sent; it also asks once when we register."""
        if not unsent(self._transport):
            self._deadlines.disarm(self)
            self._transport.unregisterProducer()
            if not self._reads_on:
                self._transport.resumeProducing()
            self._go_on()

    def stopProducing(self) -> None:
        """The connection is lost."""
        self._deadlines.disarm(self)

    def expire(self, now: float) -> None:
        left = unsent(self._transport)
        if left < self._left:
            self._left = left
            self._deadlines.arm(self, now + self._timeout_s)
        else:
            self._transport.abortConnection()
