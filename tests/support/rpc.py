"""A gRPC service by grpcio, in threads of the test: its messages are bytes."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_SERVICE = "tests.Echo"
# Kind of call by method, as grpcio names them.
_KINDS = {
    "Unary": "unary_unary",
    "Held": "unary_unary",
    "Fail": "unary_unary",
    "Refuse": "unary_unary",
    "Deadline": "unary_unary",
    "Count": "stream_unary",
    "Repeat": "unary_stream",
    "Watch": "unary_stream",
    "Chat": "stream_stream",
}


class Rpc:
    """Serves on a port of 127.0.0.1 that the system chose, until closed; over TLS with `pair`, a
    key and a certificate.

    `cancelled` is released for each call to Watch whose client went away.
    """

    def __init__(self, port: int = 0, threads: int = 64, pair: tuple[bytes, bytes] | None = None):
        self.arrived = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.release = threading.Event()
        self._server = grpc.server(
            ThreadPoolExecutor(threads), options=[*_ANY_SIZE, ("grpc.so_reuseport", 0)]
        )
        methods = {
            name: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(self, name.lower()))
            for name, kind in _KINDS.items()
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, methods),)
        )
        address = f"127.0.0.1:{port}"
        if pair is None:
            self.port = self._server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials([pair])
            self.port = self._server.add_secure_port(address, credentials)
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def close(self, grace_s: float | None = None) -> None:
        """End it: at once, or with GOAWAY and so much time for what is under way."""
        self.release.set()
        self._server.stop(grace_s).wait(30)

    def leave(self, grace_s: float) -> Any:
        """Begin to end it, and do not wait."""
        return self._server.stop(grace_s)

    # What it serves

    def unary(self, message: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-said", metadata.get("x-say", "")),))
        return message

    def held(self, message: bytes, context: Any) -> bytes:
        self.arrived.release()
        self.release.wait(30)
        return message

    def fail(self, message: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing there: 100 %")

    def refuse(self, message: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.UNAVAILABLE, "later")

    def deadline(self, message: bytes, context: Any) -> bytes:
        return b"%f" % context.time_remaining()

    def count(self, messages: Iterator[bytes], context: Any) -> bytes:
        return b"%d" % sum(len(message) for message in messages)

    def repeat(self, message: bytes, context: Any) -> Iterator[bytes]:
        for _ in range(int(message)):
            yield b"x" * 1000

    def watch(self, message: bytes, context: Any) -> Iterator[bytes]:
        context.add_callback(self.cancelled.release)
        yield b"begun"
        while context.is_active() and not self.release.is_set():
            time.sleep(0.02)

    def chat(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield from messages


class Stub:
    """A client of the service, by a channel of its own."""

    def __init__(self, address: str, credentials: Any = None) -> None:
        # Each has a connection of its own; a failed one is tried again soon.
        options = [
            *_ANY_SIZE,
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
        ]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options)

    def close(self) -> None:
        self.channel.close()

    def __getattr__(self, name: str) -> Any:
        method = name.title()
        return getattr(self.channel, _KINDS[method])(f"/{_SERVICE}/{method}")
