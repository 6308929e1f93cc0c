"""Watchers of the real daemon's streams, on the library `websockets`."""

import contextlib
import http.client
import json
import ssl
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.case import SystemTestCase
from tests.support.daemon import PATIENCE_S, Daemon

Fields = dict[str, str]


def basic(name: str, password: str) -> Fields:
    """The header of somebody with a password."""
    return {"Authorization": f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"}


def bearer(token: str) -> Fields:
    """The header of somebody with a token or a key."""
    return {"Authorization": f"Bearer {token}"}


class Watcher:
    """One connection; `seen` are the messages that were read, the oldest first."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[dict[str, Any]] = []

    def say(self, kind: str, **fields: Any) -> None:
        """Send a message."""
        self.connection.send(json.dumps({"type": kind, **fields}))

    def next(self) -> dict[str, Any]:
        """The next message; raises TimeoutError when none comes, ConnectionClosed at the end."""
        self.seen.append(json.loads(self.connection.recv(PATIENCE_S)))
        return self.seen[-1]

    def until(self, kind: str, holds: Callable[[dict[str, Any]], object] = bool) -> dict[str, Any]:
        """Read on until a message of this type, for which this holds."""
        while True:
            read = self.next()
            if read["type"] == kind and holds(read):
                return read

    def closed(self) -> tuple[int | None, str]:
        """Read to the end: the code and the reason that the server gave."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.next()
        return self.connection.close_code, self.connection.close_reason or ""


class StreamTestCase(SystemTestCase):
    """Calls the admin API of `running`, and watches its streams."""

    running: Daemon
    context: ssl.SSLContext | None = None

    @property
    def operator(self) -> Fields:
        return basic("admin", self.running.password)

    def call(
        self, method: str, path: str, body: Any = None, by: Fields | None = None
    ) -> tuple[int, Any]:
        """Ask the API: the status and what it answers."""
        if self.context is None:
            client = http.client.HTTPConnection(self.running.admin, timeout=PATIENCE_S)
        else:
            client = http.client.HTTPSConnection(
                self.running.admin, timeout=PATIENCE_S, context=self.context
            )
        headers = {"Content-Type": "application/json"} | (self.operator if by is None else by)
        with contextlib.closing(client):
            client.request(method, path, None if body is None else json.dumps(body), headers)
            answer = client.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content else None

    def got(self, path: str) -> Any:
        """What the API answers to the operator."""
        status, body = self.call("GET", path)
        self.assertEqual(status, 200, path)
        return body

    def made(self, path: str, body: Any = None, by: Fields | None = None) -> Any:
        """What the API answers when it has made something."""
        status, answer = self.call("POST", path, body, by)
        self.assertIn(status, (200, 201), answer)
        return answer

    def url(self, path: str) -> str:
        return f"{'ws' if self.context is None else 'wss'}://{self.running.admin}/api/ws/{path}"

    def watch(self, path: str, by: Fields | None = None, **options: Any) -> Watcher:
        """Connect, as the operator unless somebody else is given; {} is nobody."""
        connecting = connect(
            self.url(path),
            additional_headers=self.operator if by is None else by,
            ssl=self.context,
            proxy=None,
            open_timeout=PATIENCE_S,
            close_timeout=PATIENCE_S,
            **options,
        )
        return Watcher(self.enterContext(connecting))

    def turned_away(self, path: str, by: Fields | None = None, **options: Any) -> int:
        """The status of a handshake that is refused."""
        with self.assertRaises(InvalidStatus) as refused:
            self.watch(path, by, **options)
        answer = refused.exception.response
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        return answer.status_code
