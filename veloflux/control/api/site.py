"""The listeners' side of the admin API: connections, their limits and deadlines.

Twisted's own server waits again after every byte, reads bodies of any size to disk, and answers
some errors in HTML. Here a request has one deadline from its first byte to its last, a body has a
limit, and every error is a problem.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from veloflux.control.api.endpoint import MAX_BODY_BYTES, Endpoint
from veloflux.control.api.gate import compose_problem, prepare, write_problem
from veloflux.control.api.problem import Problem

MAX_CONNECTIONS = 256
# Requests at the same time that may have more than MAX_BODY_BYTES: they are held in memory.
MAX_LARGE = 2
# From a connection's start, or the end of the answer before, to the end of a request.
REQUEST_DEADLINE_S = 30.0


class Limits:
    """How long a body may be, by the paths of the rows that take more than the others."""

    def __init__(self, rows: Iterable[Endpoint]) -> None:
        self._large = [
            (row.method.encode(), _pattern(path), row.max_body_bytes)
            for row in rows
            for path in row.paths
            if row.max_body_bytes > MAX_BODY_BYTES
        ]

    def of(self, method: bytes, target: bytes) -> int:
        """The bytes that the body of such a request may have."""
        path = target.partition(b"?")[0]
        for known, pattern, limit in self._large:
            if known == method and pattern.fullmatch(path):
                return limit
        return MAX_BODY_BYTES


def _pattern(path: str) -> re.Pattern[bytes]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)).encode())


class AdminRequest(Request):
    """A request with a bounded body, and no HTML in its answers."""

    defaultContentType = None

    _log = Logger()
    channel: "AdminChannel"

    _read = 0
    _limit = MAX_BODY_BYTES
    _is_refused = False

    def gotLength(self, length: int | None) -> None:
        if length is None or length > MAX_BODY_BYTES:
            self._grant()
        if length is not None and length > self._limit:
            self._refuse(self._too_large())
        super().gotLength(0)  # in memory: it is small, or one of a few, or refused

    def _grant(self) -> None:
        """Allow a long body where the row does. Few may be long at the same time, and none from
        who does not sign in."""
        site = self.channel.site
        limit = site.limits.of(*self.channel.requested)
        if limit == MAX_BODY_BYTES or not self.requestHeaders.hasHeader(b"Authorization"):
            return
        if site.large >= MAX_LARGE:
            detail = "Other large bodies are being read; send this one after them."
            self._refuse(Problem(503, detail, {b"Retry-After": b"5"}))
            return
        self._limit = limit
        site.large += 1
        self.notifyFinish().addBoth(lambda _: site.release())

    def handleContentChunk(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > self._limit:
            self._refuse(self._too_large())
        if not self._is_refused:
            super().handleContentChunk(data)

    def _too_large(self) -> Problem:
        return Problem(413, f"A body may have {self._limit} bytes.")

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

    def _refuse(self, problem: Problem) -> None:
        """Answer at once, but read on until the end or the deadline.

        To close while bytes are under way would reset the connection, and the answer with it.
        """
        if self._is_refused:
            return
        self._is_refused = True
        self.requestHeaders.removeHeader(b"Expect")  # or it would be told to go on
        prepare(self)
        body = compose_problem(self, problem)
        self.setHeader(b"Connection", b"close")
        phrase = HTTPStatus(problem.status).phrase.encode()
        status = b"%d" % problem.status
        self.channel.writeHeaders(b"HTTP/1.1", status, phrase, self.responseHeaders)
        self.channel.write(body)


class AdminChannel(HTTPChannel):
    """A connection that has a deadline for each request as a whole."""

    maxHeaders = 100
    site: "AdminSite"

    @property
    def requested(self) -> tuple[bytes, bytes]:
        """The method and target of the request whose head has been read. Twisted tells its own
        request of them only when it has the body, too."""
        return self._command, self._path

    def connectionMade(self) -> None:
        self.site.connections += 1
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.connections -= 1
        super().connectionLost(reason)

    def surrender(self) -> Any:
        """Let go of the connection for another protocol, and return its transport."""
        transport: Any = self.transport
        self.transport = None
        self.setTimeout(None)
        transport.unregisterProducer()
        self.site.connections -= 1
        return transport

    def resetTimeout(self) -> None:
        """Do not begin to wait again: called for whatever comes in, a byte at a time too."""


class AdminSite(Site):
    """Serves one resource to a bounded number of connections."""

    noisy = False
    protocol = AdminChannel  # type: ignore[assignment]  # typed as Twisted's own wrapper

    def __init__(self, resource: IResource, reactor: Any, limits: Limits) -> None:
        super().__init__(
            resource,
            requestFactory=AdminRequest,
            timeout=REQUEST_DEADLINE_S,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.limits = limits
        self.connections = 0
        # How many requests have more than MAX_BODY_BYTES.
        self.large = 0

    def release(self) -> None:
        """One that is large has been answered, or is gone."""
        self.large -= 1

    def buildProtocol(self, addr: IAddress | None) -> Any:  # the same
        if self.connections >= MAX_CONNECTIONS:
            return None
        return super().buildProtocol(addr)

    def log(self, request: Any) -> None:
        """Write no line for each request: scrapes would be most of the log."""
