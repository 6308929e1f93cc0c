"""A backend that behaves as it is told, well or badly: `python -m bench.soak.origin PLACES SEED`

PLACES are JSON: `http`, `faulty` and `tcp` are ports of 127.0.0.1 that are served, `socket` is the
path of a Unix socket; `refusing` is a port that refuses every connection and `deaf` one that never
answers an attempt.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

BLOCK = b"x" * (64 * 1024)
RESET = struct.pack("ii", 1, 0)
# Of the one key that the load sends (RFC 6455 section 1.3).
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# Each is one way of not answering.
NONSENSE = (
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50,
    b"\x00" * 1000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more than was asked for",
)


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection."""
    if writer.transport.is_closing():
        return
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


class Request:
    """One request that has come, and the connection to answer on."""

    def __init__(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        self.method, target, _ = line.split(" ")
        pairs = (entry.partition(":") for entry in lines if entry)
        self.fields = {name.lower(): value.strip() for name, _, value in pairs}
        parts = urlsplit(target)
        self.path = parts.path
        self.query = dict(parse_qsl(parts.query))
        self.reader = reader
        self.writer = writer

    async def body(self) -> AsyncIterator[int]:
        """Read the body; yields the size of each piece."""
        if self.fields.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                yield len(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            while await self.reader.readline() != b"\r\n":
                pass
            return
        left = int(self.fields.get("content-length", 0))
        while left:
            got = len(await self.reader.read(min(left, len(BLOCK))))
            if not got:
                raise ConnectionError
            left -= got
            yield got

    async def say(self, *pieces: bytes) -> None:
        """Send, no faster than it is taken."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    def reset(self) -> None:
        """Break the connection."""
        reset(self.writer)


class Origin:
    """Its paths; each method returns whether the connection can serve once more."""

    def __init__(self, luck: random.Random) -> None:
        self._luck = luck

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = Request(head, reader, writer)
                if not await getattr(self, "on_" + request.path[1:].partition("/")[0])(request):
                    break
        writer.close()

    async def on_health(self, request: Request) -> bool:
        """Well."""
        await request.say(OK)
        return True

    async def on_bytes(self, request: Request) -> bool:
        """`n` bytes; `how` is `sized`, `chunked` or `close`."""
        left, how = int(request.query["n"]), request.query["how"]
        framing = {
            "sized": b"Content-Length: %d\r\n" % left,
            "chunked": b"Transfer-Encoding: chunked\r\n",
            "close": b"Connection: close\r\n",
        }[how]
        await request.say(b"HTTP/1.1 200 OK\r\n%b\r\n" % framing)
        if request.method == "HEAD":
            return how != "close"
        while left:
            block = BLOCK[:left]
            left -= len(block)
            if how == "chunked":
                block = b"%x\r\n%b\r\n" % (len(block), block)
            await request.say(block)
        if how == "chunked":
            await request.say(b"0\r\n\r\n")
        return how != "close"

    async def on_sink(self, request: Request) -> bool:
        """Take a body, `ms` for each piece, and say how long it was."""
        if request.fields.get("expect") == "100-continue":
            await request.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = 0
        async for count in request.body():
            size += count
            if "ms" in request.query:
                await asyncio.sleep(int(request.query["ms"]) / 1000)
        body = b"%d" % size
        await request.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return True

    async def on_slow(self, request: Request) -> bool:
        """Think for `ms`."""
        await asyncio.sleep(int(request.query["ms"]) / 1000)
        await request.say(OK)
        return True

    async def on_trickle(self, request: Request) -> bool:
        """A body in pieces, with time between them."""
        await request.say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await request.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            await request.say(b"4\r\nword\r\n")
            await asyncio.sleep(0.05)
        await request.say(b"0\r\n\r\n")
        return True

    async def on_early(self, request: Request) -> bool:
        """Answer before the body is read, and read none of it."""
        await request.say(OK)
        await asyncio.sleep(0.1)
        return False

    async def on_hold(self, request: Request) -> bool:
        """Neither read nor answer."""
        await asyncio.sleep(8)
        return False

    async def on_last(self, request: Request) -> bool:
        """Answer, and close without a word of warning."""
        await request.say(OK)
        return False

    async def on_close(self, request: Request) -> bool:
        """No answer."""
        return False

    async def on_reset(self, request: Request) -> bool:
        """Break it."""
        request.reset()
        return False

    async def on_cut(self, request: Request) -> bool:
        """End in the middle of a body, one way or another."""
        framing = self._luck.choice((b"Content-Length: 300000", b"Transfer-Encoding: chunked"))
        await request.say(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing, b"8000\r\n", BLOCK[:20_000])
        if self._luck.random() < 0.5:
            request.reset()
        return False

    async def on_nonsense(self, request: Request) -> bool:
        """No HTTP."""
        await request.say(self._luck.choice(NONSENSE))
        await asyncio.sleep(0.1)
        return False

    async def on_ws(self, request: Request) -> bool:
        """Agree to a WebSocket, then echo bytes until one says Q."""
        await request.say(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % ACCEPT
        )
        await echo(request.reader, request.writer)
        return False

    async def faulty(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, perhaps."""
        chance = self._luck.random()
        if chance < 0.3:
            reset(writer)
        elif chance < 0.4:
            writer.close()
        else:
            await self.connected(reader, writer)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, up to a Q; Z breaks the connection."""
    with contextlib.suppress(ConnectionError):
        while block := await reader.read(len(BLOCK)):
            if block[:1] == b"Z":
                reset(writer)
                return
            writer.write(block)
            await writer.drain()
            if b"Q" in block:
                break
    writer.close()


def deafen(port: int) -> list[socket.socket]:
    """Listen at `port` with a full queue: further attempts get no answer."""
    listening = socket.create_server(("127.0.0.1", port), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", port))
    return [listening, *waiting]


async def serve(places: dict[str, str], seed: int) -> None:
    """Serve until cancelled."""
    origin = Origin(random.Random(seed))
    here = "127.0.0.1"
    servers = [
        await asyncio.start_server(origin.connected, here, int(places["http"]), backlog=1024),
        await asyncio.start_server(origin.faulty, here, int(places["faulty"]), backlog=1024),
        await asyncio.start_server(echo, here, int(places["tcp"]), backlog=1024),
        await asyncio.start_unix_server(origin.connected, places["socket"], backlog=1024),
    ]
    held = deafen(int(places["deaf"]))
    # Bound, and never listening: the port is taken, and refuses.
    held.append(socket.socket())
    held[-1].bind((here, int(places["refusing"])))
    print("serving", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(json.loads(sys.argv[1]), int(sys.argv[2])))
