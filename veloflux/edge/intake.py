"""A request's body on its way in: when to look at its pace again, and what to say of it."""

from typing import TYPE_CHECKING

from veloflux.core.flow.upload import RATE_GRACE_S, Upload
from veloflux.core.model.traffic import Limits
from veloflux.core.wire.error import ProtocolError
from veloflux.core.wire.framing import Chunked, Framed
from veloflux.edge.bridge import Bridge
from veloflux.edge.deadlines import Timed

if TYPE_CHECKING:
    from veloflux.edge.plane import Plane


class Intake(Timed):
    """Mixed into a client's side of one request; `body` is there while one is under way.

    `unframed` decodes a body whose length is not known, `wire` is a protocol's name in counts.
    """

    plane: "Plane"
    limits: Limits
    bridge: Bridge | None = None
    body: Upload | None = None
    unframed: type[Chunked] | type[Framed] = Chunked
    wire = ""
    # Opened for nothing but a tunnel, unlike an upgrade that may be passed over.
    is_tunnel = False

    def refuse_body(self, bridge: Bridge, problem: ProtocolError) -> None:
        """The body breaks a rule: no more of it."""
        raise NotImplementedError

    def watch_body(self, wait: float, now: float) -> None:
        """Look at the body's pace after so many seconds, or earlier."""
        self.plane.deadlines.arm(self, now + min(wait, RATE_GRACE_S))

    def judge_body(self, bridge: Bridge, body: Upload, now: float) -> None:
        """Is it fast enough?"""
        if not bridge.is_ready:
            # Its body is not asked for yet.
            self.watch_body(self.limits.body_timeout_s, now)
            return
        try:
            wait = body.judge(now, *bridge.upload_held(now))
        except ProtocolError as problem:
            self.refuse_body(bridge, problem)
        else:
            self.watch_body(wait, now)

    def body_moved(self, count: int) -> None:
        """So many bytes of the body went past this process."""
        assert self.body is not None
        assert self.bridge is not None
        self.body.moved(count, self.plane.deadlines.now())
        self.bridge.bytes_in = self.body.received
