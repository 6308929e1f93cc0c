"""A small server that says what it was asked, to stand behind a proxy.

    python -m veloflux.demo.backend --port 9001 --name one

Any path answers JSON with the server's name and the request as it arrived. `/health`,
`/slow?ms=`, `/bytes?n=`, `/stream?n=&ms=`, `/fail?status=` and the WebSocket echo at `/ws` each
show one more thing that a proxy must carry.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from typing import IO, cast

from twisted.internet import task
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, RESPONSES
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.websocket import WebSocketResource, WebSocketTransport
from zope.interface import implementer

BODY_SHOWN = 64 * 1024  # bytes of a request's body that its answer repeats
BLOCK = 64 * 1024  # bytes handed to the transport at a time by /bytes
LONGEST_MS = 600_000
LARGEST = 1 << 40  # bytes


class QueryError(ValueError):
    """A number in the query is missing its digits or is out of range."""


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """The query's `name` as an integer within low..high; raises QueryError otherwise."""
    text = request.args.get(name.encode(), [str(default).encode()])[-1]
    if not text.isdigit() or len(text) > 15 or not low <= int(text) <= high:
        raise QueryError(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def described(name: str, request: Request) -> bytes:
    """The request as it arrived, as indented JSON."""
    content = cast("IO[bytes]", request.content)  # None only before the head has been read
    body = content.read(BODY_SHOWN)
    length = content.seek(0, 2)
    return (
        json.dumps(
            {
                "backend": name,
                "method": request.method.decode("latin-1"),
                "target": request.uri.decode("latin-1"),
                "version": request.clientproto.decode("latin-1"),
                "headers": [
                    f"{key.decode('latin-1')}: {value.decode('latin-1')}"
                    for key, values in request.requestHeaders.getAllRawHeaders()
                    for value in values
                ],
                "body_bytes": length,
                "body": body.decode("utf-8", "replace"),
            },
            indent=2,
        ).encode()
        + b"\n"
    )


def answer(request: Request, status: int, content_type: str, body: bytes) -> bytes:
    """Set status and type, and return the body."""
    # A status without a registered reason still needs one here: twisted.web would say "Unknown".
    request.setResponseCode(status, RESPONSES.get(status, b"Status"))
    request.setHeader(b"Content-Type", content_type.encode())
    return body


@implementer(IPushProducer)
class Blocks:
    """Writes `left` bytes to a request, for as long as the transport has room."""

    def __init__(self, request: Request, left: int) -> None:
        self._request = request
        self._left = left
        self._is_paused = False

    def resumeProducing(self) -> None:
        """Write blocks until paused, and finish after the last."""
        self._is_paused = False
        while self._left and not self._is_paused:
            size = min(self._left, BLOCK)
            self._left -= size
            self._request.write(b"x" * size)
        if not self._left:
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._is_paused = True

    def stopProducing(self) -> None:
        """The client has gone."""
        self._is_paused = True


class Echo:
    """Sends each WebSocket message back."""

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = transport

    def negotiationFinished(self) -> None:
        """The handshake is done; the client speaks first."""

    def textMessageReceived(self, message: str) -> None:
        """Send it back as text."""
        self._transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        """Send it back as bytes."""
        self._transport.sendBytesMessage(bytes(data))

    def pongReceived(self, payload: bytes) -> None:
        """Nothing waits for a pong."""

    def connectionLost(self, reason: Failure) -> None:
        """Nothing is held for a connection."""


class Echoes:
    """Makes an Echo for each WebSocket."""

    def buildProtocol(self, request: Request) -> Echo:
        """One echo for one connection."""
        return Echo()


class Backend(Resource):
    """All paths of one demo server called `name`."""

    isLeaf = True

    def __init__(self, clock: IReactorTime, name: str) -> None:
        super().__init__()
        self._clock = clock
        self._name = name
        self._echo = WebSocketResource(Echoes())
        self._paths: dict[bytes, Callable[[Request], bytes | int]] = {
            b"/health": self._health,
            b"/slow": self._slow,
            b"/bytes": self._bytes,
            b"/stream": self._stream,
            b"/fail": self._fail,
            b"/ws": self._ws,
        }

    def render(self, request: Request) -> bytes | int:
        """Answer by path; any other path tells the request back."""
        request.setHeader(b"X-Backend", self._name.encode())
        try:
            return self._paths.get(request.path, self._tell)(request)
        except QueryError as wrong:
            return answer(request, 400, "text/plain", f"{wrong}\n".encode())

    def _tell(self, request: Request) -> bytes:
        return answer(request, 200, "application/json", described(self._name, request))

    def _health(self, request: Request) -> bytes:
        return answer(request, 200, "text/plain", b"ok\n")

    def _slow(self, request: Request) -> int:
        wait = number(request, "ms", 1000, 0, LONGEST_MS) / 1000
        body = self._tell(request)

        def late() -> None:
            request.write(body)
            request.finish()

        request.setHeader(b"Content-Length", str(len(body)).encode())
        waiting = self._clock.callLater(wait, late)
        request.notifyFinish().addErrback(lambda _: waiting.cancel())
        return NOT_DONE_YET

    def _bytes(self, request: Request) -> bytes | int:
        size = number(request, "n", 1024, 0, LARGEST)
        answer(request, 200, "application/octet-stream", b"")
        request.setHeader(b"Content-Length", str(size).encode())
        if not size or request.method == b"HEAD":
            request.finish()
        else:
            blocks = Blocks(request, size)
            request.registerProducer(blocks, True)
            blocks.resumeProducing()
        return NOT_DONE_YET

    def _stream(self, request: Request) -> int:
        count = number(request, "n", 10, 1, 1_000_000)
        pause = number(request, "ms", 200, 0, LONGEST_MS) / 1000
        answer(request, 200, "text/plain", b"")

        def lines() -> Iterator[object]:
            for line in range(1, count + 1):
                request.write(f"{self._name} {line}\n".encode())
                yield task.deferLater(self._clock, pause)
            request.finish()

        running = task.Cooperator(scheduler=lambda f: self._clock.callLater(0, f)).cooperate(
            lines()
        )
        request.notifyFinish().addErrback(lambda _: running.stop())
        return NOT_DONE_YET

    def _fail(self, request: Request) -> bytes | int:
        status = number(request, "status", 500, 200, 599)
        body = answer(request, status, "text/plain", f"{self._name}: {status}\n".encode())
        if status in NO_BODY_CODES:  # these carry no Content-Length either: RFC 9110, 8.6
            request.finish()
            return NOT_DONE_YET
        return body

    def _ws(self, request: Request) -> bytes | int:
        return cast("bytes | int", self._echo.render(request))


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m veloflux.demo.backend", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes any free one")
    parser.add_argument("--name", help="default: the port")
    chosen = parser.parse_args(argv)

    # A process's own entry is the one place that may name the reactor.
    from twisted.internet import reactor  # noqa: TID251

    root = Backend(reactor, chosen.name or str(chosen.port))
    # Bodies are told back as they came, so nothing may read them as a form first.
    site = cast(ServerFactory, Site(root, parsePOSTFormSubmission=False))
    try:
        port = reactor.listenTCP(chosen.port, site, interface=chosen.host)
    except CannotListenError as refused:
        where = f"{chosen.host}:{chosen.port}"
        raise SystemExit(f"cannot listen on {where}: {refused.socketError}") from refused
    bound = cast(IPv4Address, port.getHost())
    print(f"listening on {bound.host}:{bound.port}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
