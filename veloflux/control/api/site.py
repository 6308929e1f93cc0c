"""The listeners' side of the admin API: connections, their limits and deadlines.

Twisted's own server waits again after every byte, reads bodies of any size to disk, and answers
some errors in HTML. Here a request has one deadline from its first byte to its last, a body has a
limit, and every error is a problem.
"""

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from veloflux.control.api.gate import prepare, request_id, write_problem
from veloflux.control.api.problem import CONTENT_TYPE, Problem

MAX_CONNECTIONS = 256
MAX_BODY_BYTES = 1024 * 1024
# From a connection's start, or the end of the answer before, to the end of a request.
REQUEST_DEADLINE_S = 30.0


class AdminRequest(Request):
    """A request with a bounded body, and no HTML in its answers."""

    defaultContentType = None

    _log = Logger()
    _read = 0
    _is_refused = False

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > MAX_BODY_BYTES:
            self._refuse()
        super().gotLength(0)  # in memory: it is small, or refused

    def handleContentChunk(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > MAX_BODY_BYTES:
            self._refuse()
        if not self._is_refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._is_refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        if self.path == b"*":
            # `OPTIONS *` asks about the server as a whole (RFC 9110 9.3.7), nothing else may.
            self.path = b"/" if self.method == b"OPTIONS" else b"/*"
        super().process()

    def processingFailed(self, reason: Failure) -> Failure:
        self._log.failure("a call of the admin API failed", reason)
        write_problem(self, Problem(500, "Something went wrong; the log says what."))
        return reason

    def _refuse(self) -> None:
        """Answer at once, but read on until the end or the deadline.

        To close while bytes are under way would reset the connection, and the answer with it.
        """
        if self._is_refused:
            return
        self._is_refused = True
        self.requestHeaders.removeHeader(b"Expect")  # or it would be told to go on
        prepare(self)
        body = Problem(413, f"A body may have {MAX_BODY_BYTES} bytes.").body(request_id(self))
        self.setHeader(b"Connection", b"close")
        self.setHeader(b"Content-Type", CONTENT_TYPE)
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.channel.writeHeaders(b"HTTP/1.1", b"413", b"Content Too Large", self.responseHeaders)
        self.channel.write(body)


class AdminChannel(HTTPChannel):
    """A connection that has a deadline for each request as a whole."""

    maxHeaders = 100
    site: "AdminSite"

    def connectionMade(self) -> None:
        self.site.connections += 1
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.connections -= 1
        super().connectionLost(reason)

    def resetTimeout(self) -> None:
        """Do not begin to wait again: called for whatever comes in, a byte at a time too."""


class AdminSite(Site):
    """Serves one resource to a bounded number of connections."""

    noisy = False
    protocol = AdminChannel  # type: ignore[assignment]  # typed as Twisted's own wrapper

    def __init__(self, resource: IResource, reactor: Any) -> None:
        super().__init__(
            resource,
            requestFactory=AdminRequest,
            timeout=REQUEST_DEADLINE_S,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.connections = 0

    def buildProtocol(self, addr: IAddress | None) -> Any:  # the same
        if self.connections >= MAX_CONNECTIONS:
            return None
        return super().buildProtocol(addr)

    def log(self, request: Any) -> None:
        """Write no line for each request: scrapes would be most of the log."""
