"""The HTTP/2 connections to one backend: which of them takes a request, and when one more is made.

A request goes to the first that has room, so that few are used; who finds none waits for the one
being dialled. A backend says how many requests it takes on each (SETTINGS_MAX_CONCURRENT_STREAMS).
"""

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure as TwistedFailure

from veloflux.edge.deadlines import Deadlines
from veloflux.edge.dial import dial, failure_of
from veloflux.edge.http2.call import Call
from veloflux.edge.http2.client import MOST_STREAMS, Client
from veloflux.edge.transport import is_cut

if TYPE_CHECKING:
    from veloflux.edge.backend import Backend
    from veloflux.edge.carrier import Carrier


class Waiting:
    """A request that waits for a connection being made."""

    carrier_gone = False

    def __init__(self, carrier: "Carrier", multiplex: "Multiplex") -> None:
        self.carrier = carrier
        self._multiplex = multiplex

    def forget(self) -> None:
        """Nobody waits any more."""
        self.carrier_gone = True
        self._multiplex.leave(self)


class Multiplex:
    """One backend's; `idle` are the connections without a request."""

    def __init__(self, backend: "Backend", reactor: Any, deadlines: Deadlines) -> None:
        self._backend = backend
        self._reactor = reactor
        self._deadlines = deadlines
        self._clients: list[Client] = []
        # In the order in which they came.
        self._waiting: dict[Waiting, None] = {}
        self._coming = 0
        self.idle: set[Client] = set()
        # What the backend was last heard to take on one connection.
        self.most_streams = MOST_STREAMS

    def begin(self, *, is_repeatable: bool) -> Call | None:
        """A new call on a connection that has room, if there is one. For a request that is not
        repeatable one that was idle is looked at first."""
        for client in self._clients[:]:
            if client.room > 0:
                if is_repeatable or client.calls or not is_cut(client.transport):
                    return client.begin()
                self.forget(client)
        return None

    def wait(self, waiting: Waiting) -> None:
        """Let a request wait for the next connection, which is dialled if need be."""
        self._waiting[waiting] = None
        self._dial_more()

    def leave(self, waiting: Waiting) -> None:
        """A request waits no more; no connection is made for it."""
        self._waiting.pop(waiting, None)

    def _dial_more(self) -> None:
        while len(self._waiting) > self._coming * self.most_streams:
            self._coming += 1
            backend = self._backend
            dial(
                self._reactor,
                backend.address,
                _Dialling(self),
                backend.pool.timeouts.connect_s,
                backend.trust,
            )

    def build(self) -> Client:
        self._coming -= 1
        return Client(self._backend, self, self._deadlines)

    def failed(self, reason: TwistedFailure) -> None:
        """One that was dialled cannot be made: who waited for it tries elsewhere."""
        self._coming -= 1
        failure = failure_of(reason)
        left = self._coming * self.most_streams
        gone = [self._waiting.popitem()[0] for _ in range(len(self._waiting) - left)]
        for waiting in reversed(gone):
            if not waiting.carrier_gone:
                waiting.carrier.refused(failure)

    def made(self, client: Client) -> None:
        self._clients.append(client)
        self._serve(client)
        self._dial_more()

    def freed(self, client: Client) -> None:
        """A connection may have room again."""
        # One that takes none now may take one on another connection.
        self.most_streams = max(1, client.codec.max_streams)
        if self._waiting:
            self._serve(client)

    def _serve(self, client: Client) -> None:
        while self._waiting and client.room > 0:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            waiting.carrier.attached(client.begin(), self._deadlines.now())

    def keeps(self, client: Client) -> bool:
        """Whether one without a request is kept for the next."""
        backend = self._backend
        if backend.is_retired or backend.multiplex is not self:
            return False
        return client in self._clients and len(self.idle) < backend.pool.max_idle

    def forget(self, client: Client) -> None:
        """It takes no more requests."""
        self.idle.discard(client)
        if client in self._clients:
            self._clients.remove(client)

    def close_idle(self) -> None:
        """Give no more requests to what there is; each ends with its last."""
        for client in self._clients[:]:
            client.close()


class _Dialling(ClientFactory):
    """One attempt to connect."""

    noisy = False

    def __init__(self, multiplex: Multiplex) -> None:
        self._multiplex = multiplex

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._multiplex.build()

    def clientConnectionFailed(self, connector: IConnector, reason: TwistedFailure) -> None:
        self._multiplex.failed(reason)
