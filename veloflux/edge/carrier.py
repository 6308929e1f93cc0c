"""Finding a connection to a backend: pick, use a kept one or dial, and try around those that
refuse, before the client sees an error.
"""

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.flow import exchange
from veloflux.core.flow.exchange import Failure
from veloflux.core.model.traffic import ProxyProtocol
from veloflux.core.wire.http1 import RequestHead
from veloflux.core.wire.preface import own_preface
from veloflux.edge.backend import Backend
from veloflux.edge.dial import dial, failure_of
from veloflux.edge.pool import Pool
from veloflux.edge.queue import Place
from veloflux.edge.transport import has_ended

if TYPE_CHECKING:
    from veloflux.edge.plane import Plane
    from veloflux.edge.upstream import Upstream

# A refusal costs nothing, a timeout costs a client its patience: one more is tried after one.
_TIMEOUTS_TRIED = 1


class Carrier:
    """What a request and a relayed connection have in common on their way to a backend.

    `backend` is the one at work, counted in its `inflight` until `leave_backend`. `head` and
    `client` are what it may be chosen by, `pick_reason` what it was chosen by, when that is not
    simply the pool's algorithm.
    """

    plane: "Plane"
    pool: Pool
    head: RequestHead
    client: str
    pick_reason = ""
    backend: Backend | None = None
    last_backend: Backend | None = None
    attempts = 0
    # Whether a kept connection will do.
    takes_idle = True
    # Whether a kept connection that proves to be dead does no harm; else it is looked at first.
    is_repeatable = True
    failure: Failure | None = None
    _dialling: "Dialling | None" = None
    _tried: tuple[Backend, ...] = ()
    _place: Place | None = None
    _waits_until = 0.0
    _waits_since = 0.0
    queued_s = 0.0

    def carry(self, now: float) -> None:
        """Make one attempt with a backend not yet tried; one of the two calls below follows."""
        pool = self.pool
        if pool.is_simple:
            backend = pool.picker.pick(self._tried)
        else:
            backend, self.pick_reason = pool.choose(self.head, self.client, self._tried)
        if backend is None:
            self._wait_or_give_up(now)
            return
        self.backend = self.last_backend = backend
        backend.enter()
        self.attempts += 1
        while backend.idle and self.takes_idle:
            upstream = backend.idle.pop()
            if self.is_repeatable or not has_ended(upstream.transport):
                self.attached(upstream, now)
                return
            upstream.close()
        self.dial(backend)

    def _wait_or_give_up(self, now: float) -> None:
        pool = self.pool
        if pool.queue is None or not pool.is_worth_waiting(self._tried):
            self.gave_up(self.failure or exchange.NO_BACKEND)
            return
        if not self._waits_until:
            self._waits_until = now + pool.timeouts.queue_s
        if len(pool.queue) >= pool.max_pending or self._waits_until <= now:
            self.gave_up(exchange.BUSY)
        else:
            self._waits_since = now
            self._place = pool.queue.join(self, self._waits_until)

    def take_turn(self) -> None:
        """A backend may be free by now."""
        self._place = None
        now = self.plane.deadlines.now()
        self.queued_s += now - self._waits_since
        self.carry(now)

    def waited_in_vain(self) -> None:
        """None was in time."""
        self._place = None
        self.queued_s += self.plane.deadlines.now() - self._waits_since
        self.gave_up(exchange.QUEUE_TIMEOUT)

    def leave_queue(self) -> None:
        """Nobody wants a backend any more."""
        if self._place is not None:
            self._place.leave()
            self._place = None

    def attached(self, upstream: "Upstream", now: float) -> None:
        """There is a connection to `backend`."""
        raise NotImplementedError

    def gave_up(self, failure: Failure) -> None:
        """There is none to be had."""
        raise NotImplementedError

    def build(self, backend: Backend, is_wanted: bool) -> Protocol:
        """The protocol for a new connection; not wanted when this carrier is gone by now."""
        raise NotImplementedError

    def preface_for(self, version: ProxyProtocol) -> bytes:
        """The PROXY header that a new connection begins with, in a pool that wants one."""
        return own_preface(version)

    def dial(self, backend: Backend) -> None:
        self._dialling = Dialling(self, backend)
        dial(self.plane.reactor, backend.address, self._dialling, self.pool.timeouts.connect_s)

    def refused(self, failure: Failure) -> None:
        """The dialled backend cannot be reached."""
        self._dialling = None
        patient = failure is not exchange.CONNECT_TIMEOUT or self.attempts <= _TIMEOUTS_TRIED
        if failure in exchange.BEFORE_SENDING and patient:
            self.try_another(failure)
        else:
            self.leave_backend(None if failure is exchange.EXHAUSTED else 0)
            self.gave_up(failure)

    def try_another(self, failure: Failure) -> None:
        assert self.backend is not None
        self._tried = (*self._tried, self.backend)
        self.failure = failure
        self.leave_backend(0)
        self.pool.count_retry(failure.reason)
        self.carry(self.plane.deadlines.now())

    def leave_backend(self, status: int | None) -> None:
        """Done with the backend, which answered `status`, or 0 for a failure of its own, or None
        for nothing to count."""
        backend, self.backend = self.backend, None
        if backend is not None:
            backend.leave()
            if status is not None:
                backend.answers[status // 100] += 1
            if self.pool.queue is not None:
                self.pool.queue.wake()

    def forget_dialling(self) -> None:
        """Nobody waits for the connection being made any more; it may serve another."""
        if self._dialling is not None:
            self._dialling.carrier_gone = True
            self._dialling = None


class Dialling(ClientFactory):
    """One attempt to connect."""

    noisy = False
    carrier_gone = False

    def __init__(self, carrier: Carrier, backend: Backend) -> None:
        self._carrier: Carrier | None = carrier
        self._backend = backend

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        # Let go of it: the connection knows this object for as long as it lives.
        carrier, self._carrier = self._carrier, None
        assert carrier is not None
        return carrier.build(self._backend, is_wanted=not self.carrier_gone)

    def clientConnectionFailed(self, connector: IConnector, reason: TwistedFailure) -> None:
        if self._carrier is not None and not self.carrier_gone:
            self._carrier.refused(failure_of(reason))
