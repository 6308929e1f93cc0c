"""The daemon as the verbs see it: its API, asked over HTTP.

Python's own client is enough: one request at a time, JSON both ways, nothing to pool or follow.
"""

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

import click

from veloflux.command.exits import (
    CONFLICT,
    FAILED,
    NOT_THERE,
    UNAUTHORIZED,
    UNREACHABLE,
    CommandError,
)

DEFAULT_SERVER = "http://127.0.0.1:9090"
TIMEOUT_S = 60.0

# What the daemon's refusals mean to a script.
_EXITS = {
    401: UNAUTHORIZED,
    403: UNAUTHORIZED,
    404: NOT_THERE,
    409: CONFLICT,
    412: CONFLICT,
    502: UNREACHABLE,
    503: UNREACHABLE,
}


class DaemonError(CommandError):
    """The daemon refused, or does not answer; `problem` is what it said (RFC 9457)."""

    def __init__(self, message: str, status: int, problem: Mapping[str, Any] | None = None):
        super().__init__(message, status)
        self.problem = problem or {}

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, with everything that is wrong, one line each."""
        click.echo(f"veloflux: {self.message}", err=True)
        for error in self.problem.get("errors", ()):
            click.echo(f"  {error.get('pointer') or '/'}: {error.get('detail')}", err=True)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """One daemon; `authorization` is the header's value, empty for none.

    `ca` is a file of authorities to verify its certificate by, the system's if it is None. Raises
    UsageError for a server that is no URL, a file without certificates, a value no header can have.
    """

    def __init__(self, server: str, authorization: str = "", ca: str | None = None) -> None:
        self.server = server
        self._authorization = authorization
        self._connection: HTTPConnection | None = None
        # Whether who answered last calls itself so.
        self.is_veloflux = False
        self._connect = _connecting(server, ca)
        if not (authorization.isascii() and authorization.isprintable()):
            raise click.UsageError("what says who you are has characters that no header can have")

    def get(self, path: str, /, **query: object) -> Any:
        """Ask for something; returns the decoded answer. Raises DaemonError, as all others do."""
        return self.ask("GET", path, None, query)

    def post(self, path: str, body: object = None, /, **query: object) -> Any:
        """Have something done."""
        return self.ask("POST", path, body, query)

    def put(self, path: str, body: object, /, **query: object) -> Any:
        """Change something."""
        return self.ask("PUT", path, body, query)

    def delete(self, path: str, /, **query: object) -> Any:
        """Take something away."""
        return self.ask("DELETE", path, None, query)

    def ask(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request; what is None in the query is left out, and bytes go as they are."""
        asked = {name: _written(value) for name, value in query.items() if value is not None}
        target = path + (f"?{urlencode(asked)}" if asked else "")
        fields = {"Accept": "application/json", **(headers or {})}
        if self._authorization:
            fields["Authorization"] = self._authorization
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        status, kind, answer = self._exchange(method, target, content, fields)
        if status >= 400:
            raise self._refused(status, answer)
        try:
            return json.loads(answer) if "json" in kind else answer.decode()
        except ValueError:
            raise self.stranger(status) from None

    def stranger(self, status: int = 200) -> DaemonError:
        """Say that something else answers there."""
        return DaemonError(
            f"{self.server} answered {status}, and is no VeloFlux; name the daemon's admin address "
            "with --server",
            _EXITS.get(status, FAILED),
        )

    def _exchange(
        self, method: str, target: str, content: bytes | None, fields: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request(method, target, content, dict(fields))
            answer = self._connection.getresponse()
            self.is_veloflux = answer.getheader("Server") == "VeloFlux"
            return answer.status, answer.getheader("Content-Type") or "", answer.read()
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise DaemonError(
                f"{self.server} cannot prove who it is: {error.verify_message}; name its "
                "authorities with --ca",
                UNREACHABLE,
            ) from None
        except (OSError, HTTPException) as error:
            self.close()
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DaemonError(
                f"no daemon answers at {self.server}: {why}; start it, or name it with --server",
                UNREACHABLE,
            ) from None

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _refused(self, status: int, answer: bytes) -> DaemonError:
        try:
            problem = json.loads(answer)
            detail = str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            return self.stranger(status)
        if status == 401:
            detail += " Say who you are with --token-file, or --user and --password-file."
        return DaemonError(detail, _EXITS.get(status, FAILED), problem)


def _connecting(server: str, ca: str | None) -> Callable[[], HTTPConnection]:
    """Return what connects to a server; raises UsageError."""
    if server.startswith("unix:"):
        return lambda: _UnixConnection(server.removeprefix("unix:"))
    try:
        url = urlsplit(server)
        host, port = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https"):
        raise click.UsageError(
            f"--server: {server!r} is no URL; write http://host:port, https://host:port "
            "or unix:/path"
        )
    if url.scheme == "http":
        return lambda: HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        why = (
            "it has no certificate in PEM form"
            if isinstance(error, ssl.SSLError)
            else error.strerror
        )
        raise click.UsageError(f"--ca: {ca} cannot be used: {why}") from None
    return lambda: HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def segment(text: str) -> str:
    """Write something as one segment of a path."""
    return quote(text, safe="")


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
