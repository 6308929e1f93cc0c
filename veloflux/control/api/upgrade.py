"""Where a request on the admin listener becomes a WebSocket (RFC 6455, section 4).

Everything is asked before: whether the handshake is one, whether the page that asks is ours, and
who is there. What is refused is refused as any other request, with a problem; what is not gets a
protocol of its own, and HTTP lets go of the connection.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from veloflux.control.api.endpoint import SIGNED_IN, Asked, Endpoint
from veloflux.control.api.gate import write_problem
from veloflux.control.api.guard import Guard
from veloflux.control.api.pages import Pages
from veloflux.control.api.problem import Problem, refused
from veloflux.control.api.site import AdminChannel
from veloflux.control.services.errors import Refusal
from veloflux.control.services.feed import MAX_PERIOD_S, MIN_PERIOD_S, Topic
from veloflux.control.services.principal import Principal
from veloflux.control.services.tickets import Tickets

_log = Logger()


class Sockets(Protocol):
    """Those who are connected."""

    @property
    def is_full(self) -> bool: ...
    @property
    def takes_strangers(self) -> bool: ...
    def expect(
        self, address: str, principal: Principal | None, channel: str, period_s: float | None, /
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Streams:
    """What can be watched, where those who watch go, and the tickets that let them in."""

    topics: Mapping[str, Topic]
    sockets: Sockets
    tickets: Tickets[Principal]


class Upgrades(Resource):
    """Stands before the routing, and takes what asks for a stream."""

    isLeaf = True

    def __init__(self, inner: IResource, streams: Streams, guard: Guard, pages: Pages) -> None:
        super().__init__()
        self._inner = inner
        self._sockets = streams.sockets
        self._tickets = streams.tickets
        self._guard = guard
        self._pages = pages
        self._rows = {
            f"{prefix}/ws/{name}".encode(): Endpoint(
                "GET", f"/api/ws/{name}", topic.permission or SIGNED_IN, _nothing
            )
            for name, topic in streams.topics.items()
            for prefix in ("/api", "/api/v1")
        }

    def render(self, request: Request) -> int:
        row = self._rows.get(request.path)
        if row is None:
            rendered: int = self._inner.render(request)
            return rendered
        gone = request.notifyFinish()
        deciding = Deferred.fromCoroutine(self._take(row, request))
        gone.addErrback(lambda _: deciding.cancel())
        deciding.addErrback(self._refuse, request)
        return NOT_DONE_YET

    async def _take(self, row: Endpoint, request: Request) -> None:
        _check_handshake(request)
        # A page of another site must not watch with what its reader's browser knows. Who names no
        # origin is no browser.
        if request.requestHeaders.hasHeader(b"Origin") and not self._pages.knows(request):
            raise Problem(403, "A page of this origin may not watch.")
        if self._sockets.is_full:
            raise _full()
        query = _query(request)
        address = str(getattr(request.getClientAddress(), "host", "unix"))
        principal = await self._principal(row, request, query.pop("ticket", None), address)
        if principal is None and not self._sockets.takes_strangers:
            raise _full()
        period_s = _period(query.pop("period", None))
        if query:
            raise Problem(400, f"There is no parameter {next(iter(query))} here.")
        channel = row.path.rpartition("/")[2]
        _hand_over(request, self._sockets.expect(address, principal, channel, period_s))

    async def _principal(
        self, row: Endpoint, request: Request, ticket: str | None, address: str
    ) -> Principal | None:
        """Who asks; None when that will be said in the first message."""
        authorization = request.requestHeaders.getRawHeaders(b"Authorization", [])
        if authorization or not self._guard.is_asking:
            return await self._guard.admit(row, authorization, address)
        if ticket is None:
            return None
        principal = self._tickets.redeem(ticket)
        if principal is None:
            raise Problem(401, "This ticket is not valid: each is good once, for half a minute.")
        if row.permission not in (SIGNED_IN, *principal.permissions):
            raise Problem(403, f"This needs the permission {row.permission}.")
        return principal

    def _refuse(self, failure: Failure, request: Request) -> None:
        error = failure.value
        if request._disconnected or failure.check(CancelledError):
            return
        if isinstance(error, Refusal):
            error = refused(error)
        if not isinstance(error, Problem):
            _log.failure("a WebSocket could not be opened", failure)
            error = Problem(500, "Something went wrong; the log says what.")
        write_problem(request, error)


def _nothing(asked: Asked) -> None:
    """What an upgrade is answered with comes from its own protocol."""


def _full() -> Problem:
    return Problem(503, "Nobody more can watch at the moment.", {b"Retry-After": b"10"})


def _check_handshake(request: Request) -> None:
    """Raise Problem for what is no opening handshake (section 4.2.1)."""
    if request.method not in (b"GET", b"HEAD"):
        raise Problem(405, "A stream is read.", {b"Allow": b"GET, HEAD, OPTIONS"})
    if (request.getHeader(b"Upgrade") or b"").strip().lower() != b"websocket":
        raise Problem(400, "This is a stream, for WebSockets: ask for an upgrade.")
    connection = b",".join(request.requestHeaders.getRawHeaders(b"Connection", []))
    if b"upgrade" not in [each.strip().lower() for each in connection.split(b",")]:
        raise Problem(400, "Connection does not name the upgrade.")
    if request.getHeader(b"Sec-WebSocket-Version") != b"13":
        raise Problem(
            426,
            "The only WebSocket version is 13.",
            {b"Upgrade": b"websocket", b"Sec-WebSocket-Version": b"13"},
        )
    keys = request.requestHeaders.getRawHeaders(b"Sec-WebSocket-Key", [])
    try:
        is_key = len(keys) == 1 and len(b64decode(keys[0], validate=True)) == 16
    except binascii.Error:
        is_key = False
    if not is_key:
        raise Problem(400, "Sec-WebSocket-Key is not 16 bytes in base64.")


def _query(request: Request) -> dict[str, str]:
    raw = request.uri.partition(b"?")[2]
    try:
        found = parse_qs(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw))
    except ValueError:
        raise Problem(400, "The query cannot be read.") from None
    if any(len(values) > 1 for values in found.values()):
        raise Problem(400, "Each parameter is given once.")
    return {name: values[0] for name, values in found.items()}


def _period(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        period_s = float(text.removesuffix("s"))
    except ValueError:
        period_s = 0.0
    if not MIN_PERIOD_S <= period_s <= MAX_PERIOD_S:
        raise Problem(400, f"period is from {MIN_PERIOD_S:g} to {MAX_PERIOD_S:g} seconds.")
    return period_s


def _hand_over(request: Request, protocol: Any) -> None:
    """Give a connection to the protocol of a socket, with the request as that would read it."""
    channel = request.channel
    assert isinstance(channel, AdminChannel)
    transport = channel.surrender()
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol  # TLS stays in between
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    transport.registerProducer(protocol, True)
    transport.resumeProducing()
    fields = {
        b"Host": request.getHeader(b"Host") or b"localhost",
        b"Upgrade": b"websocket",
        b"Connection": b"Upgrade",
        b"Sec-WebSocket-Version": b"13",
        b"Sec-WebSocket-Key": request.getHeader(b"Sec-WebSocket-Key") or b"",
    }
    lines = b"".join(b"%b: %b\r\n" % field for field in fields.items())
    protocol.dataReceived(b"GET %b HTTP/1.1\r\n%b\r\n" % (request.path, lines))
