"""WebSockets of the admin listener: Autobahn's protocol around a session.

Autobahn keeps the rules of RFC 6455 (masks, fragments, UTF-8, closing); it is told the limits here.
The request for an upgrade reaches it as it was understood, not as it came: without extensions, so
that nothing is compressed.
"""

import secrets
from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from veloflux.control.services.feed import Feed, Item
from veloflux.control.services.identity.identity import Standing
from veloflux.control.services.principal import Principal
from veloflux.control.streams.session import GOING_AWAY, TOO_MUCH, Credentials, Session

MAX_MESSAGE_BYTES = 4096
# Sockets at the same time; the requests of the API are counted for themselves.
MAX_WATCHERS = 4096
# Of them, those who have not said yet who they are, and may be anybody.
MAX_STRANGERS = 256
# How often it is asked whether everybody's credentials still hold.
LOOK_S = 2.0
# Whole seconds: Autobahn rounds its timers down, and an interval of 0 would be a storm.
PING_S, PONG_S = 20, 10
CLOSE_S = 5

_log = Logger()


class _Way(ITCPTransport, IConsumer):
    """What a socket needs of what carries it."""


class _Unbound(proxyForInterface(_Way)):  # type: ignore[misc]  # a class that is made
    """A TLS transport that does not say so: Autobahn would ask it for a channel binding, which is
    for WAMP, and which no TLS but Twisted's own can give it."""


@implementer(IPushProducer)
class Socket(WebSocketServerProtocol):
    """One watcher's connection."""

    factory: "Watchers"
    session: Session

    def makeConnection(self, transport: Any) -> None:
        is_secure = ISSLTransport.providedBy(transport)
        super().makeConnection(_Unbound(transport) if is_secure else transport)

    def onConnect(self, request: Any) -> None:
        """All was asked before: whoever comes here may."""

    def onOpen(self) -> None:
        self.session.open(*self.factory.expected.pop(self))

    def onMessageFrameBegin(self, length: int) -> None:
        # An empty fragment costs as much as a message, and never becomes one.
        self.session.count()
        super().onMessageFrameBegin(length)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.session.receive(payload)

    def onPing(self, payload: bytes) -> None:
        if self.session.count():
            super().onPing(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.session.end()
        self.factory.gone(self)

    def write(self, item: Item, payload: bytes) -> None:
        # Not by `sendMessage`, which holds what is sent to the limit of what is read.
        if payload is not item.payload:
            self.sendPreparedMessage(self.factory.prepareMessage(payload))
            return
        if item.frame is None:
            item.frame = self.factory.prepareMessage(payload)
        self.sendPreparedMessage(item.frame)

    def close(self, code: int, reason: str) -> None:
        # `sendClose` is for applications, and refuses the protocol's own codes.
        self.sendCloseFrame(code=code, reasonUtf8=reason.encode(), isReply=False)
        if code == TOO_MUCH:
            # Not to read on what somebody sends who does not listen.
            self.dropConnection(abort=False)

    def pauseProducing(self) -> None:
        self.session.pause_writing()

    def resumeProducing(self) -> None:
        self.session.resume_writing()

    def stopProducing(self) -> None:
        self.session.end()


class Watchers(WebSocketServerFactory):
    """All watchers' connections; `clock` gives monotonic seconds, `now` Unix time."""

    noisy = False

    def __init__(
        self, feed: Feed, credentials: Credentials, clock: IReactorTime, now: Callable[[], float]
    ) -> None:
        super().__init__(reactor=clock)
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=MAX_MESSAGE_BYTES,
            maxMessagePayloadSize=MAX_MESSAGE_BYTES,
            failByDrop=False,
            openHandshakeTimeout=CLOSE_S,
            closeHandshakeTimeout=CLOSE_S,
            autoPingInterval=PING_S,
            autoPingTimeout=PONG_S,
            allowNullOrigin=False,
        )
        self.feed = feed
        self.expected: dict[Socket, tuple[Principal | None, str, float | None]] = {}
        self._credentials = credentials
        self._clock = clock
        self._now = now
        self._open: dict[Socket, None] = {}
        self._look_call: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether nobody more may come."""
        return len(self._open) >= MAX_WATCHERS

    @property
    def takes_strangers(self) -> bool:
        """Whether somebody may come who says only then who they are."""
        strangers = sum(socket.session.principal is None for socket in self._open)
        return strangers < MAX_STRANGERS

    def expect(
        self,
        address: str,
        principal: Principal | None,
        channel: str,
        period_s: float | None,
    ) -> Socket:
        """Make the protocol for somebody who may come in."""
        socket = Socket()
        socket.factory = self
        socket.session = Session(
            socket,
            self.feed,
            self._credentials,
            self._clock,
            self._now,
            secrets.token_hex(8),
            address,
        )
        self.expected[socket] = principal, channel, period_s
        self._open[socket] = None
        self._look_later()
        return socket

    def gone(self, socket: Socket) -> None:
        """Forget a connection."""
        self._open.pop(socket, None)
        self.expected.pop(socket, None)

    def stop(self) -> None:
        """Say goodbye to everybody."""
        for socket in list(self._open):
            socket.session.close(GOING_AWAY, "the server goes away")
        self.feed.stop()
        if self._look_call is not None:
            self._look_call.cancel()
            self._look_call = None

    def _look(self) -> None:
        self._look_call = None
        looking = Deferred.fromCoroutine(self._judge())
        looking.addErrback(lambda failure: _log.failure("standings are not known", failure))
        looking.addCallback(lambda _: self._look_later())

    async def _judge(self) -> None:
        """Ask once for each who watches, however many sockets they have."""
        found: dict[Principal, Standing] = {}
        for socket in list(self._open):
            by = socket.session.principal
            if by is not None and socket in self._open:
                if by not in found:
                    found[by] = await self._credentials.standing(by)
                socket.session.judge(found[by])

    def _look_later(self) -> None:
        if self._open and self._look_call is None:
            self._look_call = self._clock.callLater(LOOK_S, self._look)
