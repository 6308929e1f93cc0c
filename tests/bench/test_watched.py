"""Those who watch while it is measured: they count every message, however it is cut."""

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from bench.process import BenchError
from bench.watched import Watcher, within_ms

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
LONG = b"\x81\x7e\x01\x00" + b"x" * 256
PING = b"\x89\x04sign"
PONG = b"\x8a\x84\0\0\0\0sign"


class Kept(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.is_aborted = True


class WatcherTests(SynchronousTestCase):
    def fed(self, *pieces: bytes) -> tuple[Watcher, Kept]:
        async def feed() -> tuple[Watcher, Kept]:
            watcher, transport = Watcher(b"asked"), Kept()
            watcher.connection_made(transport)
            for piece in pieces:
                watcher.data_received(piece)
            return watcher, transport

        return asyncio.run(feed())

    def test_count_messages_and_answer_pings(self) -> None:
        whole = HEAD + b"\x81\x02{}" + LONG + PING + b"\x81\x02{}"
        for size in (1, 7, 100, len(whole)):
            pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
            watcher, transport = self.fed(*pieces)
            self.assertEqual(watcher.messages, 3)
            self.assertEqual(transport.written, b"asked" + PONG)
            self.assertTrue(watcher.is_there.done())

    def test_leave_when_they_are_refused(self) -> None:
        _, transport = self.fed(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
        self.assertTrue(transport.is_aborted)

    def test_lateness_is_of_the_turns_in_between(self) -> None:
        before = {0.001: 100.0, 0.005: 900.0, float("inf"): 1000.0}
        after = {0.001: 110.0, 0.005: 1899.0, float("inf"): 2000.0}
        self.assertEqual(within_ms(before, after), 5.0)
        self.assertRaises(BenchError, within_ms, after, after)
