"""One active check of one backend: connect, for HTTP ask, and judge the answer's status.

An HTTP check reads the status line and throws the rest away, so it is a protocol of its own and
not an HTTP client: many backends are checked every few seconds by the process that everybody's
configuration goes through, and a backend must not be able to fill its memory with an answer.
"""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.error import ConnectBindError, ConnectError, DNSLookupError
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from veloflux import __version__
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import BackendProtocol, HealthCheck
from veloflux.core.wire.http2.client import Client
from veloflux.core.wire.http2.events import Answered, Cancelled, Failed
from veloflux.core.wire.http2.settings import Terms
from veloflux.edge.dial import dial
from veloflux.edge.trust import RefusedError, Trust

# What is read of an answer, head and body; more is cut off.
MAX_ANSWER_BYTES = 64 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_MAX_STATUS_LINE_BYTES = 1024
_REQUEST_ID = b"veloflux-health"
# An interim answer (RFC 9110 15.2) is passed over, as a whole head.
_HEAD_END = re.compile(rb"\r?\n\r?\n")
# Errors that are ours: they say nothing about the backend.
_LOCAL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found; `ok` is None when it failed for a reason of our own."""

    ok: bool | None
    reason: str


class Check(ClientFactory):
    """One check under way; it gives one verdict within its timeout, unless it is stopped."""

    noisy = False

    def __init__(
        self,
        reactor: Any,
        address: Address,
        how: HealthCheck,
        on_verdict: Callable[[Verdict], None],
        preface: bytes = b"",
        trust: Trust | None = None,
        protocol: BackendProtocol = "http1",
    ) -> None:
        """`preface` is what the connection begins with, `trust` what its TLS must prove."""
        self.is_secure = trust is not None
        self._asking = _ASKING[protocol]
        self.address = address
        self.how = how
        self.preface = preface if trust is None else b""
        self._on_verdict: Callable[[Verdict], None] | None = on_verdict
        self._connected: _Connection | None = None
        self._deadline: IDelayedCall = reactor.callLater(how.timeout_s, self._too_late)
        dial(reactor, address, self, how.timeout_s, trust, preface)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if self._on_verdict is None:
            return None
        self._connected = self._asking(self) if self.how.type == "http" else _Connecting(self)
        return self._connected

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.settle(_explain(reason.value))
        self.closed()

    def settle(self, verdict: Verdict) -> None:
        """Give this verdict, unless one was given."""
        if self._on_verdict is not None:
            on_verdict, self._on_verdict = self._on_verdict, None
            on_verdict(verdict)

    def closed(self) -> None:
        """Note that there is no connection any more."""
        self.settle(Verdict(False, "closed the connection without an answer"))
        if self._deadline.active():
            self._deadline.cancel()

    def stop(self) -> None:
        """Let go of everything, without a verdict."""
        self._on_verdict = None
        if self._deadline.active():
            self._deadline.cancel()
        self._abort()

    def _too_late(self) -> None:
        self.settle(Verdict(False, f"no answer within {self.how.timeout_s:g} s"))
        self._abort()

    def _abort(self) -> None:
        if self._connected is not None:
            self._connected.transport.abortConnection()


class _Connection(Protocol):
    transport: Any  # ITCPTransport, or that of a Unix socket, which offers the same

    def __init__(self, check: Check) -> None:
        self._check = check

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._check.closed()


class _Connecting(_Connection):
    """Is content with a connection."""

    def connectionMade(self) -> None:
        if self._check.preface:
            self.transport.write(self._check.preface)
        self._check.settle(Verdict(True, "connected"))
        self.transport.loseConnection()


class _Asking(_Connection):
    """Sends one request and judges the status of its answer."""

    _read = 0
    _is_judged = False

    def dataReceived(self, data: bytes) -> None:
        self._read += len(data)
        if not self._is_judged:
            self.receive(data)
        if self._read > MAX_ANSWER_BYTES:
            self.refuse("its answer's head is too long")

    def receive(self, data: bytes) -> None:
        """Some of the answer; `judge` or `refuse` follows some time."""
        raise NotImplementedError

    def judge(self, status: int) -> None:
        self._is_judged = True
        ok = any(low <= status <= high for low, high in self._check.how.expected_status)
        self._check.settle(Verdict(ok, f"answered with status {status}"))

    def refuse(self, why: str) -> None:
        self._is_judged = True
        self._check.settle(Verdict(False, why))
        self.transport.abortConnection()


class _AskingHttp1(_Asking):
    """By HTTP/1.1."""

    _head = b""

    def connectionMade(self) -> None:
        check = self._check
        self.transport.write(check.preface + request(check.address, check.how.path))

    def receive(self, data: bytes) -> None:
        self._head += data
        while match := _STATUS_LINE.match(self._head):
            status = int(match[1])
            if status >= 200:
                self.judge(status)
                return
            end = _HEAD_END.search(self._head)
            if end is None:
                return
            self._head = self._head[end.end() :]
        if b"\n" in self._head or len(self._head) > _MAX_STATUS_LINE_BYTES:
            self.refuse("its answer is not HTTP/1")


class _AskingHttp2(_Asking):
    """By HTTP/2."""

    def connectionMade(self) -> None:
        check = self._check
        self._codec = Client(Terms(), 0.0, expected=1)
        scheme = b"https" if check.is_secure else b"http"
        head = request(check.address, check.how.path, b"X-Request-ID: ")
        self._codec.ask(head, scheme, _REQUEST_ID, ended=True)
        self.transport.write(self._codec.take())

    def receive(self, data: bytes) -> None:
        # Time does not matter: a check is over before a flood would be one.
        for event in self._codec.receive(data, 0.0):
            if isinstance(event, Answered) and event.head.status >= 200:
                self.judge(event.head.status)
                self._codec.close()
                break
            if isinstance(event, Cancelled):
                self.refuse("it cancelled the request")
                return
            if isinstance(event, Failed):
                self.refuse("its answer is not HTTP/2")
                return
        self.transport.write(self._codec.take())
        if self._codec.is_over:
            self.transport.loseConnection()


_ASKING: dict[BackendProtocol, type[_Asking]] = {"http1": _AskingHttp1, "h2": _AskingHttp2}


def request(address: Address, path: str, last: bytes = b"Connection: close\r\n\r\n") -> bytes:
    """Write a check's request, up to its `last` line; a Unix socket has no name that Host could
    carry."""
    host = "localhost" if address.path else str(address)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: veloflux-health/{__version__}\r\n"
        "Accept: */*\r\n"
    )
    return head.encode() + last


def _explain(error: object) -> Verdict:
    if isinstance(error, DNSLookupError):
        return Verdict(False, "its name does not resolve")
    if isinstance(error, RefusedError):
        return Verdict(False, str(error))
    number = getattr(error, "osError", None)
    if isinstance(error, ConnectBindError) or number in _LOCAL:
        return Verdict(None, f"the check itself failed: {error}")
    if isinstance(error, ConnectError) and number:
        return Verdict(False, f"no connection: {errno.errorcode.get(number, number)}")
    return Verdict(False, f"no connection: {error}")
