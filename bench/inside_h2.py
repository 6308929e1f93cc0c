"""What HTTP/2 costs without a socket: `python -m bench.inside_h2`.

One small GET and its answer on the server's side of a connection, by this project's codec and by
h2 (and jh2, where it is installed). The bytes of the requests are made beforehand, by h2's client,
so that only the server's work is measured.
"""

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from hpack import Encoder

from veloflux.core.model.traffic import Limits
from veloflux.core.wire.http2 import frames
from veloflux.core.wire.http2.events import Requested
from veloflux.core.wire.http2.server import Server
from veloflux.core.wire.http2.settings import Terms

ROUNDS = 7
REQUESTS = 10_000
BODY = b"x" * 100
STATUS = b"200 OK"
LINES = (
    b"Server: nginx\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 100\r\nVia: 1.1 veloflux\r\n"
)
FIELDS = [
    (b":status", b"200"),
    (b"server", b"nginx"),
    (b"date", b"Mon, 23 Nov 2026 12:00:00 GMT"),
    (b"content-type", b"text/plain"),
    (b"content-length", b"100"),
    (b"via", b"1.1 veloflux"),
]
HELLO = frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0)
_UPDATE = frames.window_update(0, 1_000_000)


def requests(path: int = 1, agent: int = 1) -> list[bytes]:
    """The bytes of a round's requests, with so many paths and agents in turn."""
    encoder = Encoder()
    wire = []
    for number in range(REQUESTS):
        block = encoder.encode(
            [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"127.0.0.1:8080"),
                (b":path", b"/api/v1/items/%d?x=1" % (number % path)),
                (b"user-agent", b"curl/%d" % (number % agent)),
                (b"accept", b"*/*"),
                (b"accept-language", b"en"),
                (b"cookie", b"a=b; c=d"),
            ]
        )
        flags = frames.END_STREAM | frames.END_HEADERS
        wire.append(frames.frame(frames.HEADERS, flags, 2 * number + 1, block))
        if number % 5000 == 0:
            # The answers need a window.
            wire[-1] += _UPDATE
    return wire


def ours(wire: Sequence[bytes]) -> None:
    connection = Server(Limits(), Terms(), 0.0)
    connection.receive(HELLO, 0.0)
    connection.take()
    for number, data in enumerate(wire):
        for event in connection.receive(data, 0.0):
            assert isinstance(event, Requested)
            stream = event.stream
            connection.answer(stream, STATUS, LINES, request_id=b"id-%016x" % number)
            connection.data(stream, BODY, ended=True)
        connection.take()


def like_h2(module: str, wire: Sequence[bytes]) -> None:
    """The same by h2, or by a library with its face."""
    config = importlib.import_module(module + ".config")
    kinds = importlib.import_module(module + ".events")
    connection: Any = importlib.import_module(module + ".connection").H2Connection(
        config.H2Configuration(client_side=False, header_encoding=None)
    )
    connection.initiate_connection()
    connection.receive_data(HELLO)
    connection.data_to_send()
    for number, data in enumerate(wire):
        for event in connection.receive_data(data):
            if isinstance(event, kinds.RequestReceived):
                stream = event.stream_id
                fields = [*FIELDS, (b"x-request-id", b"id-%016x" % number)]
                connection.send_headers(stream, fields)
                connection.send_data(stream, BODY, end_stream=True)
        connection.data_to_send()


def microseconds(work: Callable[[Sequence[bytes]], None], wire: Sequence[bytes]) -> float:
    """The least of some rounds, per request."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        work(wire)
        best = min(best, time.process_time() - before)
    return best / len(wire) * 1e6


def main() -> None:
    same = requests()
    rows: dict[str, Callable[[], float]] = {
        "ours, the same request again": lambda: microseconds(ours, same),
        "ours, another path each time": lambda: microseconds(ours, requests(path=500)),
        "ours, another header each time": lambda: microseconds(ours, requests(agent=500)),
        "h2": lambda: microseconds(lambda wire: like_h2("h2", wire), same),
        "jh2": lambda: microseconds(lambda wire: like_h2("jh2", wire), same),
    }
    for what, measure in rows.items():
        try:
            print(f"{measure():6.2f} µs  {what}")
        except ImportError:
            print(f"     -     {what}: not installed")


if __name__ == "__main__":
    main()
