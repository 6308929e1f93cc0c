"""What tests of the real daemon have in common: its file, its clients, its metrics."""

import base64
import contextlib
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tests.support.backend import Backend
from tests.support.daemon import PATIENCE_S, Daemon, descriptors, wait_for
from tests.support.server import Server

# An address of its own: two listeners may not be configured alike, port 0 or not.
ADMIN = "127.0.0.9:0"
_Result = TypeVar("_Result")


def settings(*backends: str, **changes: Any) -> dict[str, Any]:
    """A configuration with one HTTP listener, one pool and one route, and one worker.

    `listener`, `limits`, `pool`, `timeouts`, `route` and `access` are more keys for these parts;
    any other name is a key of the whole.
    """
    listener = {"address": "127.0.0.1:0", **changes.pop("listener", {})}
    if limits := changes.pop("limits", {}):
        listener["limits"] = limits
    pool = {"name": "app", "backends": [{"address": address} for address in backends]}
    pool |= changes.pop("pool", {})
    if timeouts := changes.pop("timeouts", {}):
        pool["timeouts"] = timeouts
    whole: dict[str, Any] = {
        "workers": 1,
        "admin": {"address": ADMIN},
        "listeners": [listener],
        "pools": [pool],
        "routes": [{"id": "app", "pool": "app", **changes.pop("route", {})}],
        "logging": {"access": changes.pop("access", {"path": "access.log"})},
    }
    return whole | changes


def relaying(*backends: str, **changes: Any) -> dict[str, Any]:
    """The same with a TCP listener, and no route."""
    listener = {"protocol": "tcp", "pool": "app", **changes.pop("listener", {})}
    return settings(*backends, listener=listener, routes=[], **changes)


def text(configuration: Mapping[str, Any]) -> str:
    """A configuration as a file: JSON is YAML."""
    return json.dumps(configuration, indent=1)


class Samples:
    """A page of metrics, as Prometheus reads it."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.all = [
            sample for family in text_string_to_metric_families(page) for sample in family.samples
        ]

    def sum(self, name: str, **labels: str) -> float:
        """The sum over all samples of this name that have these labels."""
        return sum(
            sample.value
            for sample in self.all
            if sample.name == name and labels.items() <= sample.labels.items()
        )


class Running(threading.Thread):
    """Work in a thread of its own; `result` waits for it, and raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(2 * PATIENCE_S)
        assert not self.is_alive(), "it takes too long"
        if self._error is not None:
            raise self._error
        return self._result


class SystemTestCase(SynchronousTestCase):
    """Starts daemons and servers that end with the test."""

    def daemon(self, configuration: Mapping[str, Any], **options: Any) -> Daemon:
        daemon = Daemon(text(configuration), **options)
        self.addCleanup(daemon.close)
        return daemon.ready()

    def backend(self, name: str = "one", port: int = 0) -> Backend:
        backend = Backend(name, port)
        self.addCleanup(backend.close)
        return backend

    def server(self, serve: Callable[[socket.socket], None], receive_bytes: int = 0) -> Server:
        """A server of this function, with a small window perhaps."""
        server = Server(serve, receive_bytes)
        self.addCleanup(server.close)
        return server

    def connect(self, port: int, receive_bytes: int = 0) -> socket.socket:
        """A bare connection, with a small window perhaps."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE_S)
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect(("127.0.0.1", port))
        return connection

    def client(self, port: int) -> http.client.HTTPConnection:
        """A connection that is kept."""
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self.addCleanup(client.close)
        return client

    def get(self, port: int, path: str = "/", method: str = "GET") -> tuple[int, str]:
        """Ask once, on a connection of its own: the status and the body."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        ) as client:
            return ask(client, path, method)

    def admin(
        self, daemon: Daemon, path: str, password: str | None = None
    ) -> http.client.HTTPResponse:
        """Ask the admin API as the operator; the answer is read, into `text`."""
        credentials = f"admin:{daemon.password if password is None else password}"
        header = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
        with contextlib.closing(
            http.client.HTTPConnection(daemon.admin, timeout=PATIENCE_S)
        ) as client:
            client.request("GET", path, headers=header if password != "" else {})
            response = client.getresponse()
            response.text = response.read().decode()  # type: ignore[attr-defined]
            return response

    def metrics(self, daemon: Daemon) -> Samples:
        """What the workers have reported so far."""
        return Samples(self.admin(daemon, "/metrics").text)  # type: ignore[attr-defined]

    def wait_for_metric(self, daemon: Daemon, value: float, name: str, **labels: str) -> Samples:
        """Wait until a metric is exactly so, which takes until the workers have reported."""
        found: list[Samples] = []

        def is_so() -> bool:
            found[:] = [self.metrics(daemon)]
            return found[0].sum(name, **labels) == value

        try:
            wait_for(f"{name}{labels} being {value}", is_so, 10.0)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {found[0].sum(name, **labels)}") from None
        return found[0]

    @contextlib.contextmanager
    def returns_descriptors(self, *pids: int) -> Iterator[None]:
        """Check that these processes come back to as many descriptors as they have now."""
        before = {pid: descriptors(pid) for pid in pids}
        yield
        for pid, count in before.items():
            wait_for(
                f"the descriptors of {pid} being {count} again",
                lambda pid=pid, count=count: descriptors(pid) <= count,
            )


def ask(
    client: http.client.HTTPConnection, path: str = "/", method: str = "GET", **more: Any
) -> tuple[int, str]:
    """Ask on a connection that is kept: the status and the body."""
    client.request(method, path, **more)
    response = client.getresponse()
    return response.status, response.read().decode()


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
