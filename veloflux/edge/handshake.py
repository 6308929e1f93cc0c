"""A client's connection while its TLS handshake is under way; what is above it comes after that.

A handshake costs more than most requests, and one that is never finished costs memory. So each has
a deadline, and a listener has so many under way at most: for one more, the oldest makes room if it
has had its chance; else the new one is turned away, since work that is half done is worth more.
"""

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure as TwistedFailure

from veloflux.core.wire.preface import Preface
from veloflux.edge.context import words
from veloflux.edge.deadlines import Timed
from veloflux.edge.terms import UnnamedError
from veloflux.edge.tls import Tls

if TYPE_CHECKING:
    from veloflux.edge.listener import Listener

# Handshakes under way at one listener of one worker.
MOST = 1024
# Seconds in which a client that means it has finished, and a busy worker has come to it.
CHANCE_S = 2.0
# Seconds that a draining process, or a removed listener, gives to a handshake.
_DRAIN_S = 1.0

# What OpenSSL says, by a part of it, and what it is counted as.
_KINDS = (
    ("http request", "http_request"),
    ("https proxy request", "http_request"),
    ("did not return a certificate", "no_client_certificate"),
    ("certificate verify failed", "client_certificate"),
    ("no shared cipher", "cipher"),
    ("unsupported protocol", "version"),
    ("version too low", "version"),
    ("wrong version number", "not_tls"),
    ("packet length too long", "not_tls"),
    ("record layer failure", "not_tls"),
    ("callback failed", "server_name"),
    ("alert", "alert"),
    ("unexpected eof", "truncated"),
)


def kind_of(problem: Exception | None) -> str:
    """What a failure is counted as."""
    if problem is None:
        return "truncated"
    said = words(problem).lower()
    return next((kind for part, kind in _KINDS if part in said), "handshake")


class Secured(Tls, Timed):
    """The server's end. Until the handshake is through it is the listener's connection, then
    `protocol` is."""

    descriptors = 1
    # What a PROXY header said of the connection, and who sent it.
    preface: Preface | None = None
    sender = ""
    _is_counted = False
    _began = 0.0

    def __init__(self, listener: "Listener", peer: str) -> None:
        assert listener.terms is not None
        self.terms = listener.terms
        self._deadlines = listener.plane.deadlines
        super().__init__(self.terms.context, is_server=True)
        self.listener = listener
        self.peer = peer

    def connectionMade(self) -> None:
        self.listener.handshakes[self] = None
        self.listener.join(self)
        self._is_counted = True
        self._began = self._deadlines.now()
        self._deadlines.arm(self, self._began + self.listener.limits.header_timeout_s)

    def established(self) -> None:
        listener = self.listener
        try:
            agreement = self.terms.agreement(self.tls)
        except (UnnamedError, ValueError):
            self._refuse("client_subject")
            return
        self._leave()
        if listener.is_removed:
            listener.rejected["removed"] += 1
            self.abortConnection()
            return
        protocol: Any = listener.build_secured(self.peer, agreement)
        protocol.agreement = agreement
        protocol.preface = self.preface
        protocol.sender = self.sender
        self.protocol = protocol
        protocol.makeConnection(self)
        if listener.is_draining:
            protocol.drain()

    def failed(self, problem: Exception | None) -> None:
        if problem is not None or (self._is_counted and self.has_begun):
            self.listener.count_error("tls", kind_of(problem))
        self.has_begun = False

    def make_room(self) -> bool:
        """There are too many: go, if there was time enough; says whether."""
        if self._deadlines.now() < self._began + CHANCE_S:
            return False
        self._refuse("crowded")
        return True

    def drain(self, patience_s: float = 0.0) -> None:
        """The process is going, or the listener is: the handshake may be nearly through."""
        until = self._deadlines.now() + max(_DRAIN_S, patience_s)
        if until < self.deadline:
            self._deadlines.arm(self, until)

    def abandon(self) -> None:
        """The process goes now."""
        self.abortConnection()

    def expire(self, now: float) -> None:
        self._refuse("timeout")

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        if self._is_counted and self.has_begun:
            # Who says nothing at all only looks whether somebody listens.
            self.listener.count_error("tls", "truncated")
        self._leave()
        super().connectionLost(reason)

    def _refuse(self, kind: str) -> None:
        if self.has_begun or kind != "timeout":
            self.listener.count_error("tls", kind)
        self.has_begun = False
        self._leave()
        self.abortConnection()

    def _leave(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self.listener.handshakes.pop(self, None)
            self.listener.leave(self)
            self._deadlines.disarm(self)
