"""One request on a shared connection to a backend: what a bridge has for its backend's side, which
in HTTP/1.1 is the connection itself (`edge.upstream`)."""

from typing import TYPE_CHECKING, Any

from veloflux.core.wire import grpc
from veloflux.core.wire.error import ProtocolError, bad_answer
from veloflux.core.wire.framing import Body, Framed
from veloflux.core.wire.http1 import ResponseHead
from veloflux.core.wire.http2.error import Code
from veloflux.core.wire.http2.events import Cancelled
from veloflux.core.wire.hygiene import HTTP2_VIAS
from veloflux.edge.deadlines import Timed
from veloflux.edge.http2.flow import Flow

if TYPE_CHECKING:
    from veloflux.edge.bridge import Bridge
    from veloflux.edge.http2.client import Client
    from veloflux.edge.mirror import Copy

# As in `edge.upstream`.
_MAX_INTERIM = 16


class Call(Flow, Timed):
    """Lives until its answer is through, or either side has cancelled it. It is its own
    transport."""

    wire = "http2_upstream"
    vias = HTTP2_VIAS
    tunnel = None

    bridge: "Bridge | Copy | None" = None
    body: Body | None = None
    is_answering = False
    number = 0
    _framed: Framed | None = None
    _interim = 0
    _asked_at = 0.0
    _is_call = False

    def __init__(self, connection: "Client") -> None:
        self.connection: Client = connection
        self.codec = connection.codec
        self.backend = connection.backend
        self.deadlines = connection.deadlines
        self.has_served = connection.has_served

    @property
    def transport(self) -> Any:
        return self

    @property
    def idle_s(self) -> float:
        """For how long an answer may make no progress."""
        return grpc.IDLE_S if self._is_call else self.backend.pool.timeouts.idle_s

    @property
    def has_answered_nothing(self) -> bool:
        return not (self.is_answering or self._interim)

    # The request

    def ask(
        self,
        prelude: bytes,
        request_id: bytes,
        more: bytes = b"",
        payload: bytes = b"",
        body: Body | None = None,
    ) -> None:
        """Send a request's head, and the first of its body; as `Upstream.ask`."""
        bridge = self.bridge
        assert bridge is not None
        head = bridge.head
        self._asked_at = self.deadlines.now()
        self._is_call = grpc.is_call(head)
        self.number = self.connection.codec.ask(
            prelude,
            b"http" if self.backend.trust is None else b"https",
            request_id,
            more,
            ended=head.fields.length == 0,
            is_head=head.method == b"HEAD",
        )
        self.connection.calls[self.number] = self
        if body is None:
            self.connection.flush()
        else:
            self.send_data(payload, body)

    def send_data(self, payload: bytes, body: Body) -> None:
        """More of the request's body; `body` is its decoder, done or not."""
        codec, number = self.codec, self.number
        if not body.done:
            if payload:
                codec.data(number, payload)
        elif not body.trailers:
            codec.data(number, payload, ended=True)
        else:
            if payload:
                codec.data(number, payload)
            # Its lines were read by the strict grammar.
            codec.trailers(number, body.trailers)
        self.connection.flush()
        self.hold_back()

    # The answer

    def answered(self, head: ResponseHead, data: bytes, *, ended: bool) -> None:
        """The head of an answer, and its body if all of it came along."""
        bridge = self.bridge
        assert bridge is not None
        if head.status < 200:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                self.broken(bad_answer("interim", "The backend sends interim answers without end."))
            else:
                bridge.interim(head)
            return
        self.is_answering = True
        framed = self._framed = Framed()
        framed.done = ended
        bridge.answered(head, data, framed)
        if data:
            self.codec.acknowledge(self.number, len(data))

    def came(self, data: bytes, ended: bool, trailers: bytes) -> None:
        """Some of the answer's body."""
        bridge, framed = self.bridge, self._framed
        assert bridge is not None
        assert framed is not None
        if ended:
            framed.done = True
            framed.trailers = trailers
        self.deadlines.arm(self, self.deadlines.now() + self.idle_s)
        bridge.answer_data(data, framed)
        self.used(len(data))

    # The end

    def cancelled(self, event: Cancelled) -> None:
        """The stream is gone."""
        if not event.by_peer:
            self.broken(bad_answer(event.kind, "The backend's answer is malformed."))
            return
        bridge = self._let_go()
        if bridge is None:
            return
        if event.code == Code.REFUSED_STREAM and self.has_answered_nothing:
            bridge.backend_refused()
        else:
            # The connection is there: it has not ended unseen.
            self.has_served = False
            bridge.backend_lost(self, False)

    def broken(self, problem: ProtocolError) -> None:
        """What the backend said is no answer."""
        bridge = self.bridge
        if bridge is not None:
            bridge.broken(problem)

    def lost(self) -> None:
        """The connection is gone."""
        bridge = self._let_go()
        if bridge is not None:
            bridge.backend_lost(self, False)

    def release(self, now: float) -> None:
        """The answer is through."""
        self.connection.has_served = True
        self.close()

    def close(self) -> None:
        """As `release`; the connection is for others, too."""
        self._end(Code.NO_ERROR)

    def abort(self) -> None:
        """Nobody wants the answer any more; its bridge is not told."""
        self._end(Code.CANCEL)

    def _end(self, code: Code) -> None:
        # No frame is sent for one that both sides have ended.
        self.codec.reset(self.number, code)
        self.connection.flush()
        self._let_go()

    def _let_go(self) -> "Bridge | Copy | None":
        bridge, self.bridge = self.bridge, None
        self._producer = None
        self.deadlines.disarm(self)
        self.connection.left(self)
        return bridge

    def expire(self, now: float) -> None:
        bridge = self.bridge
        if bridge is not None:
            self.connection.doubt(self._asked_at)
            bridge.backend_timed_out()
