"""Finding a connection to a backend: pick, use a kept one or dial, and try around those that
refuse, before the client sees an error.
"""

from math import ceil
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.flow import exchange
from veloflux.core.flow.exchange import Failure
from veloflux.core.model.traffic import ProxyProtocol
from veloflux.core.policy.breaker import REFUSED
from veloflux.core.policy.outlier import FAILURES, is_failure
from veloflux.core.policy.retry import again
from veloflux.core.wire.http1 import RequestHead
from veloflux.core.wire.preface import own_preface
from veloflux.edge.backend import Backend
from veloflux.edge.dial import dial, failure_of
from veloflux.edge.http2.multiplex import Waiting
from veloflux.edge.pool import Pool
from veloflux.edge.queue import Place
from veloflux.edge.transport import has_ended

if TYPE_CHECKING:
    from veloflux.edge.http2.call import Call
    from veloflux.edge.plane import Plane
    from veloflux.edge.upstream import Upstream


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
    # Whether a kept connection that proves to be dead does no harm, as it does once; else it is
    # looked at first.
    is_repeatable = True
    failure: Failure | None = None
    _dialling: "Dialling | Waiting | None" = None
    _tried: tuple[Backend, ...] = ()
    _place: Place | None = None
    _waits_until = 0.0
    _waits_since = 0.0
    queued_s = 0.0
    # Lines for the answer that bring the client back to its backend.
    cookie = b""
    # Attempts that have cost a backend work or the client time.
    _costly = 0
    _ticket = REFUSED
    _why_not: Failure | None = None

    def carry(self, now: float) -> None:
        """Make one attempt with a backend not yet tried; one of the two calls below follows."""
        pool = self.pool
        backend = pool.picker.pick(self._tried) if pool.is_simple else self._choose(now)
        if backend is None:
            self._wait_or_give_up(now)
            return
        self.backend = self.last_backend = backend
        pool.is_stirring = True
        backend.inflight += 1
        if backend.cell is not None:
            backend.show()
        self.attempts += 1
        while backend.idle and self.takes_idle:
            upstream, _ = backend.idle.popitem()
            if self.is_repeatable or not has_ended(upstream.transport):
                self.attached(upstream, now)
                return
            upstream.close()
        self.dial(backend)

    def _choose(self, now: float) -> Backend | None:
        """Choose in a pool that asks for more than whose turn it is."""
        pool = self.pool
        self._why_not = None
        if pool.breaker is not None:
            self._ticket = pool.breaker.admit(now)
            if self._ticket == REFUSED:
                self._why_not = exchange.CIRCUIT_OPEN
                return None
        if pool.has_too_many:
            self._why_not = exchange.BUSY
            return None
        if pool.queue is not None and pool.queue and not self._waits_since:
            # Who waits comes first, or those who come all the time would take every place.
            pool.queue.wake()
            return None
        backend, self.pick_reason, self.cookie = pool.choose(
            self.head, self.client, self._tried, now, is_secure=self.is_secure
        )
        return backend

    def _wait_or_give_up(self, now: float) -> None:
        pool = self.pool
        if pool.breaker is not None:
            pool.breaker.forget(self._ticket)
        if self._why_not is not None:
            self.gave_up(self._why_not)
            return
        if pool.queue is None or not pool.chooser.has_other_than(self._tried):
            self.gave_up(self.failure or exchange.NO_BACKEND)
            return
        if not self._waits_until:
            self._waits_until = now + pool.timeouts.queue_s
        if self._waits_until <= now or not pool.has_room:
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

    @property
    def is_secure(self) -> bool:
        """Whether the client came over TLS."""
        return False

    @property
    def retry_after_s(self) -> int:
        """When to come again, for who could not be served."""
        breaker = self.pool.breaker
        wait = 0.0 if breaker is None else breaker.retry_after_s(self.plane.deadlines.now())
        return max(1, ceil(wait))

    def leave_queue(self) -> None:
        """Nobody wants a backend any more."""
        if self._place is not None:
            self._place.leave()
            self._place = None

    def attached(self, upstream: "Upstream | Call", now: float) -> None:
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
        if backend.multiplex is not None and self.takes_idle:
            call = backend.multiplex.begin(is_repeatable=self.is_repeatable)
            if call is None:
                self._dialling = Waiting(self, backend.multiplex)
                backend.multiplex.wait(self._dialling)
            else:
                self.attached(call, self.plane.deadlines.now())
            return
        self._dialling = Dialling(self, backend)
        connect_s = self.pool.timeouts.connect_s
        reactor, address, dialling = self.plane.reactor, backend.address, self._dialling
        if backend.trust is None:
            dial(reactor, address, dialling, connect_s)
        else:
            version = self.pool.proxy_protocol
            preface = b"" if version is None else self.preface_for(version)
            dial(reactor, address, dialling, connect_s, backend.trust, preface)

    def refused(self, failure: Failure) -> None:
        """The dialled backend cannot be reached."""
        self._dialling = None
        if failure is exchange.CONNECT_TIMEOUT:
            self._costly += 1
        if again(self.pool.model.retries, failure, self._costly, self.head, sent=False) != "stop":
            self.try_another(failure)
        else:
            self.leave_backend(None if failure is exchange.EXHAUSTED else 0, failure.reason)
            self.gave_up(failure)

    def try_another(self, failure: Failure) -> None:
        assert self.backend is not None
        self._tried = (*self._tried, self.backend)
        self.failure = failure
        self.leave_backend(0, failure.reason)
        self.pool.count_retry(failure.reason)
        self.carry(self.plane.deadlines.now())

    def works(self, now: float) -> None:
        """The backend has taken a connection, of which nobody will see an answer: it does well."""
        backend, pool = self.backend, self.pool
        assert backend is not None
        backend.asked += 1
        backend.good += 1
        if backend.is_failing:
            pool.judge.observe(backend, 200, "")
        if pool.breaker is not None:
            pool.breaker.observe(True, now, self._ticket)

    def leave_backend(self, status: int | None, reason: str = "", seconds: float = 0.0) -> None:
        """Done with the backend, which answered `status` after so many seconds, or 0 for a failure
        with that reason, or None for nothing to count."""
        backend, self.backend = self.backend, None
        if backend is None:
            return
        backend.inflight -= 1
        if backend.cell is not None:
            backend.show()
        pool = self.pool
        if status is not None:
            backend.answers[status // 100] += 1
            if status:
                backend.durations.observe(seconds)
            if not 0 < status < 500 or backend.is_failing:
                pool.judge.observe(backend, status, reason)
        if not pool.is_simple:
            self._tell(backend, status, reason, seconds)

    def _tell(self, backend: Backend, status: int | None, reason: str, seconds: float) -> None:
        """Tell a pool that asks for more than whose turn it is."""
        pool, now = self.pool, self.plane.deadlines.now()
        if status is None or (not status and reason not in FAILURES):
            if pool.breaker is not None:
                pool.breaker.forget(self._ticket)
        else:
            is_good = status > 0 and not is_failure(status)
            if pool.is_timed:
                backend.time(is_good, seconds, now)
            if pool.breaker is not None:
                pool.breaker.observe(is_good, now, self._ticket)
        if pool.queue is not None:
            pool.queue.wake()

    def forget_dialling(self) -> None:
        """Nobody waits for the connection being made any more; it may serve another."""
        if self._dialling is not None:
            self._dialling.forget()
            self._dialling = None


class Dialling(ClientFactory):
    """One attempt to connect."""

    noisy = False
    carrier_gone = False

    def __init__(self, carrier: Carrier, backend: Backend) -> None:
        self._carrier: Carrier | None = carrier
        self._backend = backend

    def forget(self) -> None:
        """Nobody waits for it."""
        self.carrier_gone = True

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        # Let go of it: the connection knows this object for as long as it lives.
        carrier, self._carrier = self._carrier, None
        assert carrier is not None
        return carrier.build(self._backend, is_wanted=not self.carrier_gone)

    def clientConnectionFailed(self, connector: IConnector, reason: TwistedFailure) -> None:
        if self._carrier is not None and not self.carrier_gone:
            self._carrier.refused(failure_of(reason))
